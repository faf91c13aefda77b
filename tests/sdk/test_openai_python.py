"""The `openai` package, as it is, against providers of both protocols."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import pytest
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

from tests.sdk.conftest import ALL, OF_OPENAI, Door

HELLO: Any = [
    {"role": "system", "content": "You are brief."},
    {"role": "user", "content": "Hello there"},
]
PARIS: Any = [{"role": "user", "content": "What is the weather in Paris?"}]
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5E"
    "rkJggg=="
)


class City(BaseModel):
    name: str
    country: str


@pytest.fixture
def client(door: Door) -> OpenAI:
    return OpenAI(base_url=door.openai_url, api_key=door.key, max_retries=0)


@pytest.mark.parametrize("model", ALL)
def test_a_whole_answer(client: OpenAI, model: str) -> None:
    answer = client.chat.completions.create(model=model, messages=HELLO, max_tokens=200)
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer._request_id


@pytest.mark.parametrize("model", ALL)
def test_a_stream_without_usage_has_a_choice_in_every_chunk(client: OpenAI, model: str) -> None:
    chunks = list(client.chat.completions.create(model=model, messages=HELLO, stream=True))
    assert all(len(chunk.choices) == 1 for chunk in chunks)
    assert all(chunk.usage is None for chunk in chunks)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert len({chunk.id for chunk in chunks}) == 1


@pytest.mark.parametrize("model", ALL)
def test_a_stream_ends_in_the_usage_that_was_asked_for(client: OpenAI, model: str) -> None:
    *_, last = client.chat.completions.create(
        model=model, messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.completion_tokens > 0


@pytest.mark.parametrize("model", ALL)
def test_the_stream_helper(client: OpenAI, model: str) -> None:
    with client.chat.completions.stream(model=model, messages=HELLO) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion()
    assert {"content.delta", "content.done"} <= kinds
    assert final.choices[0].message.content


@pytest.mark.parametrize("model", ALL)
async def test_an_asynchronous_client(door: Door, model: str) -> None:
    async with AsyncOpenAI(base_url=door.openai_url, api_key=door.key, max_retries=0) as client:
        answer = await client.chat.completions.create(model=model, messages=HELLO)
        assert answer.choices[0].message.content
        stream = await client.chat.completions.create(model=model, messages=HELLO, stream=True)
        assert "".join([c.choices[0].delta.content or "" async for c in stream])


@pytest.mark.parametrize("model", ALL)
def test_a_tool_is_called_and_its_result_answered(client: OpenAI, model: str) -> None:
    asked = client.chat.completions.create(model=model, messages=PARIS, tools=[WEATHER])
    message = asked.choices[0].message
    assert asked.choices[0].finish_reason == "tool_calls"
    assert message.tool_calls
    call: Any = message.tool_calls[0]
    assert call.function.name == "get_weather"
    assert "city" in json.loads(call.function.arguments)
    result = {"role": "tool", "tool_call_id": call.id, "content": "18 degrees"}
    messages: Any = [*PARIS, message, result]
    told = client.chat.completions.create(model=model, messages=messages, tools=[WEATHER])
    assert "18 degrees" in (told.choices[0].message.content or "")


@pytest.mark.parametrize("model", ALL)
def test_a_tool_call_in_a_stream_is_put_together(client: OpenAI, model: str) -> None:
    with client.chat.completions.stream(model=model, messages=PARIS, tools=[WEATHER]) as stream:
        final = stream.get_final_completion()
    (call,) = final.choices[0].message.tool_calls or []
    assert call.function.name == "get_weather"
    assert "city" in json.loads(call.function.arguments)


@pytest.mark.parametrize("model", ALL)
def test_an_answer_is_parsed_into_a_class(client: OpenAI, model: str) -> None:
    parsed = client.chat.completions.parse(model=model, messages=HELLO, response_format=City)
    assert isinstance(parsed.choices[0].message.parsed, City)


@pytest.mark.parametrize("model", ALL)
def test_an_image_in_the_body(client: OpenAI, model: str) -> None:
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
    parts: Any = [{"type": "text", "text": "What is this?"}, image]
    answer = client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": parts}]
    )
    assert answer.choices[0].message.content


@pytest.mark.parametrize("model", ALL)
def test_a_response(client: OpenAI, model: str) -> None:
    answer = client.responses.create(model=model, input="Hello there", store=False)
    assert answer.output_text
    assert answer.status == "completed"
    assert answer.usage is not None
    assert answer.usage.output_tokens > 0


@pytest.mark.parametrize("model", ALL)
def test_a_streamed_response(client: OpenAI, model: str) -> None:
    events = list(
        client.responses.create(model=model, input="Hello there", store=False, stream=True)
    )
    kinds = [event.type for event in events]
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"
    assert "response.output_text.delta" in kinds
    assert [event.sequence_number for event in events] == sorted(
        event.sequence_number for event in events
    )


@pytest.mark.parametrize("model", ALL)
def test_a_response_that_calls_a_function(client: OpenAI, model: str) -> None:
    tool: Any = {"type": "function", "strict": False, **WEATHER["function"]}
    answer = client.responses.create(
        model=model, input="What is the weather in Paris?", tools=[tool], store=False
    )
    calls: list[Any] = [item for item in answer.output if item.type == "function_call"]
    assert [call.name for call in calls] == ["get_weather"]


@pytest.mark.parametrize("model", ALL)
def test_a_response_is_parsed_into_a_class(client: OpenAI, model: str) -> None:
    parsed = client.responses.parse(model=model, input="Hello", text_format=City, store=False)
    assert isinstance(parsed.output_parsed, City)


@pytest.mark.parametrize("model", ALL)
def test_a_legacy_completion(client: OpenAI, model: str) -> None:
    answer = client.completions.create(model=model, prompt="Hello there", max_tokens=50)
    assert answer.choices[0].text


def test_embeddings_as_the_client_asks_for_them_and_as_floats(client: OpenAI) -> None:
    # The client asks for base64 and decodes it.
    decoded = client.embeddings.create(model=OF_OPENAI, input="Hello")
    plain = client.embeddings.create(model=OF_OPENAI, input="Hello", encoding_format="float")
    assert len(decoded.data[0].embedding) == len(plain.data[0].embedding) > 0
    raw: Any = client.embeddings.create(model=OF_OPENAI, input="Hello", encoding_format="base64")
    text = raw.data[0].embedding
    if isinstance(text, str):
        assert len(base64.b64decode(text)) == struct.calcsize("f") * len(plain.data[0].embedding)


def test_models_are_listed_and_shown(client: OpenAI) -> None:
    names = {model.id for model in client.models.list()}
    assert set(ALL) <= names
    assert client.models.retrieve(OF_OPENAI).object == "model"
