"""One request to a provider and its answer, from the first byte to the end of its connection.

Belongs to an Upstream (exchange.py), which opens it and watches its limits.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import NamedTuple, Protocol, TypeVar

import httpx2
from multidict import MultiMapping, istr

from gateway.upstream.errors import (
    TimeoutKind,
    UpstreamAborted,
    UpstreamError,
    UpstreamProtocolError,
    UpstreamTimeout,
    UpstreamTooLarge,
    UpstreamWithheld,
    translate_error,
)
from gateway.upstream.target import Pairs, Target
from gateway.upstream.transport import ConnectionStream, Response

_CODING = istr("content-encoding")

T = TypeVar("T")
# Takes what is to be called when a request may leave, or with what forbids it.
Gate = Callable[[Callable[[Exception | None], None]], None]


class Timeouts(NamedTuple):
    """How long an attempt may take: to connect, to its head, between chunks, and as a whole."""

    connect_seconds: float = 5.0
    first_byte_seconds: float = 600.0
    idle_seconds: float = 120.0
    total_seconds: float = 3600.0


class Keeper(Protocol):
    """What an answer needs of the Upstream that it belongs to."""

    exchange: Callable[[UpstreamAnswer], Awaitable[Response]]

    def watch(self, answer: UpstreamAnswer) -> None: ...
    def forget(self, answer: UpstreamAnswer) -> None: ...


class UpstreamAnswer:
    """One request and its answer. `status` and the headers are there once send() has returned.

    Iterating gives the body in chunks as they come. At the end, after an error and after abort()
    nothing is left to do; an answer that is left before its end needs release(). `sent` says
    whether a byte of the request may have left.

    `headers` are this request's own, beside those of the target and its `request_id`, under which a
    provider can find it. No byte leaves before `gate` lets it.
    """

    status: int
    raw_headers: Pairs
    headers: MultiMapping[str]
    sent = False

    _waiting_since = 0.0
    _waiting_for = TimeoutKind.FIRST_BYTE
    _task: asyncio.Task[object] | None = None  # The one that waits in a step, if any.
    _stream: httpx2.AsyncByteStream | None = None
    _chunks: AsyncIterator[bytes] | None = None
    _failure: UpstreamError | None = None
    _ended = False

    def __init__(
        self,
        upstream: Keeper,
        target: Target,
        *,
        request_id: str = "",
        headers: Pairs = (),
        body: bytes,
        timeouts: Timeouts,
        gate: Gate | None = None,
    ) -> None:
        self.gate = gate
        self._target = target
        self.body = body
        self.connect_seconds = timeouts.connect_seconds
        self._upstream = upstream
        self._request_id = request_id
        self._headers = headers
        self._timeouts = timeouts
        self._loop = loop = asyncio.get_running_loop()
        self._ends_at = loop.time() + timeouts.total_seconds
        self._quiet_seconds = timeouts.first_byte_seconds

    async def send(self) -> None:
        """Send the request and wait for the head. Refuses redirects and coded answers."""
        if self._failure is not None:
            raise self._failure
        upstream = self._upstream
        upstream.watch(self)
        cancelling = self._begin_to_wait()
        try:
            answer = await upstream.exchange(self)
        except BaseException as error:
            raise self._explain(error, cancelling)  # noqa: B904 - it knows its cause.
        finally:
            self._task = None
        self.status, self.raw_headers, self.headers, self._stream = answer
        self._waiting_for = TimeoutKind.IDLE
        self._quiet_seconds = self._timeouts.idle_seconds
        refusal = find_refusal(self.status, self.headers)
        if refusal is not None:
            raise self._fail(UpstreamProtocolError(refusal, sent=True))

    @property
    def origin(self) -> tuple[str, bytes]:
        return self._target.origin

    def write_head(self) -> bytes:
        """Write the head. Raises httpx2.LocalProtocolError for one that may not be sent."""
        return self._target.write_head(self._request_id, self._headers, len(self.body))

    def leave(self, write: Callable[[], None]) -> None:
        """Let the request go when its gate opens, unless it has ended by then."""
        if self.gate is None:
            self.sent = True
            write()
        else:
            self.gate(partial(self._pass_gate, write))
            if self._failure is not None:
                raise self._failure

    def _pass_gate(self, write: Callable[[], None], forbidden: Exception | None) -> None:
        if self._ended:
            return
        if forbidden is None:
            self.sent = True
            write()
        else:
            self._fail(UpstreamWithheld(str(forbidden), reason=forbidden))

    def make_request(self) -> httpx2.Request:
        """Make the request as httpx2 has it, for a transport that takes those."""
        request = self._target.make_request(self._request_id, self._headers, self.body)
        request.extensions["timeout"] = {"connect": self.connect_seconds}
        return request

    def __aiter__(self) -> UpstreamAnswer:
        return self

    async def __anext__(self) -> bytes:
        """Return the next bytes, as they arrived."""
        if self._ended:
            raise self._failure or StopAsyncIteration
        return await self._step((self._chunks or self._begin_chunks()).__anext__())

    async def read(self, limit_bytes: int) -> bytes:
        """Read the rest. Raises UpstreamTooLarge, and reads no further, past the limit."""
        if self._ended:
            if self._failure is not None:
                raise self._failure
            return b""
        body = self.take_rest(limit_bytes)
        if body is None:
            body = await self._step(self._read_all(limit_bytes))
            self._end()
        return body

    def take_rest(self, limit_bytes: int) -> bytes | None:
        """Do what read() does where all of the rest has arrived; None where that has to wait."""
        stream = self._stream
        if self._ended or not isinstance(stream, ConnectionStream):
            return None
        try:
            rest = stream.take_rest()
            if rest is None:
                return None
            if len(rest) > limit_bytes:
                raise UpstreamTooLarge(f"more than {limit_bytes} bytes", sent=True)
            stream.release()
        except Exception as error:
            translated = translate_error(error, sent=self.sent)
            if translated is None:
                self.abort()
                raise
            raise self._fail(translated) from error
        self._end()
        return rest

    def _begin_chunks(self) -> AsyncIterator[bytes]:
        assert self._stream is not None, "send() comes first"
        chunks = self._chunks = self._stream.__aiter__()
        return chunks

    async def _read_all(self, limit_bytes: int) -> bytes:
        chunks = []
        size = 0
        async for chunk in self._chunks or self._begin_chunks():
            size += len(chunk)
            if size > limit_bytes:
                raise UpstreamTooLarge(f"more than {limit_bytes} bytes", sent=True)
            chunks.append(chunk)
            self._waiting_since = self._loop.time()
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def abort(self) -> None:
        """Close the connection at once; may be called by anyone at any time, and again.

        A send() or read that waits raises UpstreamAborted, and so does every later one.
        """
        if not self._ended:
            self._fail(UpstreamAborted("ended by the gateway", sent=self.sent))

    async def release(self) -> None:
        """Leave the answer. Its connection is closed, unless it was read to its end."""
        if not self._ended:
            stream = self._stream
            self.abort()
            if stream is not None:
                await stream.aclose()

    def check(self, now: float) -> None:
        """End the attempt when a limit has run out; silence counts while a step waits for it."""
        if now >= self._ends_at:
            self._expire(TimeoutKind.TOTAL, self._timeouts.total_seconds)
        elif self._task is not None and now - self._waiting_since >= self._quiet_seconds:
            self._expire(self._waiting_for, self._quiet_seconds)

    def _expire(self, kind: TimeoutKind, seconds: float) -> None:
        self._fail(UpstreamTimeout(f"{kind}: {seconds} s", sent=self.sent, kind=kind))

    async def _step(self, step: Awaitable[T]) -> T:
        """Wait for the transport so that _fail() can end the wait, whatever the transport is."""
        cancelling = self._begin_to_wait()
        try:
            return await step
        except BaseException as error:
            raise self._explain(error, cancelling)  # noqa: B904 - it knows its cause.
        finally:
            self._task = None

    def _begin_to_wait(self) -> int:
        """Let _fail() cancel the task that runs. Returns by how many it is being cancelled."""
        task = asyncio.current_task(self._loop)
        assert task is not None
        self._task = task
        self._waiting_since = self._loop.time()
        return task.cancelling()

    def _explain(self, error: BaseException, cancelling: int) -> BaseException:
        """Return what a wait is to raise that ended with `error`; nothing is left to do then.

        The cancellation by _fail() is taken back, as asyncio.timeout() does; one from elsewhere
        passes.
        """
        if isinstance(error, asyncio.CancelledError):
            assert self._task is not None
            if self._failure is not None and self._task.uncancel() <= cancelling:
                self._failure.__cause__ = None  # The cancellation says nothing.
                return self._failure
        elif isinstance(error, StopAsyncIteration):
            self._end()
            return error
        elif isinstance(error, Exception):
            translated = translate_error(error, sent=self.sent)
            if translated is not None:
                if translated is not error:
                    translated.__cause__ = error
                return self._fail(translated)
        else:
            return error
        self.abort()
        return error

    def _fail(self, failure: UpstreamError) -> UpstreamError:
        """End with this error, which a waiting step then raises. Returns it."""
        self._failure = failure
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()
        self._end()
        return failure

    def _end(self) -> None:
        self._ended = True
        self._upstream.forget(self)
        if isinstance(self._stream, ConnectionStream):
            self._stream.abort()


def find_refusal(status: int, headers: MultiMapping[str]) -> str | None:
    """Say why an answer cannot be used, whatever its body holds; None when it can."""
    if not 200 <= status < 600:
        return f"status {status}"
    if 300 <= status < 400:
        return f"redirect with status {status}"
    if _CODING in headers:
        for coding in headers.getall(_CODING):
            if coding.strip().lower() not in {"", "identity"}:
                return f"content-encoding {coding[:40]!r}, though identity was asked for"
    return None
