"""A provider made of one function that is given the raw socket streams, for tests of the wire."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

Handler = Callable[["Peer"], Awaitable[None]]


@dataclass
class Peer:
    """One accepted connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def read_request(self) -> bytes:
        """Return one request, head and body; b"" when the connection has ended instead."""
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return b""
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        return head + await self.reader.readexactly(int(length or 0))

    def write(self, data: bytes) -> None:
        self.writer.write(data)

    def answer(self, body: bytes = b"{}", head: bytes = b"HTTP/1.1 200 OK\r\n") -> None:
        self.write(head + b"content-length: %d\r\n\r\n" % len(body) + body)

    async def reset(self) -> None:
        """Break the connection off with a TCP reset."""
        await self.writer.drain()
        raw = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def wait_for_end(self) -> bytes:
        """Return what still came before the other side closed or reset the connection."""
        with contextlib.suppress(ConnectionError):
            return await self.reader.read()
        return b""


@dataclass
class RawServer:
    handler: Handler
    port: int = 0
    connections: int = 0
    errors: list[BaseException] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            await self.handler(Peer(reader, writer))
        except (ConnectionError, asyncio.CancelledError):
            pass
        except BaseException as error:
            self.errors.append(error)
        finally:
            writer.close()


@contextlib.asynccontextmanager
async def serve(handler: Handler, **options: object) -> AsyncIterator[RawServer]:
    """Run the provider on a free port; its own failures fail the test."""
    raw = RawServer(handler)
    server = await asyncio.start_server(raw.accept, "127.0.0.1", 0, **options)  # type: ignore[arg-type]
    raw.port = server.sockets[0].getsockname()[1]
    try:
        yield raw
    finally:
        server.close()
    assert raw.errors == []


async def answer_all(peer: Peer) -> None:
    """Answer every request on the connection with {}."""
    while await peer.read_request():
        peer.answer()
