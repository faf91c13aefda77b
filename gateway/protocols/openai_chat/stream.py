"""A chat completions stream: usage that nobody asked for stays here, and [DONE] waits."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.errors import UpstreamError, openai_body
from gateway.protocols.answer import MISSING, is_truthy, read_id
from gateway.protocols.body import ABSENT, UNREADABLE
from gateway.protocols.form import Metered
from gateway.protocols.openai_chat.answer import read_usage
from gateway.protocols.shape import find_shape, measure_text
from gateway.protocols.stream import EventStream

Raw = msgspec.Raw

DONE = b"data: [DONE]\n\n"


class _Chunk(msgspec.Struct):
    id: Raw = ABSENT
    choices: Raw = ABSENT
    usage: Raw = ABSENT
    error: Raw = ABSENT
    obfuscation: Raw = ABSENT


class _Choice(msgspec.Struct):
    """`text` is the delta of a legacy completion."""

    index: int = 0
    finish_reason: str | None = None
    delta: dict[str, Raw] | None = None
    text: Raw = ABSENT


_chunk = msgspec.json.Decoder(_Chunk)
_choices = msgspec.json.Decoder(list[_Choice])


class ChatStream(EventStream):
    """One stream of chat completions; completions stream by the same grammar."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._usage = ABSENT
        self._finished: set[int] = set()

    @property
    def has_finished(self) -> bool:
        """Whether every answer has come to its end; only usage and [DONE] may still follow."""
        return len(self._finished) >= self._answers

    @property
    def metered(self) -> Metered:
        """The last usage that came: providers that send it on every chunk count up."""
        return read_usage(self._usage) if self._usage else MISSING

    def _take_data(self, event: bytes, data: bytes) -> bytes:
        if data.strip() == b"[DONE]":
            self._end(event)
            return b""
        try:
            chunk = _chunk.decode(data)
        except UNREADABLE:
            self._fail_unreadable()
            return b""
        return self._take_chunk(event, data, chunk)

    def _take_chunk(self, event: bytes, data: bytes, chunk: _Chunk) -> bytes:
        self.upstream_id = self.upstream_id or read_id(chunk.id)
        has_usage = is_truthy(chunk.usage)
        if has_usage:
            self._usage = chunk.usage.copy()
        if is_truthy(chunk.error):
            self._fail_as_told(data)
            return b""
        if not is_truthy(chunk.choices):
            return b"" if has_usage and not self._wants_usage else event
        self._take_choices(event, chunk)
        return event

    def _take_choices(self, event: bytes, chunk: _Chunk) -> None:
        try:
            choices = _choices.decode(chunk.choices)
        except UNREADABLE:
            self.output_bytes += len(event)
            return
        for choice in choices:
            if choice.finish_reason:
                self._finished.add(choice.index)
            for name, value in _list_texts(choice).items():
                self.output_bytes += measure_text(value)
                self.has_reasoned |= name.startswith(("reasoning", "thinking")) and len(value) > 4
        if len(choices) == 1 and (texts := _list_texts(choices[0])):
            self._shape = find_shape(event, texts.values(), chunk.obfuscation) or self._shape

    def _write_end(self) -> bytes:
        return DONE

    def _write_error(self, error: UpstreamError) -> bytes:
        return b"data: " + openai_body(error, self._call_id) + b"\n\n"


def _list_texts(choice: _Choice) -> dict[str, Raw]:
    if choice.delta:
        return choice.delta
    return {"text": choice.text} if choice.text else {}
