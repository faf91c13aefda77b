"""Requests of other dialects for a model of Responses alone, and what becomes of its answers."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.protocols import anthropic_messages as messages
from gateway.protocols import openai_chat as chat
from gateway.protocols import openai_responses as responses
from gateway.protocols.conversation import Reply, Stop, Text, Thinking, ToolCall, Untranslatable
from gateway.protocols.form import FeatureKind
from gateway.protocols.translation import TranslatedStream
from tests.wire import making
from tests.wire import messages as making_messages
from tests.wire.asking import called, text, user
from tests.wire.making import HELLO, compact, relay
from tests.wire.responses import CREATED, end, event, make_stream, whole
from tests.wire.responses import text as say
from tests.wire.translating import (
    CALL_ID,
    CHAT_REQUEST,
    MESSAGES_REQUEST,
    head,
    read_completion,
    read_events,
    read_message,
)

PNG = "data:image/png;base64,iVBORw0KGgo="
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}


def from_chat(**fields: Any) -> dict[str, Any]:
    return written(chat.read_conversation(chat.read_request(making.body(**fields))))


def from_messages(**fields: Any) -> dict[str, Any]:
    request = messages.read_request(making_messages.body(**fields))
    return written(messages.read_conversation(request))


def written(conversation: Any) -> dict[str, Any]:
    body = responses.write_conversation(
        conversation, upstream_model="up", output_cap=100, stream=False
    )
    # What is written is what a caller of Responses may send: nothing is kept, nothing is unknown.
    assert all(f.kind is not FeatureKind.OTHER for f in responses.read_request(body).features)
    read: dict[str, Any] = json.loads(body)
    return read


def said(role: str, words: Any) -> dict[str, Any]:
    return {"type": "message", "role": role, "content": words}


def test_a_plain_request_keeps_nothing_and_says_what_it_says() -> None:
    plain = {"model": "up", "store": False, "max_output_tokens": 100}
    assert from_chat() == {**plain, "input": [said("user", "Hello")]}
    asked = from_chat(
        messages=[{"role": "system", "content": "Be brief."}, HELLO],
        temperature=0.5,
        top_p=0.9,
        user="u",
        stop=["x"],
        reasoning_effort="low",
    )
    assert asked == {
        **plain,
        "instructions": "Be brief.",
        "input": [said("user", "Hello")],
        "temperature": 0.5,
        "top_p": 0.9,
        "user": "u",
        "reasoning": {"effort": "low"},
    }


def test_instructions_alone_are_an_item() -> None:
    asked = from_chat(messages=[{"role": "system", "content": "Hello"}])
    assert asked["input"] == [said("developer", "Hello")]
    assert "instructions" not in asked


def test_calls_and_results_stand_between_what_was_said() -> None:
    tool = {"type": "function", "function": {"name": "get", "parameters": SCHEMA}}
    asked = from_chat(
        messages=[
            HELLO,
            called(content="I look."),
            {"role": "tool", "tool_call_id": "t1", "content": "5"},
        ],
        tools=[tool],
        tool_choice={"type": "function", "function": {"name": "get"}},
        parallel_tool_calls=False,
    )
    call = {"type": "function_call", "call_id": "t1", "name": "get", "arguments": '{"a":1}'}
    assert asked["input"] == [
        said("user", "Hello"),
        said("assistant", "I look."),
        call,
        {"type": "function_call_output", "call_id": "t1", "output": "5"},
    ]
    assert asked["tools"] == [
        {"type": "function", "name": "get", "parameters": SCHEMA, "strict": False}
    ]
    assert asked["tool_choice"] == {"type": "function", "name": "get"}
    assert asked["parallel_tool_calls"] is False


def test_images_and_files_are_parts_also_of_what_a_tool_gave() -> None:
    image = {"type": "image", "source": {"type": "url", "url": "https://x.org/a.png"}}
    png = {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="},
    }
    pdf = {"type": "document", "source": {"type": "url", "url": "https://x.org/a.pdf"}}
    used = {"type": "tool_use", "id": "t1", "name": "n" * 70, "input": {}}
    result = {"type": "tool_result", "tool_use_id": "t1", "content": [png]}
    asked = from_messages(
        messages=[
            user(text("Look"), image, pdf),
            {"role": "assistant", "content": [used]},
            user(result),
        ]
    )
    first, call, given = asked["input"]
    assert first["content"] == [
        {"type": "input_text", "text": "Look"},
        {"type": "input_image", "image_url": "https://x.org/a.png"},
        {"type": "input_file", "file_url": "https://x.org/a.pdf"},
    ]
    assert len(call["name"]) == 64
    assert given["output"] == [{"type": "input_image", "image_url": PNG}]


@pytest.mark.parametrize(
    ("asked", "format_"),
    [
        ({"type": "json_object"}, {"type": "json_object"}),
        (
            {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}},
            {"type": "json_schema", "name": "n", "schema": SCHEMA, "strict": False},
        ),
    ],
)
def test_a_format_is_asked_for_as_text(asked: Any, format_: Any) -> None:
    assert from_chat(response_format=asked)["text"] == {"format": format_}


OUTPUT = [
    {"type": "reasoning", "summary": [{"type": "summary_text", "text": one} for one in ("A", "B")]},
    {
        "type": "message",
        "role": "assistant",
        "content": [{"type": "output_text", "text": "Hi", "annotations": []}],
    },
    {"type": "web_search_call", "status": "completed"},
    {"type": "function_call", "call_id": "c1", "name": "short", "arguments": '{"a":1}'},
]


def test_an_answer_is_read_by_its_items() -> None:
    body = compact(whole(output=OUTPUT))
    reply = responses.read_reply(body, names={"short": "long"}, call_id=CALL_ID)
    called = ToolCall("c1", "long", '{"a":1}')
    assert reply == Reply(parts=(Thinking("A\n\nB"), Text("Hi"), called), stop=Stop.TOOL_CALLS)


@pytest.mark.parametrize(
    ("reason", "stop"),
    [("max_output_tokens", Stop.LENGTH), ("content_filter", Stop.REFUSAL), ("other", Stop.END)],
)
def test_an_answer_that_was_cut_says_why(reason: str, stop: Stop) -> None:
    body = compact(whole("incomplete", incomplete_details={"reason": reason}))
    assert responses.read_reply(body, names={}, call_id=CALL_ID).stop is stop


@pytest.mark.parametrize("body", [b"[]", b'{"output":5}', b'{"output":[{"content":"x"}]}'])
def test_what_is_no_answer_is_not_told(body: bytes) -> None:
    with pytest.raises(Untranslatable):
        responses.read_reply(body, names={}, call_id=CALL_ID)


def to_chat() -> TranslatedStream:
    return _translate(chat.ChatEventWriter(head(CHAT_REQUEST)))


def to_messages() -> TranslatedStream:
    return _translate(messages.MessagesEventWriter(head(MESSAGES_REQUEST)))


def _translate(writer: Any) -> TranslatedStream:
    reader = responses.ResponsesEventReader(names={"short": "long"}, call_id=CALL_ID)
    return TranslatedStream(make_stream(), reader, writer)


def item(index: int, **fields: Any) -> bytes:
    return event("response.output_item.added", output_index=index, item=fields)


def begin(index: int, id_: str, name: str = "short") -> bytes:
    return item(index, type="function_call", call_id=id_, name=name, arguments="")


def add(index: int, fragment: str) -> bytes:
    return event("response.function_call_arguments.delta", output_index=index, delta=fragment)


STREAM = (
    CREATED,
    item(0, type="reasoning", summary=[]),
    event("response.reasoning_summary_part.added", output_index=0, summary_index=0),
    event("response.reasoning_summary_text.delta", output_index=0, delta="A"),
    event("response.reasoning_summary_part.added", output_index=0, summary_index=1),
    event("response.reasoning_summary_text.delta", output_index=0, delta="B"),
    item(1, type="message", content=[]),
    say("Hi "),
    say("there"),
    event("response.output_text.annotation.added", annotation={}, delta={"odd": 1}),
    begin(2, "c1"),
    add(2, '{"a"'),
    add(2, ":1}"),
    begin(3, "c2"),
    event("response.function_call_arguments.done", output_index=3, arguments='{"b":2}'),
    end(),
)


def test_a_stream_is_told_as_chunks() -> None:
    read = read_completion(relay(to_chat(), *STREAM))
    message = read["message"]
    assert (message["reasoning_content"], message["content"]) == ("A\n\nB", "Hi there")
    assert message["tool_calls"] == [
        {"id": "c1", "name": "long", "arguments": '{"a":1}'},
        {"id": "c2", "name": "long", "arguments": '{"b":2}'},
    ]
    assert message["finish_reason"] == "tool_calls"
    assert (read["usage"]["prompt_tokens"], read["usage"]["completion_tokens"]) == (3, 2)


def test_a_stream_is_told_as_a_message() -> None:
    message = read_message(relay(to_messages(), *STREAM))
    thinking, words, first, second = message["content"]
    assert (thinking["thinking"], words["text"]) == ("A\n\nB", "Hi there")
    assert [(one["id"], one["input"]) for one in (first, second)] == [
        ("c1", {"a": 1}),
        ("c2", {"b": 2}),
    ]
    assert message["stop_reason"] == "tool_use"
    assert message["usage"]["input_tokens"] == 3


def test_a_stream_of_which_only_the_end_came_is_a_whole_answer() -> None:
    details = {"reason": "max_output_tokens"}
    sent = relay(to_chat(), end("incomplete", incomplete_details=details))
    assert read_completion(sent)["message"]["finish_reason"] == "length"


@pytest.mark.parametrize("broken", [end("failed", error={"message": "No"}), b"", event("error")])
@pytest.mark.parametrize("kept", range(len(STREAM)))
def test_a_stream_that_breaks_anywhere_never_ends_well(kept: int, broken: bytes) -> None:
    for open_stream in (to_chat, to_messages):
        stream = open_stream()
        sent = relay(stream, *STREAM[:kept], broken)
        assert not stream.is_complete
        events = read_events(sent)
        assert events[-1]["error"]["message"]
        assert all(one.get("type") not in {"[DONE]", "message_stop"} for one in events)


@settings(max_examples=30)
@given(st.data())
def test_one_byte_at_a_time_gives_the_same_as_all_at_once(data: st.DataObject) -> None:
    events = data.draw(st.lists(st.sampled_from(STREAM), max_size=12))
    sent = b"".join(events)
    places = sorted(data.draw(st.lists(st.integers(0, len(sent)), max_size=8)))
    cut = [sent[a:b] for a, b in itertools.pairwise([0, *places, len(sent)])]
    for open_stream in (to_chat, to_messages):
        expected = relay(open_stream(), sent)
        assert relay(open_stream(), *cut) == expected
        assert relay(open_stream(), *(sent[at : at + 1] for at in range(len(sent)))) == expected
        read_events(expected)
