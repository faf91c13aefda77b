"""What is written in one dialect is read back in it as it was meant: answers, streams and usage."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.usage import Usage
from gateway.protocols import anthropic_messages as messages
from gateway.protocols import openai_chat as chat
from gateway.protocols import openai_responses as responses
from gateway.protocols.conversation import (
    CallBegun,
    CallDelta,
    Event,
    Finished,
    Reply,
    Stop,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
)
from gateway.protocols.translation import TranslatedStream
from tests.wire import making, translating
from tests.wire import messages as making_messages
from tests.wire import responses as making_responses
from tests.wire.translating import CALL_ID, head

WORDS = st.text(min_size=1, max_size=8) | st.sampled_from(['"', "\\", "{", "é\n", "\u2028"])
ARGUMENTS = st.dictionaries(WORDS, WORDS, max_size=2).map(json.dumps)
COUNTS = st.integers(0, 10**6)
USAGES = st.builds(
    Usage,
    uncached_input=COUNTS,
    cache_read=COUNTS,
    cache_write_5m=COUNTS,
    output=COUNTS,
    reasoning=COUNTS,
)


class Spoken(NamedTuple):
    """A dialect from both sides."""

    request: Any
    read_answer: Callable[[bytes], Any]
    read_reply: Callable[..., Reply]
    write_reply: Callable[..., bytes]
    stream: Callable[..., Any]
    reader: Any
    writer: Any


SPOKEN = {
    "chat": Spoken(
        translating.CHAT_REQUEST,
        chat.read_answer,
        chat.read_reply,
        chat.write_reply,
        lambda: making.make_stream(wants_usage=True),
        chat.ChatEventReader,
        chat.ChatEventWriter,
    ),
    "messages": Spoken(
        translating.MESSAGES_REQUEST,
        messages.read_answer,
        messages.read_reply,
        messages.write_reply,
        making_messages.make_stream,
        messages.MessagesEventReader,
        messages.MessagesEventWriter,
    ),
    "responses": Spoken(
        translating.RESPONSES_REQUEST,
        responses.read_answer,
        responses.read_reply,
        responses.write_reply,
        making_responses.make_stream,
        responses.ResponsesEventReader,
        responses.ResponsesEventWriter,
    ),
}
PARTS = st.one_of(
    WORDS.map(Text),
    WORDS.map(Thinking),
    st.builds(ToolCall, st.uuids().map(str), st.sampled_from(["get", "put"]), ARGUMENTS),
)


def say(reply: Reply) -> tuple[Any, ...]:
    """What all dialects tell of an answer: texts put together, and calls in their order."""
    texts = "".join(part.text for part in reply.parts if isinstance(part, Text))
    thoughts = "".join(part.text for part in reply.parts if isinstance(part, Thinking))
    calls = [
        (part.id, part.name, json.loads(part.arguments or "{}"))
        for part in reply.parts
        if isinstance(part, ToolCall)
    ]
    return texts, thoughts, calls


def check_usage(read: Usage, told: Usage) -> None:
    """The buckets that a dialect has hold what they held; input and output are whole."""
    assert (read.input_tokens, read.output_tokens) == (told.input_tokens, told.output_tokens)
    assert read.cache_read == told.cache_read
    assert read.cache_write_5m == told.cache_write_5m


@pytest.mark.parametrize("name", SPOKEN)
@given(st.lists(PARTS, max_size=4), USAGES)
def test_a_whole_answer_is_read_as_it_was_written(
    name: str, parts: list[Any], usage: Usage
) -> None:
    spoken = SPOKEN[name]
    has_called = any(isinstance(part, ToolCall) for part in parts)
    reply = Reply(parts=tuple(parts), stop=Stop.TOOL_CALLS if has_called else Stop.END)
    body = spoken.write_reply(reply, head(spoken.request), usage)
    answer = spoken.read_answer(body)
    assert answer.is_answer
    check_usage(answer.metered.usage, usage)
    read = spoken.read_reply(body, names={}, call_id=CALL_ID)
    assert say(read) == say(reply)
    assert read.stop is reply.stop


def tell(parts: list[Any]) -> list[Event]:
    """The events of a stream that says these parts, each in two pieces."""
    events: list[Event] = []
    calls = 0
    for part in parts:
        if isinstance(part, ToolCall):
            half = len(part.arguments) // 2
            events.append(CallBegun(calls, part.id, part.name))
            events += [CallDelta(calls, part.arguments[:half])]
            events += [CallDelta(calls, part.arguments[half:])]
            calls += 1
        else:
            delta = TextDelta if isinstance(part, Text) else ThinkingDelta
            events += [delta(part.text[:1]), delta(part.text[1:])]
    return [*events, Finished(Stop.TOOL_CALLS if calls else Stop.END)]


def hop(name: str, other: str, sent: bytes) -> tuple[bytes, Usage]:
    """Let a stream of one dialect be told in another; return it, and what was metered."""
    spoken, told = SPOKEN[name], SPOKEN[other]
    reader = spoken.reader(names={}, call_id=CALL_ID)
    stream = TranslatedStream(spoken.stream(), reader, told.writer(head(told.request)))
    passed = making.relay(stream, sent)
    assert stream.is_complete, stream.error
    usage = stream.metered.usage
    assert usage is not None
    return passed, usage


def put_together(name: str, sent: bytes) -> tuple[Any, ...]:
    """What a strict client of the dialect makes of a stream, as say() has it."""
    if name == "messages":
        body = json.dumps(translating.read_message(sent)).encode()
    elif name == "responses":
        body = json.dumps(translating.read_response(sent)).encode()
    else:
        message = translating.read_completion(sent)["message"]
        for call in message["tool_calls"]:
            call["function"] = {"name": call.pop("name"), "arguments": call.pop("arguments")}
        choice = {"message": message, "finish_reason": message["finish_reason"]}
        body = json.dumps({"choices": [choice]}).encode()
    return say(SPOKEN[name].read_reply(body, names={}, call_id=CALL_ID))


@pytest.mark.parametrize("other", SPOKEN)
@pytest.mark.parametrize("name", SPOKEN)
@settings(max_examples=40)
@given(st.lists(PARTS, max_size=4), USAGES)
def test_a_stream_says_the_same_after_two_translations(
    name: str, other: str, parts: list[Any], usage: Usage
) -> None:
    spoken = SPOKEN[name]
    writer = spoken.writer(head(spoken.request))
    said = b"".join([writer.begin(None), *map(writer.write, tell(parts)), writer.end(usage)])
    expected = say(Reply(parts=tuple(parts), stop=Stop.END))
    assert put_together(name, said) == expected
    told, metered = hop(name, other, said)
    check_usage(metered, usage)
    assert put_together(other, told) == expected
    back, metered = hop(other, name, told)
    check_usage(metered, usage)
    assert put_together(name, back) == expected
