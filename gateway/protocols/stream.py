"""A provider's stream on its way to the caller: every event goes on untouched, except what the
caller must not see. Pure; what an event means is its dialect's to say.

Kept back are an error in the provider's own words, and the end before the caller of `feed` has
written down that the answer is done. Fed in pieces of any size, the same bytes come out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from billing.usage import Usage
from gateway.errors import UpstreamError, UpstreamFailed, read_stream_error
from gateway.protocols.answer import MISSING
from gateway.protocols.body import UNREADABLE
from gateway.protocols.form import Metered
from gateway.protocols.shape import NO_SHAPE, Shape
from gateway.protocols.sse import EventSplitter, is_comment, read_data

BROKEN_OFF = "The model provider broke off in the middle of the answer."
# The longest event that a provider is known to send is an image of a few megabytes.
MAX_EVENT_BYTES = 8 * 1024 * 1024

_any = msgspec.json.Decoder()


class EventStream:
    """One upstream stream. Feed it until `ended`, or `close` it; then hand `ending` on.

    `ending` is what the caller still gets once the call's `done` record is written: the end that
    the provider sent, one supplied where only that was missing, or an error in the caller's shape.
    `is_complete` tells an answer that finished from one that broke off, `error` says why it did.

    A dialect says in `_take_data` what its events mean, and by `has_finished`, `metered`,
    `_write_end` and `_write_error` how an answer of its own ends.
    """

    def __init__(
        self,
        *,
        call_id: str,
        wants_usage: bool = True,
        answers: int = 1,
        upstream_model: str = "",
        model: str = "",
        credential: str = "",
    ) -> None:
        self.ended = False
        self.ending = b""
        # The event that ends the answer, where it tells more than that.
        self.last_event = b""
        self.is_complete = False
        self.error: UpstreamError | None = None
        self.upstream_id = ""
        # The text of all deltas so far as JSON writes it, so at least their tokens.
        self.output_bytes = 0
        self.has_reasoned = False
        self._call_id = call_id
        self._wants_usage = wants_usage
        self._answers = answers
        self._names = {"upstream_model": upstream_model, "model": model, "credential": credential}
        self._splitter = EventSplitter()
        self._shape: Shape = NO_SHAPE

    def feed(self, data: bytes) -> bytes:
        """Take what the provider sent; return what may be handed on now. Never raises."""
        return data if self._skim(data) else b"".join(self._feed_events(data))

    def feed_events(self, data: bytes) -> Iterator[bytes]:
        """Do as `feed` does, and give each event when it is read, for who writes them anew."""
        return iter((data,)) if self._skim(data) else self._feed_events(data)

    def _skim(self, data: bytes) -> bool:
        """Take what is one whole event of the usual shape, as most pieces are; False for others."""
        text_bytes = self._shape.find_text_bytes(data)
        if text_bytes < 0 or self._splitter.rest or self.ended:
            return False
        self.output_bytes += text_bytes
        return True

    def _feed_events(self, data: bytes) -> Iterator[bytes]:
        if self.ended:
            return
        for event in self._splitter.feed(data):
            taken = self._take(event)
            if taken:
                yield taken
        if len(self._splitter.rest) > MAX_EVENT_BYTES and not self.ended:
            self.fail(UpstreamFailed(detail="an event of the stream is too long"))

    def close(self, error: UpstreamError | None = None) -> bytes:
        """The provider sends no more, because of `error` where there was one; does nothing twice.

        An answer that finished gets the end that it lacks. One that did not is never given a clean
        end: clients would take the half for the whole. Returns the last event where it came
        without its empty line; it is the beginning of `ending` too.
        """
        last = b"" if self.ended else self._take_rest()
        if self.ended:
            return last
        if not self.has_finished:
            self.fail(error or UpstreamFailed(BROKEN_OFF))
            return b""
        self._end(last + self._write_end())
        return last

    @property
    def shape(self) -> Shape:
        """What the newest events had in common; NO_SHAPE for nothing."""
        return self._shape

    @property
    def has_finished(self) -> bool:
        """Whether every answer has come to its end; only usage and the end may still follow."""
        raise NotImplementedError

    @property
    def metered(self) -> Metered:
        """What was reported so far."""
        return MISSING

    @property
    def input_usage(self) -> Usage | None:
        """The input alone, where that is told before the output is: what a broken answer used."""
        return None

    def _take_data(self, event: bytes, data: bytes) -> bytes:
        """Read an event that has data; return it as it may be handed on: itself, or nothing."""
        raise NotImplementedError

    def _write_end(self) -> bytes:
        """The end of an answer that finished."""
        raise NotImplementedError

    def _write_error(self, error: UpstreamError) -> bytes:
        """The end of one that broke off."""
        raise NotImplementedError

    def _take(self, event: bytes) -> bytes:
        if self.ended:
            return b""
        text_bytes = self._shape.find_text_bytes(event)
        if text_bytes >= 0:
            self.output_bytes += text_bytes
            return event
        data = read_data(event)
        if data is not None:
            return self._take_data(event, data)
        if is_comment(event):
            return event
        self.fail(UpstreamFailed(detail="the stream is not server-sent events"))
        return b""

    def _take_rest(self) -> bytes:
        """Take what came without its empty line: a whole event, as some servers end, or a part."""
        rest = bytes(self._splitter.rest).rstrip(b"\r\n")
        data = read_data(rest + b"\n\n")
        is_whole = data is not None and (data == b"[DONE]" or _is_json(data))
        return self._take(rest + b"\n\n") if is_whole else b""

    def _end(self, ending: bytes) -> None:
        self.ended = True
        self.is_complete = True
        self.ending = ending

    def fail(self, error: UpstreamError) -> None:
        """End it as broken off, whatever came so far."""
        self.ended = True
        self.is_complete = False
        self.error = error
        self.ending = self._write_error(error)

    def _fail_as_told(self, data: bytes) -> None:
        """The provider told an error; the caller hears of it in our words."""
        self.fail(read_stream_error(data, **self._names))

    def _fail_unreadable(self) -> None:
        self.fail(UpstreamFailed(detail="an event of the stream is not a JSON object"))


def _is_json(data: bytes) -> bool:
    try:
        _: Any = _any.decode(data)
    except UNREADABLE:
        return False
    return True
