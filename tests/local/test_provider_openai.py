"""The OpenAI dialect of the demo provider, as the official SDK reads it over a socket."""

import base64
import json
import struct
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI
from pydantic import BaseModel

from local.provider import RunningProvider, count_tokens, start_in_thread

WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
PARIS: Any = [{"role": "user", "content": "What is the weather in Paris?"}]


@pytest.fixture(scope="module")
def provider() -> Iterator[RunningProvider]:
    with start_in_thread(pace_seconds=0) as running:
        yield running


@pytest.fixture
def client(provider: RunningProvider) -> OpenAI:
    return OpenAI(base_url=f"{provider.url}/v1", api_key="sk-demo", max_retries=0)


def ask(client: OpenAI, model: str = "gpt-4o", **more: Any) -> Any:
    messages = more.pop("messages", [{"role": "user", "content": "Hello there"}])
    return client.chat.completions.create(model=model, messages=messages, **more)


def test_an_answer_counts_a_token_a_word(client: OpenAI) -> None:
    answer = ask(client)
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.prompt_tokens == 2
    assert answer.usage.completion_tokens == count_tokens(answer.choices[0].message.content)
    assert answer.usage.total_tokens == 2 + answer.usage.completion_tokens
    assert answer._request_id.startswith("req_")


def test_a_cap_cuts_every_choice_and_says_length(client: OpenAI) -> None:
    answer = ask(client, n=3, max_completion_tokens=5)
    assert [choice.finish_reason for choice in answer.choices] == ["length"] * 3
    assert answer.usage.completion_tokens == 15


def test_a_stream_says_the_same_text_and_ends_in_its_usage(client: OpenAI) -> None:
    whole = ask(client)
    chunks = list(ask(client, stream=True, stream_options={"include_usage": True}))
    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1])
    assert said == whole.choices[0].message.content
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert (chunks[-1].choices, chunks[-1].usage) == ([], whole.usage)


def test_a_stream_without_the_option_has_no_usage(client: OpenAI) -> None:
    chunks = list(ask(client, stream=True))
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)
    assert len({chunk.id for chunk in chunks}) == 1


def test_a_tool_is_called_when_the_user_speaks_of_it(client: OpenAI) -> None:
    choice = ask(client, messages=PARIS, tools=[WEATHER]).choices[0]
    call = choice.message.tool_calls[0]
    assert choice.finish_reason == "tool_calls"
    assert (call.function.name, json.loads(call.function.arguments)) == (
        "get_weather",
        {"city": "Paris"},
    )
    result = {"role": "tool", "tool_call_id": call.id, "content": "18 degrees"}
    answer = ask(client, messages=[*PARIS, choice.message, result], tools=[WEATHER])
    assert "18 degrees" in answer.choices[0].message.content


def test_a_required_tool_is_called_and_a_forbidden_one_is_not(client: OpenAI) -> None:
    required = ask(client, tools=[WEATHER], tool_choice="required")
    forbidden = ask(client, messages=PARIS, tools=[WEATHER], tool_choice="none")
    assert required.choices[0].message.tool_calls
    assert forbidden.choices[0].message.tool_calls is None


def test_a_streamed_tool_call_is_put_together_by_the_sdk(client: OpenAI) -> None:
    with client.chat.completions.stream(model="gpt-4o", messages=PARIS, tools=[WEATHER]) as stream:
        final = stream.get_final_completion()
    calls = final.choices[0].message.tool_calls
    assert calls is not None
    assert json.loads(calls[0].function.arguments) == {"city": "Paris"}


class City(BaseModel):
    name: str
    inhabitants: int


def test_a_json_schema_is_answered_with_json_that_fits(client: OpenAI) -> None:
    answer = client.chat.completions.parse(model="gpt-4o", messages=PARIS, response_format=City)
    assert answer.choices[0].message.parsed == City(name="Paris", inhabitants=1)
    plain = ask(client, response_format={"type": "json_object"})
    assert isinstance(json.loads(plain.choices[0].message.content), dict)


def test_a_legacy_completion_answers_every_prompt(client: OpenAI) -> None:
    answer = client.completions.create(model="gpt-3.5-turbo-instruct", prompt=["a b", "c"])
    assert len(answer.choices) == 2
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == 3
    chunks = client.completions.create(model="gpt-4o", prompt="a", stream=True, max_tokens=2)
    assert [chunk.choices[0].text for chunk in chunks] == ["Hello ", "from ", ""]


def test_an_embedding_is_the_same_as_floats_and_as_base64(client: OpenAI) -> None:
    floats = client.embeddings.create(
        model="text-embedding-3-small", input="a b c", encoding_format="float"
    )
    decoded = client.embeddings.create(model="text-embedding-3-small", input="a b c")
    assert decoded.data[0].embedding == pytest.approx(floats.data[0].embedding, abs=1e-6)
    assert (len(floats.data[0].embedding), floats.usage.prompt_tokens) == (1536, 3)


def test_base64_of_an_embedding_is_little_endian_floats(client: OpenAI) -> None:
    raw = client.embeddings.with_raw_response.create(
        model="m", input=[1, 2], dimensions=4, encoding_format="base64"
    )
    written = json.loads(raw.http_response.text)["data"][0]["embedding"]
    assert len(struct.unpack("<4f", base64.b64decode(written))) == 4


def test_a_response_and_its_stream_agree(client: OpenAI) -> None:
    whole = client.responses.create(model="gpt-4o", input="Hello there")
    with client.responses.stream(model="gpt-4o", input="Hello there") as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert final.output_text == whole.output_text
    assert final.usage == whole.usage
    assert kinds[:3] == ["response.created", "response.in_progress", "response.output_item.added"]
    assert kinds[-1] == "response.completed"


def test_a_response_calls_a_function_and_is_incomplete_at_its_cap(client: OpenAI) -> None:
    flat: Any = {"type": "function", "strict": False, **WEATHER["function"]}
    kinds = [
        event.type
        for event in client.responses.create(model="gpt-4o", input=PARIS, tools=[flat], stream=True)
    ]
    assert "response.function_call_arguments.done" in kinds
    cut = client.responses.create(model="gpt-4o", input="Hello", max_output_tokens=3)
    assert (cut.status, cut.usage and cut.usage.output_tokens) == ("incomplete", 3)


def test_a_reasoning_summary_streams_before_the_text(client: OpenAI) -> None:
    events = client.responses.create(
        model="demo-reasoning", input="Hi", reasoning={"summary": "auto"}, stream=True
    )
    kinds: list[str] = [event.type for event in events]
    summary, text = "response.reasoning_summary_text.delta", "response.output_text.delta"
    assert kinds.index(summary) < kinds.index(text)


def test_the_models_are_listed(client: OpenAI) -> None:
    names = {model.id for model in client.models.list()}
    assert {"gpt-4o", "claude-3-5-sonnet-latest", "grok-4", "demo-429"} <= names
    assert client.models.retrieve("gpt-4o").id == "gpt-4o"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("demo-misspelt")


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"content": "x"}]}, "messages[0].role"),
        ({"n": 0}, "n"),
        ({"n": True}, "n"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"tools": []}, "tools"),
        ({"tools": "none"}, "tools"),
        ({"tool_choice": "auto"}, "tool_choice"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"response_format": "json"}, "response_format"),
    ],
)
def test_a_bad_field_is_refused_by_its_name(client: OpenAI, more: Any, field: str) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        ask(client, **more)
    assert refused.value.param == field
