"""uvicorn's HTTP protocol with the limits it does not have: on heads, bodies and what arrives.

Nothing of keys, models or money is known here. The application finds some things in the scope,
under `scope["extensions"]["tollgate"]`. `on_disconnect`, called with a function, has that function
called once, from the loop, if the caller's connection ends before the response is complete. There
is one such function a request; None takes it back. `take_body` and `respond` do in one step what
takes ASGI several (responding.py). `abort` ends the connection as it is.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from gateway.errors import BadRequest, GatewayError
from gateway.server.files import count_allowed_connections
from gateway.server.joining import JoiningTransport
from gateway.server.refusals import HeadTooLarge, LineTooLong, TooManyConnections, write_refusal
from gateway.server.responding import respond, take_body
from gateway.server.timing import TimedProtocol

_SINGLE = frozenset({b"content-length", b"transfer-encoding", b"host"})
_NEITHER_UPGRADE = frozenset({b"upgrade", b"http2-settings"})


class GatewayProtocol(TimedProtocol):
    """One connection of a caller."""

    max_connections: int | None = None  # None: what the limit on open files has room for.
    max_line_bytes = 8_192
    max_head_bytes = 32_768
    max_headers = 100
    # A chunk may cost its sender eight bytes of framing a byte, and no more than this on top.
    chunk_slack_bytes = 65_536
    # What is still taken in, and thrown away, of a body that was already answered.
    discard_bytes = 2**26

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.url = b""
        self._hang_up: Callable[[], None] | None = None
        self._upgrading = False
        self._chunked = False
        self._head_bytes = 0
        self._raw_bytes = 0
        self._seen_singles: set[bytes] = set()
        self._offers: deque[dict[object, object]] = deque()

    # The connection.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > (self.max_connections or count_allowed_connections()):
            self._refusal = TooManyConnections()
            transport.write(write_refusal(self._refusal, b"", self.server_state.default_headers))
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        hang_up, self._hang_up = self._hang_up, None
        if hang_up is not None:
            hang_up()

    def on_disconnect(self, call: Callable[[], None] | None) -> None:
        """Have `call` called when the caller leaves before the response is complete."""
        self._hang_up = call
        if call is not None and self.transport.is_closing():
            self._hang_up = None
            self.loop.call_soon(call)

    # What arrives.

    def data_received(self, data: bytes) -> None:
        if self._refusal is not None:
            self._discard(len(data))
            return
        partial = self._partial_bytes
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._serve_without_upgrade(data[upgrade.args[0] :])
            return
        except httptools.HttpParserError as error:
            cause = error.__context__
            if not isinstance(cause, GatewayError):
                cause = BadRequest("This is not a valid HTTP request.")
            self._refuse(cause)
            return
        if self._chunked:
            self._raw_bytes += len(data)
            if self._raw_bytes > self.chunk_slack_bytes + 9 * self._body_bytes:
                self._refuse(BadRequest("The body's chunks are mostly framing."))
        elif self._head_since is not None and partial:
            # A header that is not yet complete is known to the parser alone.
            self._partial_bytes += len(data)
            if self._partial_bytes > self.max_line_bytes + self.max_head_bytes:
                self._refuse(HeadTooLarge(self.max_head_bytes, self.max_headers))

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._idle_since = None
        self._head_since = self.loop.time()
        self._head_bytes = 0
        self._partial_bytes = 1
        self._upgrading = self._chunked = False
        self._seen_singles.clear()

    def on_url(self, url: bytes) -> None:
        self.url += url
        if len(self.url) > self.max_line_bytes:
            raise LineTooLong(self.max_line_bytes)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_bytes += len(name) + len(value) + 4
        if self._head_bytes > self.max_head_bytes or len(self.headers) >= self.max_headers:
            raise HeadTooLarge(self.max_head_bytes, self.max_headers)
        if self._head_since is None:
            return  # A trailer comes after the application has read the headers.
        name = name.lower()
        if name in _SINGLE:
            self._check_single(name, value)
        elif name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def _check_single(self, name: bytes, value: bytes) -> None:
        """Refuse what two servers in a row could read as two different requests (RFC 9112, 6.3)."""
        if name in self._seen_singles:
            raise BadRequest(f"The header {name.decode()} stands twice.")
        self._seen_singles.add(name)
        if name == b"transfer-encoding":
            if value.lower() != b"chunked" or self.parser.get_http_version() != "1.1":
                raise BadRequest("The only transfer-encoding taken is chunked, in HTTP/1.1.")
            self._chunked = True
        elif name == b"content-length" and not value.isdigit():
            raise BadRequest("The header content-length is not a number.")
        if {b"content-length", b"transfer-encoding"} <= self._seen_singles:
            raise BadRequest("Content-length and transfer-encoding stand together.")

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                raise BadRequest("This is not a proxy for CONNECT.")
            self._upgrading = True
            return
        if b"host" not in self._seen_singles and self.parser.get_http_version() == "1.1":
            raise BadRequest("The header host is missing.")
        self._head_since = None
        self._body_since = self.loop.time()
        self._partial_bytes = self._raw_bytes = self._body_bytes = 0
        super().on_headers_complete()
        cycle, joining = self.cycle, JoiningTransport(self.transport, self.loop)
        cycle.transport = joining  # type: ignore[assignment]
        # Its task begins with the loop's next turn, and finds this in its scope.
        offered: dict[object, object] = {
            "abort": self.transport.abort,
            "on_disconnect": self.on_disconnect,
            "respond": partial(respond, cycle, joining),
            "take_body": partial(take_body, cycle),
        }
        self.scope["extensions"] = {"tollgate": offered}
        self._offers.append(offered)

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self.cycle.response_complete and self._body_bytes > self.discard_bytes:
            self.transport.abort()
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self._upgrading:
            return
        self._body_since = None
        self._chunked = False
        super().on_message_complete()

    def _serve_without_upgrade(self, rest: bytes) -> None:
        """Serve the request as if it had not offered another protocol (RFC 9110, 7.8).

        The parser drops the body of such a request, and Java's HTTP client offers h2c with every
        first POST. So the head is read again without the offer, and the body behind it.
        """
        version = self.parser.get_http_version().encode()
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, version)]
        lines += [b"%b: %b" % pair for pair in self.headers if pair[0] not in _NEITHER_UPGRADE]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.data_received(b"\r\n".join([*lines, b"", b""]))
        if rest and self._refusal is None:
            self.data_received(rest)

    # What leaves.

    def on_response_complete(self) -> None:
        """Go on with the next request: uvicorn's own, but for the timer that the sweep replaces."""
        self.server_state.total_requests += 1
        self._hang_up = None
        # What is offered leads to the cycle and the cycle to what is offered: nothing of a request
        # would go before the garbage collector came.
        self._offers.popleft().clear()
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
        elif self.expect_100_continue and self._body_since is not None and not self._body_bytes:
            # The body was never asked for, and whether it comes all the same is unknown.
            self.transport.close()
        elif self._head_since is None:
            self._idle_since = self.loop.time()
        else:
            self._head_since = self.loop.time()

    def _refuse(self, error: GatewayError) -> None:
        """Answer in place of the application and end the connection.

        While another answer is under way nothing can be said, and the connection is cut.
        """
        self._refusal = error
        if self._is_answering():
            cycle = self.cycle
            if cycle.response_started or self.pipeline:
                self.transport.abort()
                return
            cycle.disconnected = True
            cycle.message_event.set()
        refusal = write_refusal(error, self.url, self.server_state.default_headers)
        self.transport.write(refusal)
        self._leave()

    def _leave(self) -> None:
        """Close, but read on for a moment: a reset would overtake the refusal."""
        self._closing_since = self.loop.time()
        self._raw_bytes = 0
        hang_up, self._hang_up = self._hang_up, None
        if hang_up is not None:
            self.loop.call_soon(hang_up)
        if self.transport.can_write_eof():
            self.transport.write_eof()
            self.flow.resume_reading()
        else:
            self.transport.close()

    def _discard(self, size: int) -> None:
        self._raw_bytes += size
        if self._raw_bytes > self.discard_bytes:
            self.transport.abort()

    def _is_answering(self) -> bool:
        cycle = self.cycle
        return cycle is not None and (not cycle.response_complete or self._owes(cycle))

    def _owes(self, cycle: RequestResponseCycle) -> bool:
        """Say whether a complete response waits to be written, which it does for a moment."""
        transport: object = cycle.transport
        return isinstance(transport, JoiningTransport) and transport.owes

    def shutdown(self) -> None:
        """Close when the response that is under way is out."""
        cycle = self.cycle
        if cycle is not None and self._owes(cycle):
            cycle.transport.make_last()  # type: ignore[attr-defined]
        else:
            super().shutdown()
