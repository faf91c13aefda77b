"""A stream told in another dialect is a well-formed one there, however it arrived."""

import json
from typing import Any

import pytest

from gateway.errors import UpstreamTimeout
from tests.wire import messages, translating
from tests.wire.making import DONE, delta, event, finish, relay, usage_chunk
from tests.wire.translating import read_completion, read_events, read_message

ROLE = event({"id": "c1", "choices": [{"index": 0, "delta": {"role": "assistant"}}]})
FINISH, USAGE = event(finish()), event(usage_chunk())


def say(**fields: Any) -> bytes:
    return event({"id": "c1", "choices": [{"index": 0, "delta": fields, "finish_reason": None}]})


def call(index: int | None, arguments: str | None = None, **fields: Any) -> bytes:
    function = {"name": fields.pop("name", None), "arguments": arguments}
    one = {"index": index, "function": function, **fields}
    return say(tool_calls=[{name: value for name, value in one.items() if value is not None}])


def begin(index: int | None, name: str = "get", arguments: str = "") -> bytes:
    return call(index, arguments, id=f"call_{name}", type="function", name=name)


def tell(*pieces: bytes, end: bytes = FINISH + USAGE + DONE) -> dict[str, Any]:
    """The message that Anthropic's clients make of a stream of chat completions."""
    return read_message(relay(translating.to_messages(), ROLE, *pieces, end))


def show(message: dict[str, Any]) -> list[Any]:
    """The blocks of a message in short."""
    kinds = {"text": "text", "thinking": "thinking", "tool_use": "input"}
    return [block[kinds[block["type"]]] for block in message["content"]]


def test_words_become_one_block_of_text() -> None:
    message = tell(event(delta("One")), event(delta(" two")))
    assert message["content"] == [{"type": "text", "text": "One two"}]
    assert (message["model"], message["role"], message["type"]) == (
        "public",
        "assistant",
        "message",
    )
    assert (message["stop_reason"], message["stop_sequence"]) == ("end_turn", None)
    assert message["usage"] == {
        "input_tokens": 3,
        "output_tokens": 2,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
    }


def test_a_call_that_never_gets_an_id_or_arguments_is_told_at_the_end() -> None:
    message = tell(call(0, "", name="ping"))
    (block,) = message["content"]
    assert (block["type"], block["name"], block["input"]) == ("tool_use", "ping", {})
    assert block["id"]
    assert message["stop_reason"] == "tool_use"


def test_thoughts_words_and_calls_become_blocks_in_their_order() -> None:
    message = tell(
        say(reasoning_content="Hm"),
        say(reasoning="m."),
        say(content="Look: "),
        begin(0),
        call(0, '{"a":'),
        call(0, " 1}"),
        end=event(finish("tool_calls")) + USAGE + DONE,
    )
    assert message["content"] == [
        {"type": "thinking", "thinking": "Hmm.", "signature": ""},
        {"type": "text", "text": "Look: "},
        {"type": "tool_use", "id": "call_get", "name": "get", "input": {"a": 1}},
    ]
    assert message["stop_reason"] == "tool_use"


def test_calls_that_come_interleaved_are_put_in_order() -> None:
    message = tell(
        begin(0, "one"),
        begin(1, "two"),
        call(1, '{"b":'),
        call(0, '{"a":"}'),
        call(1, "2}"),
        say(content="Then"),
        call(0, '\\"{"'),
        call(0, "}"),
    )
    assert show(message) == [{"a": '}"{'}, {"b": 2}, "Then"]


def test_a_call_whose_arguments_are_whole_gives_way_at_once() -> None:
    stream = translating.to_messages()
    stream.feed(ROLE + begin(0, "one", '{"a":1}'))
    told = stream.feed(begin(1, "two"))
    assert [e["type"] for e in read_events(told)] == ["content_block_stop", "content_block_start"]
    assert b'"index":1' in stream.feed(call(1, '{"b":2}'))


