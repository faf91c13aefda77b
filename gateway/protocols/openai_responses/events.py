"""Streams of the Responses API, read into the one form's events and written from them. Pure.

Every part of the answer is an item of its own: reasoning, a message with one part, or a call.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from billing.usage import Usage
from gateway.errors import UpstreamError
from gateway.protocols.blocks import Added, Block, BlockKind, Closed, Opened, Sequence, Step
from gateway.protocols.body import UNREADABLE
from gateway.protocols.conversation import (
    Answered,
    CallBegun,
    CallDelta,
    Event,
    Finished,
    Head,
    Refusal,
    RefusalDelta,
    Stop,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
    Untranslatable,
)
from gateway.protocols.openai_responses.replies import (
    PART_END,
    Item,
    Response,
    item_id,
    read_stop,
    text_part,
    write_item,
    write_response,
)
from gateway.protocols.openai_responses.stream import write_error
from gateway.protocols.openai_responses.tools import find_kinds


class _Item(msgspec.Struct):
    type: str = ""
    call_id: str = ""
    name: str = ""
    arguments: str = ""


class _Event(msgspec.Struct):
    """`delta` is text in the events that are read here, and may be anything in others."""

    type: str = ""
    output_index: int = 0
    summary_index: int = 0
    delta: Any = None
    arguments: str = ""
    item: _Item | None = None
    response: Response | None = None


_event = msgspec.json.Decoder(_Event)
_DELTAS: dict[str, type[TextDelta | ThinkingDelta | RefusalDelta]] = {
    "response.output_text.delta": TextDelta,
    "response.refusal.delta": RefusalDelta,
    "response.reasoning_summary_text.delta": ThinkingDelta,
    "response.reasoning_text.delta": ThinkingDelta,
}


class ResponsesEventReader:
    """Reads a stream, event by event. `names` are tools' own names by those that were sent."""

    def __init__(self, *, names: Mapping[str, str], call_id: str) -> None:
        self._names = names
        self._calls: dict[int, int] = {}  # Numbers of calls, by the index of their item.
        self._told: set[int] = set()  # The calls whose arguments came in fragments.

    def read(self, data: bytes) -> list[Event]:
        try:
            read = _event.decode(data)
        except UNREADABLE as error:
            raise Untranslatable(f"an event of another shape: {error}") from None
        return list(self._read(read))

    def _read(self, read: _Event) -> Iterator[Event]:
        match read.type:
            case type_ if type_ in _DELTAS:
                if isinstance(read.delta, str):
                    yield _DELTAS[type_](read.delta)
            case "response.reasoning_summary_part.added" if read.summary_index > 0:
                yield ThinkingDelta(PART_END)
            case "response.output_item.added" if read.item and read.item.type == "function_call":
                yield from self._begin_call(read.output_index, read.item)
            case "response.function_call_arguments.delta" if isinstance(read.delta, str):
                yield from self._add(read.output_index, read.delta)
            case "response.function_call_arguments.done":
                if read.output_index not in self._told:
                    yield from self._add(read.output_index, read.arguments)
            case "response.completed" | "response.incomplete":
                stop = read_stop(read.response or Response(), has_called=bool(self._calls))
                yield Finished(stop)

    def _begin_call(self, index: int, item: _Item) -> Iterator[Event]:
        call = self._calls[index] = len(self._calls)
        yield CallBegun(call, item.call_id, self._names.get(item.name, item.name))
        yield from self._add(index, item.arguments)

    def _add(self, index: int, fragment: str) -> Iterator[Event]:
        if index in self._calls and fragment:
            self._told.add(index)
            yield CallDelta(self._calls[index], fragment)


