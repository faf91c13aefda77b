"""The `anthropic` package, as it is, against providers of both protocols."""

from __future__ import annotations

from typing import Any

import pytest
from anthropic import Anthropic, AsyncAnthropic, BadRequestError

from tests.sdk.conftest import ALL, OF_ANTHROPIC, OF_OPENAI, Door

HELLO: Any = [{"role": "user", "content": "Hello there"}]
PARIS: Any = [{"role": "user", "content": "What is the weather in Paris?"}]
WEATHER: Any = {
    "name": "get_weather",
    "description": "The weather of a city",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}


@pytest.fixture
def client(door: Door) -> Anthropic:
    return Anthropic(base_url=door.url, api_key=door.key, max_retries=0)


@pytest.mark.parametrize("model", ALL)
def test_a_whole_answer(client: Anthropic, model: str) -> None:
    message = client.messages.create(
        model=model, max_tokens=200, system="You are brief.", messages=HELLO
    )
    assert message.content[0].type == "text"
    assert message.stop_reason == "end_turn"
    assert message.usage.output_tokens > 0
    assert message._request_id


@pytest.mark.parametrize("model", ALL)
def test_the_events_of_a_stream(client: Anthropic, model: str) -> None:
    events = list(client.messages.create(model=model, max_tokens=200, messages=HELLO, stream=True))
    kinds = [event.type for event in events if event.type != "ping"]  # type: ignore[comparison-overlap]
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]


@pytest.mark.parametrize("model", ALL)
def test_the_stream_helper(client: Anthropic, model: str) -> None:
    with client.messages.stream(model=model, max_tokens=200, messages=HELLO) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text
    assert final.content[0].type == "text"
    assert final.content[0].text == text
    assert final.usage.input_tokens > 0


@pytest.mark.parametrize("model", ALL)
async def test_an_asynchronous_client(door: Door, model: str) -> None:
    async with AsyncAnthropic(base_url=door.url, api_key=door.key, max_retries=0) as client:
        message = await client.messages.create(model=model, max_tokens=200, messages=HELLO)
        assert message.content
        async with client.messages.stream(model=model, max_tokens=200, messages=HELLO) as stream:
            assert "".join([text async for text in stream.text_stream])


@pytest.mark.parametrize("header", ["x-api-key", "bearer"])
def test_either_credential_header_is_taken(door: Door, header: str) -> None:
    if header == "bearer":
        client = Anthropic(base_url=door.url, auth_token=door.key, max_retries=0)
    else:
        given = {"x-api-key": door.key, "authorization": ""}
        client = Anthropic(
            base_url=door.url, api_key=door.key, default_headers=given, max_retries=0
        )
    assert client.messages.create(model=OF_ANTHROPIC, max_tokens=50, messages=HELLO).content


@pytest.mark.parametrize("model", ALL)
def test_a_tool_is_called_and_its_result_answered(client: Anthropic, model: str) -> None:
    asked = client.messages.create(model=model, max_tokens=500, messages=PARIS, tools=[WEATHER])
    assert asked.stop_reason == "tool_use"
    (call,) = [block for block in asked.content if block.type == "tool_use"]
    assert call.name == "get_weather"
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "18 degrees"}
    messages: Any = [
        *PARIS,
        {"role": "assistant", "content": asked.content},
        {"role": "user", "content": [result]},
    ]
    told = client.messages.create(model=model, max_tokens=500, messages=messages, tools=[WEATHER])
    assert "18 degrees" in "".join(b.text for b in told.content if b.type == "text")


@pytest.mark.parametrize("model", ALL)
def test_a_tool_call_in_a_stream_is_put_together(client: Anthropic, model: str) -> None:
    with client.messages.stream(
        model=model, max_tokens=500, messages=PARIS, tools=[WEATHER]
    ) as stream:
        final = stream.get_final_message()
    (call,) = [block for block in final.content if block.type == "tool_use"]
    assert call.input


def test_thinking_comes_with_its_signature_and_goes_back(client: Anthropic) -> None:
    thinking: Any = {"type": "enabled", "budget_tokens": 1024}
    with client.messages.stream(
        model=OF_ANTHROPIC, max_tokens=4000, messages=HELLO, thinking=thinking
    ) as stream:
        final = stream.get_final_message()
    assert final.content[0].type == "thinking"
    assert final.content[0].signature
    messages: Any = [*HELLO, {"role": "assistant", "content": final.content}, *HELLO]
    again = client.messages.create(
        model=OF_ANTHROPIC, max_tokens=4000, messages=messages, thinking=thinking
    )
    assert again.content


def test_thinking_asked_of_an_openai_provider_is_no_text(client: Anthropic) -> None:
    thinking: Any = {"type": "enabled", "budget_tokens": 1024}
    message = client.messages.create(
        model=OF_OPENAI, max_tokens=4000, messages=HELLO, thinking=thinking
    )
    assert [block.type for block in message.content][-1] == "text"


@pytest.mark.parametrize("model", ALL)
def test_tokens_are_counted_before_a_call(client: Anthropic, model: str) -> None:
    counted = client.messages.count_tokens(model=model, messages=HELLO)
    assert counted.input_tokens > 0


def test_models_are_listed_in_anthropics_shape(client: Anthropic) -> None:
    names = {model.id for model in client.models.list(limit=1000)}
    assert set(ALL) <= names
    shown = client.models.retrieve(OF_ANTHROPIC)
    assert shown.type == "model"
    assert shown.created_at.year >= 2026


def test_models_are_paged_as_the_client_does_it(client: Anthropic) -> None:
    names = [model.id for model in client.models.list(limit=1000)]
    page = client.models.list(limit=5)
    assert page.has_more
    assert [model.id for model in page.data] == names[:5]
    assert [model.id for model in page] == names
    backwards = client.models.list(limit=5, before_id=names[7])
    assert [model.id for model in backwards.data] == names[2:7]
    assert [model.id for model in backwards.get_next_page().data] == names[:2]
    assert not client.models.list(limit=5, after_id=names[-1]).data
    with pytest.raises(BadRequestError):
        client.models.list(limit=0)


def test_the_beta_surface_with_its_headers(client: Anthropic) -> None:
    message = client.beta.messages.create(
        model=OF_ANTHROPIC,
        max_tokens=100,
        messages=HELLO,
        betas=["interleaved-thinking-2025-05-14", "context-1m-2025-08-07"],
    )
    assert message.content