def test_a_call_that_is_never_whole_ends_with_the_answer() -> None:
    cut = relay(
        translating.to_messages(),
        ROLE + begin(0, "one", '{"a":') + say(content="Later") + event(finish("length")) + DONE,
    )
    ends = [e["type"] for e in read_events(cut)]
    assert ends.count("content_block_stop") == ends.count("content_block_start") == 2
    assert b'"max_tokens"' in cut


def test_a_call_without_arguments_has_empty_ones() -> None:
    assert show(tell(begin(0, "one"), say(content="x"), begin(1, "two", "{}"))) == [{}, "x", {}]


def test_calls_without_an_index_or_with_always_the_same_are_told_apart() -> None:
    whole = [begin(None, "one", '{"a":1}'), begin(None, "two", '{"b":2}')]
    assert show(tell(*whole)) == [{"a": 1}, {"b": 2}]
    same = [begin(0, "one", '{"a":1}'), begin(0, "two", '{"b":2}')]
    assert show(tell(*same)) == [{"a": 1}, {"b": 2}]


def test_a_call_waits_for_its_name_and_gets_an_id_where_it_has_none() -> None:
    message = tell(call(0, id="call_x"), call(0, "{", name="get"), call(0, "}"))
    assert message["content"][0]["id"] == "call_x"
    nameless = tell(call(0, "{}", name="get"))
    assert nameless["content"][0]["id"].startswith("call_")


def test_names_that_were_shortened_come_back_whole() -> None:
    stream = translating.to_messages(get="the_long_name")
    message = read_message(relay(stream, ROLE, begin(0), FINISH, DONE))
    assert message["content"][0]["name"] == "the_long_name"


def test_stop_after_a_call_of_a_tool_is_tool_use() -> None:
    assert tell(begin(0))["stop_reason"] == "tool_use"


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("stop", "end_turn"),
        ("length", "max_tokens"),
        ("content_filter", "refusal"),
        ("odd", "end_turn"),
    ],
)
def test_every_reason_to_finish_has_its_counterpart(reason: str, told: str) -> None:
    assert tell(say(content="x"), end=event(finish(reason)) + DONE)["stop_reason"] == told


def test_a_refusal_is_text_with_its_own_reason() -> None:
    message = tell(say(refusal="I can't"), say(refusal="."))
    assert (show(message), message["stop_reason"]) == (["I can't."], "refusal")


def test_an_answer_without_usage_has_zeros_and_one_without_content_has_none() -> None:
    message = tell(end=FINISH + DONE)
    assert message["content"] == []
    assert set(message["usage"].values()) == {0}


def test_azures_empty_chunk_and_comments_begin_nothing_twice() -> None:
    azure = event({"id": "", "choices": [], "prompt_filter_results": [{}]})
    stream = translating.to_messages()
    assert stream.feed(b": OPENROUTER PROCESSING\n\n") == b""
    told = relay(stream, azure, ROLE, say(content="x"), FINISH, DONE)
    assert show(read_message(told)) == ["x"]


BREAKS: list[tuple[bytes, ...]] = [
    (),
    (b"data: {",),
    (event({"error": {"message": "Our team is out of credits", "code": 429}}), FINISH, DONE),
    (event(b"nonsense"), DONE),
    (say(tool_calls=[{"index": 0, "function": {"name": 5}}]), FINISH, DONE),
    (b"<html>\n\n",),
]


@pytest.mark.parametrize("pieces", BREAKS, ids=str)
def test_a_broken_stream_of_chat_completions_ends_in_an_error_event(
    pieces: tuple[bytes, ...],
) -> None:
    stream = translating.to_messages()
    events = read_events(relay(stream, ROLE, say(content="x"), *pieces))
    assert events[-1]["type"] == "error"
    assert events[-1]["error"]["type"] == "api_error"
    assert "credits" not in json.dumps(events)
    assert "message_stop" not in {e["type"] for e in events}
    assert (stream.is_complete, stream.ended) == (False, True)
    assert stream.error is not None


def test_why_it_broke_is_told_in_the_callers_dialect() -> None:
    for stream, place in ((translating.to_messages(), "type"), (translating.to_chat(), "code")):
        stream.close(UpstreamTimeout())
        (told,) = read_events(stream.ending)
        assert told["error"][place] in {"timeout_error", "api_error", "upstream_timeout"}


