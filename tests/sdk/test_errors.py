"""Each SDK raises its own class for what the gateway refuses and for what a provider refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anthropic
import openai
import pytest

from tests.sdk.conftest import OF_ANTHROPIC, OF_OPENAI, Door

HELLO: Any = [{"role": "user", "content": "Hello"}]

Ask = Callable[..., object]

# What the provider answers, and the class of each SDK for what the caller is told of it: the
# operator's own troubles (401, 402, 403, billing) are a plain 502.
UPSTREAM: dict[str, tuple[int, type[Exception], type[Exception]]] = {
    "demo-400": (400, openai.BadRequestError, anthropic.BadRequestError),
    "demo-401": (502, openai.InternalServerError, anthropic.InternalServerError),
    "demo-402": (502, openai.InternalServerError, anthropic.InternalServerError),
    "demo-403": (502, openai.InternalServerError, anthropic.InternalServerError),
    "demo-404": (404, openai.NotFoundError, anthropic.NotFoundError),
    "demo-413": (413, openai.APIStatusError, anthropic.RequestTooLargeError),
    "demo-422": (422, openai.UnprocessableEntityError, anthropic.UnprocessableEntityError),
    "demo-429": (429, openai.RateLimitError, anthropic.RateLimitError),
    "demo-500": (500, openai.InternalServerError, anthropic.InternalServerError),
    "demo-503": (503, openai.InternalServerError, anthropic.ServiceUnavailableError),
    "demo-529": (503, openai.InternalServerError, anthropic.ServiceUnavailableError),
    "demo-html-502": (502, openai.InternalServerError, anthropic.InternalServerError),
    "demo-garbage": (502, openai.InternalServerError, anthropic.InternalServerError),
    "demo-reset": (502, openai.InternalServerError, anthropic.InternalServerError),
}


def ask_openai(door: Door, *, key: str = "", **fields: Any) -> object:
    client = openai.OpenAI(base_url=door.openai_url, api_key=key or door.key, max_retries=0)
    given = {"model": OF_OPENAI, "messages": HELLO, "max_tokens": 50, **fields}
    return client.chat.completions.create(**given)


def ask_anthropic(door: Door, *, key: str = "", **fields: Any) -> object:
    client = anthropic.Anthropic(base_url=door.url, api_key=key or door.key, max_retries=0)
    given = {"model": OF_ANTHROPIC, "messages": HELLO, "max_tokens": 50, **fields}
    return client.messages.create(**given)


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
@pytest.mark.parametrize("failing", UPSTREAM)
def test_openais_client_raises_its_class(door: Door, failing: str, kind: str) -> None:
    status, raised, _ = UPSTREAM[failing]
    with pytest.raises(raised) as caught:
        ask_openai(door, model=f"{kind}/{failing}")
    error: Any = caught.value
    assert error.status_code == status
    assert error.request_id
    assert error.body["message"]
    assert set(error.body) >= {"message", "type", "param", "code"}


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
@pytest.mark.parametrize("failing", UPSTREAM)
def test_anthropics_client_raises_its_class(door: Door, failing: str, kind: str) -> None:
    status, _, raised = UPSTREAM[failing]
    if failing == "demo-529":  # Anthropic's own status, which its clients have a class for.
        status, raised = 529, anthropic.OverloadedError
    with pytest.raises(raised) as caught:
        ask_anthropic(door, model=f"{kind}/{failing}")
    error: Any = caught.value
    assert error.status_code == status
    assert error.request_id
    assert error.body["type"] == "error"
    assert error.body["error"]["message"]


def test_a_wrong_key(door: Door) -> None:
    with pytest.raises(openai.AuthenticationError) as one:
        ask_openai(door, key="tg_wrong")
    with pytest.raises(anthropic.AuthenticationError) as other:
        ask_anthropic(door, key="tg_wrong")
    assert one.value.code == "invalid_api_key"
    assert "tg_wrong" not in str(one.value) + str(other.value)


def test_an_unknown_model(door: Door) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        ask_openai(door, model="nothing")
    assert caught.value.code == "model_not_found"
    with pytest.raises(anthropic.NotFoundError):
        ask_anthropic(door, model="nothing")


def test_a_field_that_cannot_be(door: Door) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        ask_openai(door, n=10**9)
    assert caught.value.param == "n"
    with pytest.raises(anthropic.BadRequestError):
        ask_anthropic(door, max_tokens=-1)


def test_a_spent_budget_is_not_tried_again(door: Door) -> None:
    with pytest.raises(openai.RateLimitError) as one:
        ask_openai(door, key=door.spent_key)
    with pytest.raises(anthropic.RateLimitError) as other:
        ask_anthropic(door, key=door.spent_key)
    for caught in (one.value, other.value):
        assert caught.response.headers["x-should-retry"] == "false"
    assert one.value.code == "insufficient_quota"


def test_a_body_that_is_too_large(door: Door) -> None:
    huge: Any = [{"role": "user", "content": "x" * (33 * 2**20)}]
    with pytest.raises(openai.APIStatusError) as one:
        ask_openai(door, messages=huge)
    assert one.value.status_code == 413
    with pytest.raises(anthropic.RequestTooLargeError):
        ask_anthropic(door, messages=huge)


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
@pytest.mark.parametrize("ask", [ask_openai, ask_anthropic])
@pytest.mark.parametrize("breaking", ["demo-cut-midstream", "demo-reset-midstream"])
def test_a_stream_that_breaks_is_an_error_in_the_clients_own_way(
    door: Door, ask: Ask, breaking: str, kind: str
) -> None:
    stream: Any = ask(door, model=f"{kind}/{breaking}", stream=True)
    with pytest.raises((openai.APIError, anthropic.APIError)):
        list(stream)
