"""The Anthropic dialect of the demo provider, as the official SDK reads it over a socket."""

from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic

from local.provider import RunningProvider, count_tokens, start_in_thread

WEATHER: Any = {
    "name": "get_weather",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}
PARIS: Any = [{"role": "user", "content": "What is the weather in Paris?"}]
MODEL = "claude-3-5-sonnet-latest"


@pytest.fixture(scope="module")
def provider() -> Iterator[RunningProvider]:
    with start_in_thread(pace_seconds=0) as running:
        yield running


@pytest.fixture
def client(provider: RunningProvider) -> Anthropic:
    provider.reset_received()
    return Anthropic(base_url=provider.url, api_key="sk-ant-demo", max_retries=0)


def ask(client: Anthropic, model: str = MODEL, **more: Any) -> Any:
    more = {"messages": [{"role": "user", "content": "Hello there"}], "max_tokens": 4096, **more}
    return client.messages.create(model=model, **more)


def test_a_message_counts_a_token_a_word(client: Anthropic) -> None:
    message = ask(client, system="You are XAI")
    assert message.stop_reason == "end_turn"
    assert message.usage.input_tokens == 5
    assert message.usage.output_tokens == count_tokens(message.content[0].text)
    assert message._request_id.startswith("req_")


def test_max_tokens_cuts_the_text(client: Anthropic) -> None:
    message = ask(client, max_tokens=4)
    assert (message.stop_reason, message.usage.output_tokens) == ("max_tokens", 4)


def test_a_stream_is_put_together_to_the_same_message(client: Anthropic) -> None:
    whole = ask(client)
    with client.messages.stream(
        model=MODEL, max_tokens=4096, messages=[{"role": "user", "content": "Hello there"}]
    ) as stream:
        final = stream.get_final_message()
    assert final.content[0].to_dict()["text"] == whole.content[0].text
    assert final.usage.input_tokens == whole.usage.input_tokens
    assert final.usage.output_tokens == whole.usage.output_tokens


def test_a_stream_pings_and_keeps_one_block_open_at_a_time(client: Anthropic) -> None:
    raw = client.messages.with_streaming_response.create(
        model=MODEL, max_tokens=5, messages=PARIS, stream=True
    )
    with raw as response:
        lines = [line for line in response.iter_lines() if line.startswith("event: ")]
    start, opened, ping, *deltas, closed, delta, stop = [line[7:] for line in lines]
    assert (start, opened, ping) == ("message_start", "content_block_start", "ping")
    assert deltas == ["content_block_delta"] * 5
    assert (closed, delta, stop) == ("content_block_stop", "message_delta", "message_stop")


def test_thinking_comes_first_signed_and_counted(client: Anthropic) -> None:
    thinking: Any = {"type": "enabled", "budget_tokens": 1024}
    whole = ask(client, thinking=thinking)
    assert [block.type for block in whole.content] == ["thinking", "text"]
    words = count_tokens(whole.content[0].thinking)
    assert whole.usage.output_tokens_details.thinking_tokens == words
    with client.messages.stream(
        model=MODEL, max_tokens=4096, thinking=thinking, messages=PARIS
    ) as stream:
        block = stream.get_final_message().content[0].to_dict()
    assert (block["type"], bool(block["signature"])) == ("thinking", True)


def test_a_tool_is_used_and_its_result_is_answered(client: Anthropic) -> None:
    message = ask(client, messages=PARIS, tools=[WEATHER])
    used = message.content[0]
    assert (message.stop_reason, used.input) == ("tool_use", {"city": "Paris"})
    result = {"type": "tool_result", "tool_use_id": used.id, "content": "18 degrees"}
    said = [
        *PARIS,
        {"role": "assistant", "content": message.content},
        {"role": "user", "content": [result]},
    ]
    assert "18 degrees" in ask(client, messages=said, tools=[WEATHER]).content[0].text


def test_a_streamed_tool_use_is_put_together_by_the_sdk(client: Anthropic) -> None:
    with client.messages.stream(
        model=MODEL, max_tokens=99, messages=PARIS, tools=[WEATHER]
    ) as stream:
        used = stream.get_final_message().content[0].to_dict()
    assert used["input"] == {"city": "Paris"}


def test_a_marked_prefix_is_written_once_and_read_afterwards(client: Anthropic) -> None:
    marked = {"type": "text", "text": "one two three", "cache_control": {"type": "ephemeral"}}
    first, second = ask(client, system=[marked]).usage, ask(client, system=[marked]).usage
    assert (first.cache_creation_input_tokens, first.cache_read_input_tokens) == (3, 0)
    assert (second.cache_creation_input_tokens, second.cache_read_input_tokens) == (0, 3)
    assert first.input_tokens == second.input_tokens == 2
    hour: Any = {**marked, "text": "four", "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    assert ask(client, system=[hour]).usage.cache_creation.ephemeral_1h_input_tokens == 1


def test_tokens_are_counted_by_the_same_rule(client: Anthropic) -> None:
    counted = client.messages.count_tokens(model=MODEL, messages=PARIS, system="Be kind")
    assert counted.input_tokens == ask(client, messages=PARIS, system="Be kind").usage.input_tokens


def test_the_models_are_listed(client: Anthropic) -> None:
    assert MODEL in {model.id for model in client.models.list()}
    assert client.models.retrieve(MODEL).id == MODEL


@pytest.mark.parametrize(
    "extra",
    [
        {"temperature": 0.5},
        {"n": 2},
        {"thinking": {"type": "enabled", "budget_tokens": 10}},
        {"messages": [{"role": "system", "content": "x"}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": ""}]}]},
        {"tools": "none"},
        {"max_tokens": 0},
    ],
)
def test_what_anthropic_refuses_is_refused(client: Anthropic, extra: Any) -> None:
    with pytest.raises(anthropic.BadRequestError) as refused:
        ask(client, extra_body=extra)
    body: Any = refused.value.body
    assert body["error"]["type"] == "invalid_request_error"


def test_sampling_is_allowed_to_the_older_version_and_no_version_is_refused(
    client: Anthropic,
) -> None:
    older = {"anthropic-version": "2023-06-01"}
    assert ask(client, extra_body={"temperature": 0.5}, extra_headers=older).content
    with pytest.raises(anthropic.BadRequestError, match="anthropic-version"):
        ask(client, extra_headers={"anthropic-version": ""})


def test_an_overload_has_its_own_error(client: Anthropic) -> None:
    with pytest.raises(anthropic.InternalServerError) as refused:
        ask(client, "demo-529")
    body: Any = refused.value.body
    assert (refused.value.status_code, body["error"]["type"]) == (529, "overloaded_error")


def test_an_error_in_the_stream_is_raised(client: Anthropic) -> None:
    with pytest.raises(anthropic.APIStatusError, match="middle of the answer"):
        list(ask(client, "demo-error-in-stream-3", stream=True))
