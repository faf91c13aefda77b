"""httpx2's transport interface over aiohttp's connector: one pooled HTTP/1.1 connection a request.

It speaks to the connector and its protocol directly, without aiohttp's session, request and
response objects, which cost more CPU than all the rest (docs/decisions/0003). Never resends,
redirects, decodes, keeps cookies or reads proxy variables. Foreign errors pass; Upstream
translates them.

`exchange` is the same for a head that is written already, without httpx2's request and response:
what the path of a call uses.
"""

from __future__ import annotations

import select
import socket
import ssl
import weakref
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import NamedTuple, Protocol

import aiohttp
import httpx2
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import AddrInfoType, Connection
from aiohttp.streams import StreamReader
from multidict import MultiMapping
from yarl import URL

from gateway.upstream.addresses import CheckedResolver, Network, refuse_unless_permitted
from gateway.upstream.target import Pairs

KEEPALIVE_SECONDS = 15.0
MAX_LINE_BYTES = 8190
MAX_HEADERS = 128
MAX_INTERIM_ANSWERS = 10

# Larger bodies are handed over beside their head, not copied behind it.
_JOIN_BYTES = 65_536


class Outgoing(Protocol):
    """A request as `exchange` takes it."""

    sent: bool

    @property
    def origin(self) -> tuple[str, bytes]: ...
    @property
    def body(self) -> bytes: ...
    @property
    def connect_seconds(self) -> float | None: ...

    def write_head(self) -> bytes: ...
    def leave(self, write: Callable[[], None]) -> None:
        """Set `sent` and call `write`, now or when the request may leave."""


class WrittenRequest:
    """httpx2's request as an Outgoing."""

    def __init__(self, request: httpx2.Request, body: bytes) -> None:
        self.sent = False
        self.origin = (request.url.scheme, request.url.netloc)
        self.body = body
        self.connect_seconds: float | None = request.extensions.get("timeout", {}).get("connect")
        self._request = request

    def write_head(self) -> bytes:
        return write_head(self._request)

    def leave(self, write: Callable[[], None]) -> None:
        self.sent = True
        write()


class Response(NamedTuple):
    """The head of an answer, and its body as a stream that gives the connection back. `headers`
    are what `raw_headers` says, to be asked by name in any case."""

    status: int
    raw_headers: Pairs
    headers: MultiMapping[str]
    stream: httpx2.AsyncByteStream


class ConnectorTransport(httpx2.AsyncBaseTransport):
    """Sends each request over a connection of its own from aiohttp's pool.

    The pool has no limit, drops a connection idle for KEEPALIVE_SECONDS, and is made with the
    first request, because it belongs to the running loop.
    """

    def __init__(
        self, *, allowed_networks: Sequence[Network] = (), tls: ssl.SSLContext | None = None
    ) -> None:
        self._allowed_networks = tuple(allowed_networks)
        self._tls = tls
        self._connector: aiohttp.TCPConnector | None = None
        self._origins: dict[tuple[str, bytes], aiohttp.ClientRequest] = {}
        # What was used before, with what tells whether something waits there to be read.
        self._used: weakref.WeakKeyDictionary[ResponseHandler, select.poll]
        self._used = weakref.WeakKeyDictionary()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        written = WrittenRequest(request, await _read_body(request))
        answer = await self.exchange(written)
        return httpx2.Response(answer.status, headers=answer.raw_headers, stream=answer.stream)

    async def exchange(self, request: Outgoing) -> Response:
        """Send a request over a connection of its own and wait for the head of the answer.

        `request.leave` decides when the first byte is written.
        """
        head, body = request.write_head(), request.body
        connection = await self._connect(request.origin, request.connect_seconds)
        try:
            protocol = _open_protocol(connection)
            request.leave(partial(_write, protocol, head, body))
            message, payload = await protocol.read()
            for _ in range(MAX_INTERIM_ANSWERS):
                if not 100 <= message.code < 200 or message.code == 101:
                    break
                message, payload = await protocol.read()
        except BaseException:
            _abort(connection)
            raise
        stream = ConnectionStream(connection, protocol, payload)
        return Response(message.code, message.raw_headers, message.headers, stream)

    async def _connect(self, origin: tuple[str, bytes], seconds: float | None) -> Connection:
        """Take a connection from the pool that is still good, or make one.

        Raises httpx2.ConnectTimeout, aiohttp's connector errors or UpstreamForbidden.
        """
        connector = self._connector or self._make_connector()
        described = self._origins.get(origin) or self._describe(origin)
        timeout = _limit_connecting(seconds)
        while True:
            try:
                connection = await connector.connect(described, traces=[], timeout=timeout)
            except TimeoutError as error:
                raise httpx2.ConnectTimeout(f"no connection within {seconds} s") from error
            protocol = connection.protocol
            assert protocol is not None
            poll = self._used.get(protocol)
            if poll is None:
                self._used[protocol] = _make_poll(protocol)
                return connection
            # A byte that waits on an idle connection is its end, or an answer that nobody asked
            # for (such as a late 408), which would be taken for the answer to this request.
            if not protocol.should_close and not poll.poll(0):
                return connection
            _abort(connection)

    def _make_connector(self) -> aiohttp.TCPConnector:
        self._connector = aiohttp.TCPConnector(
            limit=0,
            keepalive_timeout=KEEPALIVE_SECONDS,
            resolver=CheckedResolver(self._allowed_networks),
            socket_factory=partial(_open_socket, self._allowed_networks),
            ssl=self._tls or True,
        )
        return self._connector

    def _describe(self, origin: tuple[str, bytes]) -> aiohttp.ClientRequest:
        """Return what the connector wants to know of an origin: scheme, host and port."""
        scheme, host = origin
        target = URL(f"{scheme}://{host.decode('ascii')}/", encoded=True)
        described = self._origins[origin] = aiohttp.ClientRequest("POST", target)
        return described

    async def aclose(self) -> None:
        """Close every connection, also those in use."""
        connector, self._connector = self._connector, None
        if connector is not None:
            await connector.close()


