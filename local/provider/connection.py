"""HTTP/1.1 on one connection: requests read by httptools, answers written by hand.

It stands on the bare protocol for two reasons: as the upstream of benchmarks it
must cost little CPU, and it has to do what a framework prevents: reset, cut in
the middle of a character, stop without an end. One request is answered at a
time; pipelined ones wait their turn.
"""

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

import httptools

if TYPE_CHECKING:
    from local.provider.received import Receipt

MAX_BODY_BYTES = 64 * 2**20

JSON = b"content-type: application/json\r\n"
HTML = b"content-type: text/html; charset=utf-8\r\n"
EVENT_STREAM = b"content-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n"

_STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
} | {529: b"HTTP/1.1 529 Overloaded\r\n"}
_BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
_TOO_LARGE = b"HTTP/1.1 413 Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class Request:
    """A request whose body is complete; header names are lower case."""

    __slots__ = ("body", "headers", "keep_alive", "method", "path", "query")

    def __init__(self, parser: Any, url: bytes, headers: dict[bytes, bytes], body: bytes) -> None:
        self.method: bytes = parser.get_method()
        self.keep_alive: bool = parser.should_keep_alive()
        self.path, _, self.query = url.partition(b"?")
        self.headers = headers
        self.body = body


class Exchange:
    """One request and its answer. One of answer, finish and reset ends it, once."""

    __slots__ = ("_connection", "common_headers", "over", "receipt", "request")

    def __init__(self, connection: "Connection", request: Request) -> None:
        self._connection = connection
        self.request = request
        self.receipt: Receipt | None = None
        self.common_headers = b""
        self.over = False

    def answer(self, status: int, body: bytes, headers: bytes = JSON) -> None:
        """Send a whole answer."""
        self.start(status, headers + b"content-length: %d\r\n" % len(body), body)
        self._end(finished=True)

    def start(self, status: int, headers: bytes, first: bytes = b"") -> None:
        """Send the head, and `first` in the same write; framing headers are the caller's."""
        if self.receipt is not None:
            self.receipt.status = status
        closing = b"" if self.request.keep_alive else b"connection: close\r\n"
        head = (_STATUS_LINES[status], headers, self.common_headers, closing, b"\r\n")
        self._connection.write(b"".join(head) + first)

    def start_chunked(self, status: int, headers: bytes) -> None:
        self.start(status, headers + b"transfer-encoding: chunked\r\n")

    async def send(self, data: bytes) -> None:
        """Send one HTTP chunk; waits while the client does not read."""
        await self.send_raw(b"%x\r\n%b\r\n" % (len(data), data))

    async def send_raw(self, data: bytes) -> None:
        self._connection.write(data)
        await self._connection.drain()

    def finish(self, *, complete: bool = True) -> None:
        """End a chunked answer cleanly; `complete` says whether it was all that was meant."""
        self._connection.write(b"0\r\n\r\n")
        self._end(finished=complete)

    def reset(self) -> None:
        """Break the connection off with a TCP reset."""
        self.over = True
        self._connection.reset()

    def note_gone(self) -> None:
        """The client closed the connection before the answer was over."""
        if not self.over and self.receipt is not None:
            self.receipt.client_gone = True

    def _end(self, *, finished: bool) -> None:
        self.over = True
        if self.receipt is not None:
            self.receipt.finished = finished
        self._connection.go_on()


Handler = Callable[[Exchange], Coroutine[Any, Any, None] | None]


class Connection(asyncio.Protocol):
    def __init__(self, handle: Handler, connections: "set[Connection]") -> None:
        self._handle = handle
        self._connections = connections
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[Exchange] = deque()
        self._current: Exchange | None = None
        self._task: asyncio.Task[None] | None = None
        self._writable: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Everybody who waits for this client stops; what was sent stays on the receipts."""
        self._connections.discard(self)
        for exchange in (self._current, *self._waiting):
            if exchange is not None:
                exchange.note_gone()
        self._waiting.clear()
        if self._task is not None:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError:
            # A fault of the provider itself, not of the request: it must be seen.
            self._transport.abort()
            raise
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._refuse(_BAD_REQUEST)

    def _refuse(self, answer: bytes) -> None:
        self.write(answer)
        self._transport.close()

    # What httptools calls while it reads.

    def on_message_begin(self) -> None:
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []
        self._body_bytes = 0

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        held = self._headers.get(name)
        self._headers[name] = value if held is None else held + b", " + value

    def on_headers_complete(self) -> None:
        if self._headers.get(b"expect", b"").lower() == b"100-continue":
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self._body_bytes > MAX_BODY_BYTES:
            self._body.clear()
            self._refuse(_TOO_LARGE)
        else:
            self._body.append(body)

    def on_message_complete(self) -> None:
        if self._transport.is_closing():
            return
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        exchange = Exchange(self, Request(self._parser, self._url, self._headers, body))
        if self._current is None:
            self._begin(exchange)
        else:
            self._waiting.append(exchange)

    # Answering, one exchange after the other.

    def _begin(self, exchange: Exchange) -> None:
        self._current = exchange
        work = self._handle(exchange)
        if work is not None:
            self._task = asyncio.get_running_loop().create_task(work)
            self._task.add_done_callback(self._note_end)

    def _note_end(self, task: asyncio.Task[None]) -> None:
        """A fault of the provider itself must be seen, and must not leave a client waiting."""
        if not task.cancelled() and task.exception() is not None:
            self._transport.abort()
            task.result()

    def go_on(self) -> None:
        """The current exchange is over: close, or take the next."""
        exchange, self._current = self._current, None
        if exchange is not None and not exchange.request.keep_alive:
            self._transport.close()
        elif self._waiting:
            asyncio.get_running_loop().call_soon(self._begin_next)

    def _begin_next(self) -> None:
        if self._current is None and self._waiting:
            self._begin(self._waiting.popleft())

    def write(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)

    async def drain(self) -> None:
        if self._writable is not None:
            await self._writable

    def pause_writing(self) -> None:
        self._writable = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    def reset(self) -> None:
        """Closing with a linger time of zero makes the kernel send RST in place of FIN."""
        handle = self._transport.get_extra_info("socket")
        with socket.socket(fileno=socket.dup(handle.fileno())) as duplicate:
            linger = struct.pack("ii", 1, 0)
            duplicate.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._transport.abort()

    def abort(self) -> None:
        self._transport.abort()
