"""Whole answers: metering reads them and nothing that a provider sends makes it fail."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.protocols.openai_chat import read_answer
from tests.wire.making import compact

USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
CHOICES = [{"index": 0, "message": {"role": "assistant", "content": "Hi"}}]


def test_an_answer_is_metered() -> None:
    answer = read_answer(compact({"id": "chatcmpl-1", "choices": CHOICES, "usage": USAGE}))
    assert answer.is_answer
    assert answer.upstream_id == "chatcmpl-1"
    assert answer.metered.usage is not None
    assert answer.metered.usage.total_tokens == 5


def test_missing_usage_is_a_fault_and_no_failure() -> None:
    answer = read_answer(compact({"id": "a", "choices": CHOICES}))
    assert answer.is_answer
    assert (answer.metered.usage, answer.metered.fault) == (None, "usage is missing")


def test_the_output_is_never_longer_than_what_is_said_of_it() -> None:
    answer = read_answer(json.dumps({"choices": [{"message": {"content": "ä\n" * 50}}]}).encode())
    assert answer.output_bytes >= len("ä\n".encode() * 50)


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>Bad gateway</html>", b"[]", b"null", b'{"id":', b'{"error":{"message":"no"}}'],
)
def test_what_is_no_answer_is_told(body: bytes) -> None:
    assert not read_answer(body).is_answer


@pytest.mark.parametrize("odd", [5, None, {"a": 1}, "x" * 300, "a\nb", "\ud800"])
def test_an_odd_id_is_left_out(odd: object) -> None:
    assert read_answer(json.dumps({"id": odd, "choices": CHOICES}).encode()).upstream_id == ""


def test_an_empty_error_is_no_error() -> None:
    assert read_answer(compact({"id": "a", "choices": CHOICES, "error": None})).is_answer


@given(st.binary(max_size=100), st.integers(0, 90), st.integers(0, 20))
def test_no_bytes_make_it_fail(noise: bytes, at: int, drop: int) -> None:
    good = compact({"id": "chatcmpl-1", "choices": CHOICES, "usage": USAGE})
    read_answer(noise)
    read_answer(good[:at] + noise + good[at + drop :])