class ResponsesEventWriter:
    """Writes a stream. The last event holds the whole response, with its usage."""

    def __init__(self, head: Head) -> None:
        self._head = head
        self._kinds = find_kinds(head.request)
        self._sequence = Sequence()
        self._number = 0
        self._output: list[Item] = []
        self._finished = Finished(Stop.END)

    def begin(self, usage: Usage | None) -> bytes:
        response = write_response(self._head, stop=None, output=[], usage=None)
        created = self._write("response.created", response=response)
        return created + self._write("response.in_progress", response=response)

    def write(self, event: Event) -> bytes:
        if isinstance(event, Finished):
            self._finished = event
        return self._write_steps(self._sequence.take(event))

    def end(self, usage: Usage | None) -> bytes:
        told = self._write_steps(self._sequence.end())
        response = write_response(
            self._head, stop=self._finished.stop, output=self._output, usage=usage
        )
        return told + self._write(f"response.{response['status']}", response=response)

    def fail(self, error: UpstreamError) -> bytes:
        return write_error(error, self._head.call_id, self._number)

    def _write(self, type_: str, **fields: Any) -> bytes:
        event = {"type": type_, "sequence_number": self._number, **fields}
        self._number += 1
        return b"event: %b\ndata: %b\n\n" % (type_.encode(), msgspec.json.encode(event))

    def _write_steps(self, steps: list[Step]) -> bytes:
        return b"".join(map(self._write_step, steps))

    def _write_step(self, step: Step) -> bytes:
        match step:
            case Opened(block=block):
                return self._open(block)
            case Added(block=block, text=text):
                return self._add(block, text)
            case Closed(block=block):
                return self._close(block)

    def _open(self, block: Block) -> bytes:
        item = self._write_item(_begin_block(block), block.index)
        begun = item | _BEGUN.get(item["type"], {})
        told = self._write("response.output_item.added", output_index=block.index, item=begun)
        match block.kind:
            case BlockKind.TEXT | BlockKind.REFUSAL:
                place = self._place(block, content_index=0)
                return told + self._write(
                    "response.content_part.added", **place, part=item["content"][0]
                )
            case BlockKind.THINKING:
                place = self._place(block, summary_index=0)
                part = {"type": "summary_text", "text": ""}
                return told + self._write(
                    "response.reasoning_summary_part.added", **place, part=part
                )
        return told

    def _add(self, block: Block, text: str) -> bytes:
        match block.kind:
            case BlockKind.TEXT:
                place = self._place(block, content_index=0)
                return self._write("response.output_text.delta", **place, delta=text, logprobs=[])
            case BlockKind.REFUSAL:
                place = self._place(block, content_index=0)
                return self._write("response.refusal.delta", **place, delta=text)
            case BlockKind.THINKING:
                place = self._place(block, summary_index=0)
                return self._write("response.reasoning_summary_text.delta", **place, delta=text)
            case BlockKind.CALL if self._is_free(block):
                return b""  # What stands in its JSON is known when that is whole.
            case BlockKind.CALL:
                place = self._place(block)
                return self._write("response.function_call_arguments.delta", **place, delta=text)

    def _close(self, block: Block) -> bytes:
        item = self._write_item(_read_block(block), block.index)
        self._output.append(item)
        told = self._write_done(block, item)
        return told + self._write("response.output_item.done", output_index=block.index, item=item)

    def _write_done(self, block: Block, item: Item) -> bytes:
        text = block.text
        match block.kind:
            case BlockKind.TEXT:
                place = self._place(block, content_index=0)
                done = self._write("response.output_text.done", **place, text=text, logprobs=[])
                return done + self._write(
                    "response.content_part.done", **place, part=text_part(text)
                )
            case BlockKind.REFUSAL:
                place = self._place(block, content_index=0)
                done = self._write("response.refusal.done", **place, refusal=text)
                part = item["content"][0]
                return done + self._write("response.content_part.done", **place, part=part)
            case BlockKind.THINKING:
                place = self._place(block, summary_index=0)
                done = self._write("response.reasoning_summary_text.done", **place, text=text)
                part = {"type": "summary_text", "text": text}
                return done + self._write(
                    "response.reasoning_summary_part.done", **place, part=part
                )
            case BlockKind.CALL if self._is_free(block):
                place, text = self._place(block), item["input"]
                told = self._write("response.custom_tool_call_input.delta", **place, delta=text)
                return told + self._write(
                    "response.custom_tool_call_input.done", **place, input=text
                )
            case BlockKind.CALL:
                return self._write(
                    "response.function_call_arguments.done",
                    **self._place(block),
                    name=item["name"],
                    arguments=item["arguments"],
                )

    def _place(self, block: Block, **within: int) -> dict[str, Any]:
        prefix = {BlockKind.THINKING: "rs", BlockKind.CALL: "fc"}.get(block.kind, "msg")
        if self._is_free(block):
            prefix = "ctc"
        id_ = item_id(prefix, self._head.call_id, block.index)
        return {"item_id": id_, "output_index": block.index, **within}

    def _is_free(self, block: Block) -> bool:
        kind = self._kinds.get(block.name)
        return kind is not None and kind.is_free

    def _write_item(self, part: Answered, at: int) -> Item:
        return write_item(part, self._head.call_id, at, self._kinds)


_BEGUN: dict[str, Item] = {
    "message": {"content": [], "status": "in_progress"},
    "function_call": {"status": "in_progress", "arguments": ""},
    "custom_tool_call": {"status": "in_progress", "input": ""},
}


def _begin_block(block: Block) -> Answered:
    """What a block is before anything stands in it."""
    return _read_block(Block(kind=block.kind, id=block.id, name=block.name))


def _read_block(block: Block) -> Answered:
    match block.kind:
        case BlockKind.TEXT:
            return Text(block.text)
        case BlockKind.REFUSAL:
            return Refusal(block.text)
        case BlockKind.THINKING:
            return Thinking(block.text, block.signature)
        case BlockKind.CALL:
            return ToolCall(block.id, block.name, block.text)
