"""A provider's stream, told to the caller in another dialect. Pure; knows none of the dialects.

The provider's own stream reader stands in front: what it holds back, what it calls an end and what
an error is the same whether bytes pass or are written anew.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from billing.usage import Usage
from gateway.errors import UpstreamError, UpstreamFailed
from gateway.protocols.conversation import EventReader, EventWriter, Untranslatable
from gateway.protocols.form import Metered
from gateway.protocols.shape import NO_SHAPE
from gateway.protocols.sse import read_data
from gateway.protocols.stream import EventStream


class Template(NamedTuple):
    """What is told before and after the text of an event."""

    before: bytes
    after: bytes


NO_TEMPLATE = Template(b"", b"")
# Text that every JSON writer writes alike: no quote, no escape, nothing beyond ASCII.
_PLAIN = re.compile(rb"[ !#-\[\]-~]+")


class TranslatedStream:
    """Looks to relaying like the stream that it reads; see EventStream for what that means."""

    def __init__(self, source: EventStream, reader: EventReader, writer: EventWriter) -> None:
        self.ending = b""
        self._source = source
        self._reader = reader
        self._writer = writer
        self._has_begun = False
        self._shape = NO_SHAPE
        self._last = NO_TEMPLATE
        self._template = NO_TEMPLATE

    @property
    def ended(self) -> bool:
        return self._source.ended

    @property
    def is_complete(self) -> bool:
        return self._source.is_complete

    @property
    def has_finished(self) -> bool:
        return self._source.has_finished

    @property
    def error(self) -> UpstreamError | None:
        return self._source.error

    @property
    def upstream_id(self) -> str:
        return self._source.upstream_id

    @property
    def has_reasoned(self) -> bool:
        return self._source.has_reasoned

    @property
    def output_bytes(self) -> int:
        return self._source.output_bytes

    @property
    def metered(self) -> Metered:
        return self._source.metered

    @property
    def input_usage(self) -> Usage | None:
        return self._source.input_usage

    def feed(self, data: bytes) -> bytes:
        """Take what the provider sent; return what may be handed on now. Never raises."""
        told = b"".join(map(self._translate, self._source.feed_events(data)))
        if self.ended and not self.ending:
            self.ending = self._end()
        return told

    def close(self, error: UpstreamError | None = None) -> bytes:
        """The provider sends no more; does nothing twice."""
        last = self._translate(self._source.close(error))
        if not self.ending:
            self.ending = last + self._end()
        return last

    def _translate(self, event: bytes) -> bytes:
        """Tell one event. Where it differs from the two before by its text alone, so does what is
        told: then it is put together from their parts, a third of the work."""
        if not event or self.error is not None:
            return b""
        shape = self._source.shape
        text = shape.take_text(event)
        if text is None or shape is not self._shape or _PLAIN.fullmatch(text) is None:
            self._shape = shape
            self._last = self._template = NO_TEMPLATE
            return self._retell(event)
        if self._template is not NO_TEMPLATE:
            before, after = self._template
            return before + text + after
        told = self._retell(event)
        self._compare(told, text)
        return told

    def _compare(self, told: bytes, text: bytes) -> None:
        """Keep what is around the text; it is a template once two events in a row agree on it."""
        parts = told.split(b'"%b"' % text)
        found = Template(parts[0] + b'"', b'"' + parts[1]) if len(parts) == 2 else NO_TEMPLATE
        self._template = found if found == self._last else NO_TEMPLATE
        self._last = found

    def _retell(self, event: bytes) -> bytes:
        data = read_data(event)
        if data is None:
            return b""
        try:
            events = self._reader.read(data)
        except Untranslatable as error:
            self._source.fail(UpstreamFailed(detail=str(error)))
            return b""
        told = b"" if self._has_begun else self._begin()
        return told + b"".join(map(self._writer.write, events))

    def _begin(self) -> bytes:
        self._has_begun = True
        return self._writer.begin(self.metered.usage)

    def _end(self) -> bytes:
        source = self._source
        last = self._retell(source.last_event) if source.is_complete and source.last_event else b""
        if self.error is not None:
            return last + self._writer.fail(self.error)
        begun = b"" if self._has_begun else self._begin()
        return last + begun + self._writer.end(self.metered.usage)
