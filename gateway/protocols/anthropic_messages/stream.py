"""A stream of messages: named events, usage at the start and at the end, message_stop last."""

from __future__ import annotations

from typing import Any

import msgspec

import billing.usage
from gateway.errors import UpstreamError, anthropic_body
from gateway.protocols.answer import MISSING, is_truthy, read_id, read_text
from gateway.protocols.anthropic_messages.answer import Usage, merge, meter_merged, usage_decoder
from gateway.protocols.body import ABSENT, UNREADABLE, Members
from gateway.protocols.form import Metered
from gateway.protocols.shape import find_shape, measure_text
from gateway.protocols.stream import EventStream

Raw = msgspec.Raw

STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
# What a delta holds beside text that the model wrote.
_NO_OUTPUT = frozenset({"type", "signature", "citation"})


class _Event(msgspec.Struct):
    type: str = ""
    message: Raw = ABSENT
    content_block: Raw = ABSENT
    delta: Raw = ABSENT
    usage: Raw = ABSENT
    error: Raw = ABSENT


class _Message(msgspec.Struct):
    id: Raw = ABSENT
    usage: Raw = ABSENT


_event = msgspec.json.Decoder(_Event)
_message = msgspec.json.Decoder(_Message)
_object = msgspec.json.Decoder(Members)


class MessagesStream(EventStream):
    """One streamed message. Its usage always goes on: every caller of this dialect expects it."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._usage: Usage | None = None
        self._fault: str | None = None
        self._has_stopped = False

    @property
    def has_finished(self) -> bool:
        """Whether the reason of the stop was told, which comes with the usage."""
        return self._has_stopped

    @property
    def metered(self) -> Metered:
        """What message_start and message_delta said together; one unreadable part spoils both."""
        if self._fault is not None:
            return Metered(usage=None, fault=self._fault)
        return MISSING if self._usage is None else meter_merged(self._usage)

    @property
    def input_usage(self) -> billing.usage.Usage | None:
        """What message_start said of the input."""
        if self._usage is None or self._fault is not None:
            return None
        said = msgspec.structs.replace(self._usage, output_tokens=0, output_tokens_details=None)
        return meter_merged(said).usage

    def _take_data(self, event: bytes, data: bytes) -> bytes:
        try:
            read = _event.decode(data)
        except UNREADABLE:
            self._fail_unreadable()
            return b""
        if read.type == "error" or is_truthy(read.error):
            self._fail_as_told(data)
            return b""
        if read.type == "message_stop":
            self._end(event)
            return b""
        self._note(event, read)
        return event

    def _note(self, event: bytes, read: _Event) -> None:
        try:
            self._read(event, read)
        except UNREADABLE:  # An event of another shape than its type has; it may hold any text.
            self.output_bytes += len(event)

    def _read(self, event: bytes, read: _Event) -> None:
        match read.type:
            case "content_block_delta" if read.delta:
                self._take_delta(event, _object.decode(read.delta))
            case "content_block_start" if read.content_block:
                self._take_block(_object.decode(read.content_block))
            case "message_start" if read.message:
                message = _message.decode(read.message)
                self.upstream_id = self.upstream_id or read_id(message.id)
                self._take_usage(message.usage, is_first=True)
            case "message_delta":
                self._take_usage(read.usage)
                reason = _object.decode(read.delta).get("stop_reason", ABSENT)
                self._has_stopped |= bool(read_text(reason))

    def _take_delta(self, event: bytes, delta: Members) -> None:
        texts = {name: value for name, value in delta.items() if name not in _NO_OUTPUT}
        self.output_bytes += sum(map(measure_text, texts.values()))
        self.has_reasoned |= "thinking" in delta
        if len(texts) == len(delta) - 1:
            self._shape = find_shape(event, texts.values()) or self._shape

    def _take_block(self, block: Members) -> None:
        """Thinking shows by its block even where its text is left out; results are no output."""
        type_ = read_text(block.get("type", ABSENT))
        self.has_reasoned |= "thinking" in type_
        if not type_.endswith("_result"):
            self.output_bytes += sum(map(measure_text, block.values()))

    def _take_usage(self, raw: Raw, *, is_first: bool = False) -> None:
        """Keep what was said. At the start that is no more than a placeholder for the output, and
        must not stand for an answer that broke off."""
        if not is_truthy(raw):
            return
        try:
            said = usage_decoder.decode(raw)
        except UNREADABLE as error:
            self._fault = f"usage cannot be read: {error}"[:300]
            return
        if is_first:
            said.output_tokens = said.output_tokens_details = None
        if said.cost_in_usd_ticks:
            said.cost_in_usd_ticks = said.cost_in_usd_ticks.copy()
        self._usage = said if self._usage is None else merge(self._usage, said)

    def _write_end(self) -> bytes:
        return STOP

    def _write_error(self, error: UpstreamError) -> bytes:
        return b"event: error\ndata: " + anthropic_body(error, self._call_id) + b"\n\n"