BLOCK = [messages.open_block(), messages.text("One"), messages.text(" two"), messages.close_block()]


def hear(*pieces: bytes, end: bytes = messages.finish() + messages.STOP) -> dict[str, Any]:
    """What OpenAI's clients make of a stream of messages."""
    start = messages.start({"input_tokens": 5, "cache_read_input_tokens": 6, "output_tokens": 1})
    return read_completion(relay(translating.to_chat(), start, messages.PING, *pieces, end))


def test_a_message_becomes_chunks_with_usage_at_the_end() -> None:
    heard = hear(*BLOCK)
    message = {"role": "assistant", "content": "One two", "tool_calls": [], "finish_reason": "stop"}
    assert heard["message"] == message
    assert heard["usage"]["prompt_tokens"] == 11
    assert heard["usage"]["prompt_tokens_details"]["cached_tokens"] == 6
    assert (heard["usage"]["completion_tokens"], heard["usage"]["total_tokens"]) == (2, 13)


def test_usage_that_was_not_asked_for_is_not_sent() -> None:
    told = relay(
        translating.to_chat(wants_usage=False),
        messages.start() + b"".join(BLOCK) + messages.finish() + messages.STOP,
    )
    assert b"usage" not in told
    assert read_completion(told)["usage"] is None


def test_thoughts_and_calls_of_tools_become_deltas() -> None:
    heard = hear(
        messages.open_block(index=0, type="thinking", thinking="", signature=""),
        messages.block_delta(0, type="thinking_delta", thinking="Hm"),
        messages.block_delta(0, type="signature_delta", signature="c2ln"),
        messages.close_block(0),
        messages.open_block(index=1, type="tool_use", id="t1", name="get", input={}),
        messages.block_delta(1, type="input_json_delta", partial_json='{"a":'),
        messages.block_delta(1, type="input_json_delta", partial_json="1}"),
        messages.close_block(1),
        messages.open_block(index=2, type="tool_use", id="t2", name="put", input={"b": 2}),
        messages.close_block(2),
        end=messages.finish(reason="tool_use") + messages.STOP,
    )["message"]
    assert heard["reasoning_content"] == "Hm"
    assert heard["tool_calls"] == [
        {"id": "t1", "name": "get", "arguments": '{"a":1}'},
        {"id": "t2", "name": "put", "arguments": '{"b":2}'},
    ]
    assert heard["finish_reason"] == "tool_calls"
    assert "c2ln" not in json.dumps(heard)


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("pause_turn", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "content_filter"),
        ("new", "stop"),
    ],
)
def test_every_reason_to_stop_has_its_counterpart(reason: str, told: str) -> None:
    end = messages.finish(reason=reason) + messages.STOP
    assert hear(*BLOCK, end=end)["message"]["finish_reason"] == told


def test_what_hosted_tools_do_on_the_way_is_not_told() -> None:
    heard = hear(
        messages.open_block(index=0, type="server_tool_use", id="s", name="web_search", input={}),
        messages.block_delta(0, type="input_json_delta", partial_json='{"query":"x"}'),
        messages.close_block(0),
        messages.block_delta(0, type="citations_delta", citation={"title": "x"}),
    )
    assert heard["message"]["tool_calls"] == []


@pytest.mark.parametrize(
    "pieces",
    [(), (messages.event({"type": "error", "error": {"message": "No"}}), messages.STOP)],
    ids=["cut", "error"],
)
def test_a_broken_stream_of_messages_ends_in_an_error_and_no_done(
    pieces: tuple[bytes, ...],
) -> None:
    stream = translating.to_chat()
    events = read_events(relay(stream, messages.start(), *BLOCK, *pieces))
    assert set(events[-1]["error"]) == {"message", "type", "param", "code"}
    assert {"type": "[DONE]"} not in events
    assert not stream.is_complete


def test_a_missing_message_stop_still_ends_cleanly() -> None:
    assert hear(*BLOCK, end=messages.finish())["message"]["finish_reason"] == "stop"
