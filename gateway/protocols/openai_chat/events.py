"""Streams of chat completions, read into the one form's events and written from them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from billing.usage import Usage
from gateway.errors import UpstreamError, openai_body
from gateway.protocols.body import UNREADABLE
from gateway.protocols.conversation import (
    CallBegun,
    CallDelta,
    Event,
    Finished,
    Head,
    RefusalDelta,
    TextDelta,
    ThinkingDelta,
    Untranslatable,
)
from gateway.protocols.openai_chat.replies import (
    FINISH_REASONS,
    make_call_id,
    read_stop,
    write_head,
    write_usage,
)
from gateway.protocols.openai_chat.stream import DONE


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | dict[str, Any] | None = None


class _ToolCall(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None


class _Delta(msgspec.Struct):
    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[_ToolCall] | None = None


class _Choice(msgspec.Struct):
    index: int = 0
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] | None = None


class _Call(msgspec.Struct):
    """A call as far as it was told; `number` is -1 until both its id and its name are known."""

    id: str = ""
    name: str = ""
    number: int = -1
    waiting: str = ""


_chunk = msgspec.json.Decoder(_Chunk)


class ChatEventReader:
    """Reads the first choice of a stream. `names` and `call_id` are as in replies.py."""

    def __init__(self, *, names: Mapping[str, str], call_id: str) -> None:
        self._names = names
        self._call_id = call_id
        self._calls: dict[int, _Call] = {}
        self._count = 0

    def read(self, data: bytes) -> list[Event]:
        if data.strip() == b"[DONE]":
            return []
        try:
            chunk = _chunk.decode(data)
        except UNREADABLE as error:
            raise Untranslatable(f"a chunk of another shape: {error}") from None
        events: list[Event] = []
        for choice in chunk.choices or ():
            if choice.index == 0:
                events += self._read_choice(choice)
        return events

    def _read_choice(self, choice: _Choice) -> Iterator[Event]:
        delta = choice.delta
        if delta is not None:
            thought = delta.reasoning_content or delta.reasoning
            if thought:
                yield ThinkingDelta(thought)
            if delta.content:
                yield TextDelta(delta.content)
            if delta.refusal:
                yield RefusalDelta(delta.refusal)
            for at, call in enumerate(delta.tool_calls or ()):
                yield from self._read_call(at if call.index is None else call.index, call)
        if choice.finish_reason:
            for begun in self._calls.values():
                if begun.name and begun.number < 0:  # Neither an id nor arguments ever came.
                    yield from self._begin(begun)
            yield Finished(read_stop(choice.finish_reason, has_called=self._count > 0))

    def _read_call(self, index: int, sent: _ToolCall) -> Iterator[Event]:
        """Some servers give every call the index 0, or none: another id is another call."""
        call = self._calls.get(index)
        if call is None or (sent.id and call.id and sent.id != call.id):
            call = self._calls[index] = _Call()
        function = sent.function or _Function()
        arguments = function.arguments or ""
        if isinstance(arguments, dict):
            arguments = msgspec.json.encode(arguments).decode()
        if call.number >= 0:
            if arguments:
                yield CallDelta(call.number, arguments)
            return
        call.id = call.id or sent.id or ""
        call.name = call.name or function.name or ""
        call.waiting += arguments
        if call.name and (call.id or call.waiting):
            yield from self._begin(call)

    def _begin(self, call: _Call) -> Iterator[Event]:
        call.number = self._count
        call.id = call.id or make_call_id(self._call_id, call.number)
        self._count += 1
        yield CallBegun(call.number, call.id, self._names.get(call.name, call.name))
        if call.waiting:
            yield CallDelta(call.number, call.waiting)


class ChatEventWriter:
    """Writes chunks. Usage comes in one of its own, before [DONE], if it was asked for."""

    def __init__(self, head: Head) -> None:
        self._head = head
        self._chunk: dict[str, Any] = write_head(head, "chat.completion.chunk")
        self._wants_usage = head.request.wants_usage
        if self._wants_usage:
            self._chunk["usage"] = None
        self._finished = Finished(read_stop(None, has_called=False))

    def begin(self, usage: Usage | None) -> bytes:
        return self._write({"role": "assistant", "content": ""})

    def write(self, event: Event) -> bytes:
        match event:
            case TextDelta(text=text):
                return self._write({"content": text})
            case ThinkingDelta(text=text):
                return self._write({"reasoning_content": text})
            case RefusalDelta(text=text):
                return self._write({"refusal": text})
            case CallBegun(call=call, id=id_, name=name):
                function = {"name": name, "arguments": ""}
                begun = {"index": call, "id": id_, "type": "function", "function": function}
                return self._write({"tool_calls": [begun]})
            case CallDelta(call=call, fragment=fragment):
                more = {"index": call, "function": {"arguments": fragment}}
                return self._write({"tool_calls": [more]})
            case Finished():
                self._finished = event
        return b""

    def end(self, usage: Usage | None) -> bytes:
        last = self._write({}, FINISH_REASONS[self._finished.stop])
        if self._wants_usage and usage is not None:
            chunk = {**self._chunk, "choices": [], "usage": write_usage(usage)}
            last += b"data: " + msgspec.json.encode(chunk) + b"\n\n"
        return last + DONE

    def fail(self, error: UpstreamError) -> bytes:
        return b"data: " + openai_body(error, self._head.call_id) + b"\n\n"

    def _write(self, delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        chunk = {**self._chunk, "choices": [choice]}
        return b"data: " + msgspec.json.encode(chunk) + b"\n\n"
