"""Streams of messages, read into the one form's events and written from them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from billing.usage import Usage
from gateway.errors import UpstreamError, anthropic_body
from gateway.protocols.anthropic_messages.replies import (
    STOP_REASONS,
    read_stop,
    write_head,
    write_usage,
)
from gateway.protocols.anthropic_messages.stream import STOP
from gateway.protocols.blocks import Added, Block, BlockKind, Closed, Opened, Sequence, Step
from gateway.protocols.body import UNREADABLE
from gateway.protocols.conversation import (
    CallBegun,
    CallDelta,
    Event,
    Finished,
    Head,
    RefusalDelta,
    SignatureDelta,
    Stop,
    TextDelta,
    ThinkingDelta,
    Untranslatable,
)


class _Delta(msgspec.Struct):
    type: str = ""
    text: str = ""
    thinking: str = ""
    signature: str = ""
    partial_json: str = ""
    stop_reason: str | None = None
    stop_sequence: str | None = None


class _Block(msgspec.Struct):
    type: str = ""
    text: str = ""
    thinking: str = ""
    id: str = ""
    name: str = ""
    input: Any = None


class _Event(msgspec.Struct):
    type: str = ""
    index: int = 0
    content_block: _Block | None = None
    delta: _Delta | None = None


_event = msgspec.json.Decoder(_Event)


class MessagesEventReader:
    """Reads a stream, event by event. `names` are tools' own names by those that were sent."""

    def __init__(self, *, names: Mapping[str, str], call_id: str) -> None:
        self._names = names
        self._calls: dict[int, int] = {}  # Numbers of calls, by the index of their block.

    def read(self, data: bytes) -> list[Event]:
        try:
            read = _event.decode(data)
        except UNREADABLE as error:
            raise Untranslatable(f"an event of another shape: {error}") from None
        if read.type == "content_block_delta" and read.delta is not None:
            return self._read_delta(read.index, read.delta)
        if read.type == "content_block_start" and read.content_block is not None:
            return self._read_block(read.index, read.content_block)
        if read.type == "message_delta" and read.delta is not None and read.delta.stop_reason:
            stop = read_stop(read.delta.stop_reason)
            return [Finished(stop, read.delta.stop_sequence)]
        return []

    def _read_delta(self, index: int, delta: _Delta) -> list[Event]:
        match delta.type:
            case "text_delta":
                return [TextDelta(delta.text)]
            case "thinking_delta":
                return [ThinkingDelta(delta.thinking)]
            case "signature_delta":
                return [SignatureDelta(delta.signature)]
            case "input_json_delta" if index in self._calls:
                return [CallDelta(self._calls[index], delta.partial_json)]
        return []

    def _read_block(self, index: int, block: _Block) -> list[Event]:
        """A block usually begins empty; some servers say all of it here."""
        match block.type:
            case "text" if block.text:
                return [TextDelta(block.text)]
            case "thinking" if block.thinking:
                return [ThinkingDelta(block.thinking)]
            case "tool_use":
                call = self._calls[index] = len(self._calls)
                name = self._names.get(block.name, block.name)
                events: list[Event] = [CallBegun(call, block.id, name)]
                if block.input:
                    events.append(CallDelta(call, msgspec.json.encode(block.input).decode()))
                return events
        return []


class MessagesEventWriter:
    """Writes a stream. Usage comes with the reason of the stop, all of it."""

    def __init__(self, head: Head) -> None:
        self._head = head
        self._sequence = Sequence()
        self._finished = Finished(Stop.END)
        self._has_refused = False

    def begin(self, usage: Usage | None) -> bytes:
        message = {
            **write_head(self._head),
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": write_usage(usage) | {"output_tokens": 0},
        }
        return _write({"type": "message_start", "message": message})

    def write(self, event: Event) -> bytes:
        if isinstance(event, Finished):
            self._finished = event
        self._has_refused |= isinstance(event, RefusalDelta)
        return b"".join(map(_write_step, self._sequence.take(event)))

    def end(self, usage: Usage | None) -> bytes:
        stop = Stop.REFUSAL if self._has_refused else self._finished.stop
        delta = {
            "stop_reason": STOP_REASONS[stop],
            "stop_sequence": self._finished.stop_sequence,
        }
        last = {"type": "message_delta", "delta": delta, "usage": write_usage(usage)}
        return b"".join(map(_write_step, self._sequence.end())) + _write(last) + STOP

    def fail(self, error: UpstreamError) -> bytes:
        return b"event: error\ndata: " + anthropic_body(error, self._head.call_id) + b"\n\n"


def _write(event: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (event["type"].encode(), msgspec.json.encode(event))


def _write_step(step: Step) -> bytes:
    index = step.block.index
    match step:
        case Opened(block=block):
            content_block = _write_block(block)
            return _write(
                {"type": "content_block_start", "index": index, "content_block": content_block}
            )
        case Added(block=block, text=text):
            return _write_delta(index, _write_text(block.kind, text))
        case Closed(block=block):
            signed = b""
            if block.kind is BlockKind.THINKING:
                signature = {"type": "signature_delta", "signature": block.signature}
                signed = _write_delta(index, signature)
            return signed + _write({"type": "content_block_stop", "index": index})


def _write_block(block: Block) -> dict[str, Any]:
    match block.kind:
        case BlockKind.THINKING:
            return {"type": "thinking", "thinking": "", "signature": ""}
        case BlockKind.CALL:
            return {"type": "tool_use", "id": block.id, "name": block.name, "input": {}}
        case _:
            return {"type": "text", "text": ""}


def _write_text(kind: BlockKind, text: str) -> dict[str, str]:
    match kind:
        case BlockKind.THINKING:
            return {"type": "thinking_delta", "thinking": text}
        case BlockKind.CALL:
            return {"type": "input_json_delta", "partial_json": text}
        case _:
            return {"type": "text_delta", "text": text}


def _write_delta(index: int, delta: dict[str, str]) -> bytes:
    return _write({"type": "content_block_delta", "index": index, "delta": delta})