class ConnectionStream(httpx2.AsyncByteStream):
    """The body of an answer, as it comes. Gives its connection back at the end, or aborts it."""

    def __init__(
        self, connection: Connection, protocol: ResponseHandler, payload: StreamReader
    ) -> None:
        self._connection: Connection | None = connection
        self._protocol = protocol
        self._payload = payload

    def __aiter__(self) -> ConnectionStream:
        return self

    async def __anext__(self) -> bytes:
        """Return what has arrived, at least one byte; a broken connection is never an end."""
        try:
            chunk = await self._payload.readany()
        except BaseException:
            self.abort()
            raise
        if chunk:
            return chunk
        self.release()
        raise StopAsyncIteration

    def take_rest(self) -> bytes | None:
        """Take what is left where all of it has arrived; None where it has to be waited for.

        The connection still has to be released, or aborted.
        """
        payload = self._payload
        if not payload.is_eof() or payload.exception() is not None:
            return None
        rest = payload.read_nowait()
        while not payload.at_eof():
            rest += payload.read_nowait()
        return rest

    def release(self) -> None:
        """Give back the connection of an answer that was read to its end."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        # An answer without a length ends with its connection. aiohttp calls that complete also
        # where the connection was reset, and forgets the reset with the release.
        lost = self._protocol.exception()
        connection.release()
        if isinstance(lost, aiohttp.ClientOSError):
            raise lost

    def abort(self) -> None:
        """Close the connection at once, unless it was given back. Nothing more can be read."""
        connection, self._connection = self._connection, None
        if connection is not None:
            _abort(connection)

    async def aclose(self) -> None:
        self.abort()


def write_head(request: httpx2.Request) -> bytes:
    """Write the request line and the headers.

    Raises httpx2.LocalProtocolError for anything that could make two requests of one.
    """
    headers = request.headers.raw
    names = {name.lower() for name, _ in headers}
    if len(names) < len(headers) or b"transfer-encoding" in names:
        raise httpx2.LocalProtocolError("a header of the request stands twice or is forbidden")
    lines = [b"%b %b HTTP/1.1\r\n" % (request.method.encode("ascii"), request.url.raw_path)]
    lines += [b"%b: %b\r\n" % header for header in headers]
    head = b"".join(lines)
    if not head.count(b"\r") == head.count(b"\n") == len(lines) or b"\0" in head:
        raise httpx2.LocalProtocolError("a header of the request holds CR, LF or NUL")
    return head + b"\r\n"


async def _read_body(request: httpx2.Request) -> bytes:
    if isinstance(request.stream, httpx2.ByteStream):
        return b"".join(request.stream)
    return await request.aread()


def _open_protocol(connection: Connection) -> ResponseHandler:
    protocol = connection.protocol
    if protocol is None or protocol.transport is None:
        raise aiohttp.ServerDisconnectedError
    protocol.set_response_params(
        read_until_eof=True,
        auto_decompress=False,
        max_line_size=MAX_LINE_BYTES,
        max_field_size=MAX_LINE_BYTES,
        max_headers=MAX_HEADERS,
    )
    return protocol


def _write(protocol: ResponseHandler, head: bytes, body: bytes) -> None:
    transport = protocol.transport
    if transport is None:
        return  # The connection is lost, which whoever reads from it is told.
    if len(body) > _JOIN_BYTES:
        transport.writelines((head, body))
    else:
        transport.write(head + body)


@lru_cache
def _limit_connecting(seconds: float | None) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(connect=seconds)


def _make_poll(protocol: ResponseHandler) -> select.poll:
    poll = select.poll()
    if protocol.transport is not None:
        poll.register(protocol.transport.get_extra_info("socket").fileno(), select.POLLIN)
    return poll


def _abort(connection: Connection) -> None:
    # Connection.close() would first wait for a provider that does not read.
    if connection.protocol is not None:
        connection.protocol.abort()
    connection.close()


def _open_socket(allowed_networks: Sequence[Network], address: AddrInfoType) -> socket.socket:
    """Open the socket for one address: the last place where a forbidden one is refused."""
    family, kind, protocol, _, target = address
    refuse_unless_permitted(target[0], allowed_networks)
    return socket.socket(family, kind, protocol)
