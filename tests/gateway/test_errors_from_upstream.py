"""What providers answer, turned into ours: the operator's identity never gets through."""

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.usage import Outcome
from gateway.errors import UpstreamError, openai_body, read_refusal, read_retry_after, redact

SECRET = "sk-proj-Zx81PqLmN0aB3cD4eF5gH6iJ"


def refuse(status: int, error: object, **headers: str) -> UpstreamError:
    body = error if isinstance(error, bytes) else json.dumps(error).encode()
    dashed = {name.replace("_", "-"): value for name, value in headers.items()}
    return read_refusal(
        status,
        body,
        dashed,
        upstream_model="gpt-4o-2024-08-06",
        model="gpt-4o",
        credential=SECRET,
        now=1000.0,
    )


def openai_error(message: str, **fields: Any) -> dict[str, Any]:
    usual = {"type": "invalid_request_error", "param": None, "code": None}
    return {"error": {"message": message} | usual | fields}


# Each is about the operator's account at the provider, in a vendor's own manner.
ABOUT_THE_OPERATOR: list[tuple[int, Any]] = [
    (401, openai_error("Incorrect API key provided: sk-...abcd.", code="invalid_api_key")),
    (401, openai_error(f"Incorrect API key provided: {SECRET}.")),
    (402, {"error": {"message": "Insufficient Balance"}}),
    (403, openai_error("Project proj_8Zk2LmN4 may not use gpt-4o-2024-08-06.")),
    (
        429,
        openai_error(
            "You exceeded your current quota, please check your plan and billing details.",
            type="insufficient_quota",
            code="insufficient_quota",
        ),
    ),
    (
        400,
        {
            "code": "Client specified an invalid argument",
            "error": "Incorrect API key provided: xa***4o. Get one at https://console.x.ai.",
        },
    ),
    (400, {"type": "error", "error": {"message": "Your credit balance is too low."}}),
    (404, openai_error("Unauthorized: no such account.")),
]


@pytest.mark.parametrize(("status", "body"), ABOUT_THE_OPERATOR)
def test_what_concerns_the_operator_is_a_neutral_502(status: int, body: Any) -> None:
    error = refuse(status, body)
    assert (error.status, error.code, error.should_retry) == (502, "upstream_error", False)
    assert error.message == "The model provider did not accept this call."
    assert error.outcome is Outcome.UPSTREAM_REFUSED
    assert error.upstream_status == status


KEPT = [
    (400, "This model's maximum context length is 8192 tokens.", "context_length_exceeded"),
    (400, "'messages[1].content' must be a text.", None),
    (404, "No such response.", None),
    (422, "The field temperature is out of range.", None),
    (413, "Too many images.", None),
    (429, "Too many requests in a minute.", "rate_limit_exceeded"),
]


@pytest.mark.parametrize(("status", "sentence", "code"), KEPT)
def test_what_concerns_the_request_keeps_its_status_and_sentence(
    status: int, sentence: str, code: str | None
) -> None:
    error = refuse(status, openai_error(sentence, code=code, param="messages"))
    assert (error.status, error.message, error.field) == (status, sentence, "messages")
    assert code is None or error.code == code


LEAKS = [
    "Rate limit reached for gpt-4o in organization org-Ab12Cd34Ef56Gh78 on requests per min.",
    "Too many requests for team 3b241101-e2bb-4255-8caf-4136c566a962.",
    "Limit of your subscription reached, see your plan.",
    "Request abc from account acme-prod was throttled.",
    "Deployment eastus-prod-7 is busy.",
    "Token eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9abcdef0 is not good.",
    "Key sk-live-4242424242 is limited.",
]


@pytest.mark.parametrize("sentence", LEAKS)
def test_a_sentence_that_names_the_operator_is_replaced_by_ours(sentence: str) -> None:
    error = refuse(429, openai_error(sentence))
    assert error.status == 429
    assert error.message == "The model provider's rate limit is reached. Try again later."


def test_addresses_and_names_of_the_upstream_are_taken_out() -> None:
    sentence = "gpt-4o-2024-08-06 is limited, see https://docs.acme.internal/x or 10.0.0.7:8080"
    assert refuse(400, openai_error(sentence)).message == (
        "gpt-4o is limited, see [address] or [address]"
    )


def test_a_long_sentence_is_cut() -> None:
    assert len(refuse(400, openai_error("word " * 1000)).message) <= 501


@pytest.mark.parametrize(
    ("status", "ours", "outcome"),
    [
        (500, 500, Outcome.UPSTREAM_FAILED),
        (502, 502, Outcome.UPSTREAM_FAILED),
        (503, 503, Outcome.UPSTREAM_FAILED),
        (529, 503, Outcome.UPSTREAM_FAILED),
        (520, 502, Outcome.UPSTREAM_FAILED),
        (504, 504, Outcome.UPSTREAM_TIMEOUT),
        (408, 504, Outcome.UPSTREAM_TIMEOUT),
        (418, 502, Outcome.UPSTREAM_REFUSED),
        (302, 502, Outcome.UPSTREAM_FAILED),
    ],
)
def test_other_statuses_keep_their_class(status: int, ours: int, outcome: Outcome) -> None:
    error = refuse(status, b"<html>Acme Cloud account 12 is broken</html>")
    assert (error.status, error.outcome) == (ours, outcome)
    assert "Acme" not in error.message


def test_the_log_is_told_what_was_said_without_any_key() -> None:
    error = refuse(401, openai_error(f"Bad key {SECRET} or sk-abcdef123 or Bearer zzz of Acme."))
    assert "of Acme" in error.detail
    for secret in (SECRET, "sk-abcdef123", "zzz"):
        assert secret not in error.detail
        assert secret.encode() not in openai_body(error, "call-1")


def test_the_providers_wait_is_passed_on() -> None:
    assert refuse(429, openai_error("Slow down."), retry_after="7").retry_after_seconds == 7
    assert refuse(503, b"", retry_after_ms="1500").retry_after_seconds == 1.5
    assert refuse(429, openai_error("Slow down.")).retry_after_seconds is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Thu, 01 Jan 1970 00:17:00 GMT", 20.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("nan", None),
        ("1e999", None),
        ("999999999", 86_400),
    ],
)
def test_a_wait_is_seconds_or_a_date_and_bounded(text: str, seconds: float | None) -> None:
    assert read_retry_after({"retry-after": text}, now=1000.0) == seconds


@given(st.binary(max_size=80), st.integers(300, 599))
def test_no_answer_makes_it_fail(body: bytes, status: int) -> None:
    error = refuse(status, body)
    assert 400 <= error.status < 600


@given(st.text(max_size=40))
def test_no_sentence_brings_the_credential_through(around: str) -> None:
    error = refuse(400, openai_error(around + SECRET + around))
    assert SECRET not in error.message + error.detail


@pytest.mark.parametrize("piece", ["a", "a.", "a@", "a-", "-", "sk-", "a://", "1.", "x***", " a"])
def test_a_hostile_sentence_takes_no_time_to_speak_of(piece: str) -> None:
    """A pattern that went back over `a@a@a@` took a third of a second of every call's loop."""
    started = time.process_time()  # Whatever else this machine does.
    redact(piece * 100_000)
    assert time.process_time() - started < 0.2
