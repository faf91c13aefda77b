"""A stream of the Responses API: named, numbered events; the last one holds the whole response."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.errors import GatewayError, UpstreamError, openai_error
from gateway.protocols.answer import MISSING, is_truthy, read_id, read_text
from gateway.protocols.body import ABSENT, UNREADABLE, Members
from gateway.protocols.form import Metered
from gateway.protocols.openai_responses.answer import read_usage
from gateway.protocols.shape import measure_text
from gateway.protocols.stream import EventStream

Raw = msgspec.Raw

_ENDS = frozenset({"response.completed", "response.incomplete", "response.failed"})


class _Event(msgspec.Struct):
    type: str = ""
    sequence_number: int = -1
    response: Raw = ABSENT
    item: Raw = ABSENT
    delta: Raw = ABSENT
    error: Raw = ABSENT


class _Response(msgspec.Struct):
    id: Raw = ABSENT
    usage: Raw = ABSENT


_event = msgspec.json.Decoder(_Event)
_response = msgspec.json.Decoder(_Response)
_object = msgspec.json.Decoder(Members)


class ResponsesStream(EventStream):
    """One streamed response. Only its last event says that it has finished, and what it used."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._usage = ABSENT
        self._number = -1

    @property
    def has_finished(self) -> bool:
        return self.is_complete

    @property
    def metered(self) -> Metered:
        return read_usage(self._usage) if self._usage else MISSING

    def _take_data(self, event: bytes, data: bytes) -> bytes:
        if data.strip() == b"[DONE]":  # Some servers end so too; after the end nobody reads it.
            return b""
        try:
            read = _event.decode(data)
            if read.response:
                self._take_response(_response.decode(read.response))
        except UNREADABLE:
            self._fail_unreadable()
            return b""
        self._number = max(self._number, read.sequence_number)
        if read.type in {"error", "response.failed"} or is_truthy(read.error):
            self._fail_as_told(bytes(read.response) or data)
            return b""
        if read.type in _ENDS:
            self.last_event = event
            self._end(event)
            return b""
        self._note(event, read)
        return event

    def _take_response(self, response: _Response) -> None:
        self.upstream_id = self.upstream_id or read_id(response.id)
        if is_truthy(response.usage):
            self._usage = response.usage.copy()

    def _note(self, event: bytes, read: _Event) -> None:
        self.has_reasoned |= read.type.startswith("response.reasoning")
        if read.delta and not read.type.startswith("response.audio"):
            self.output_bytes += measure_text(read.delta)
        if read.item and read.type == "response.output_item.added":
            self._take_item(event, read.item)

    def _take_item(self, event: bytes, raw: Raw) -> None:
        """Reasoning shows by its item even where nothing of it is told; a call has a name."""
        try:
            item = _object.decode(raw)
        except UNREADABLE:
            self.output_bytes += len(event)
            return
        self.has_reasoned |= read_text(item.get("type", ABSENT)) == "reasoning"
        self.output_bytes += measure_text(item.get("name", Raw(b"0")))

    def _write_end(self) -> bytes:
        return b""

    def _write_error(self, error: UpstreamError) -> bytes:
        return write_error(error, self._call_id, self._number + 1)


def write_error(error: GatewayError, call_id: str, number: int) -> bytes:
    """The error event: its own fields for clients that know it, `error` for those that look for
    what an error is elsewhere (OpenAI's and the AI SDK do)."""
    told = openai_error(error, call_id)
    event = {
        "type": "error",
        "sequence_number": number,
        **{name: told[name] for name in ("code", "message", "param")},
        "error": told,
    }
    return b"event: error\ndata: " + msgspec.json.encode(event) + b"\n\n"
