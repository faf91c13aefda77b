"""A call leaves nothing behind that only the garbage collector could take away.

It would cost a tenth of a call, and a pause for everybody while it is taken.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.calls.serving import PATH, Served
from tests.calls.world import World, chat

pytestmark = pytest.mark.django_db(transaction=True)

CALLS = 10
WHOLE = chat("demo-fixed-100", max_tokens=100)


class Connection:
    """A caller that makes no garbage of its own."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def call(self, key: str, body: object, end: bytes) -> bytes:
        sent = json.dumps(body).encode()
        head = f"POST {PATH} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n"
        self._writer.write(f"{head}content-length: {len(sent)}\r\n\r\n".encode() + sent)
        async with asyncio.timeout(10):
            received = b""
            while not received.endswith(end):
                received += await self._reader.read(65_536)
        return received


@pytest.fixture
async def connection(served: Served) -> AsyncIterator[Connection]:
    host, _, port = served.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    yield Connection(reader, writer)
    writer.close()


@contextlib.contextmanager
def collect() -> Iterator[list[object]]:
    """Give what the collector finds of all that was made within, in place of taking it away."""
    found: list[object] = []
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        yield found
        gc.collect()
        found.extend(gc.garbage)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (WHOLE, b"200"),
        ({**WHOLE, "stream": True}, b"200"),
        (chat("demo-fixed-100", max_tokens="many"), b"400"),
        (chat("no-such-model"), b"404"),
    ],
    ids=["whole", "streamed", "bad", "no model"],
)
async def test_nothing_is_left_of_a_call(
    world: World, served: Served, connection: Connection, body: dict[str, object], status: bytes
) -> None:
    end = b"0\r\n\r\n" if "stream" in body else b"}"
    for _ in range(3):
        received = await connection.call(world.key, body, end)
        assert received.startswith(b"HTTP/1.1 " + status)
    await served.settled()
    with collect() as garbage:
        for _ in range(CALLS):
            await connection.call(world.key, body, end)
        await served.settled()
    assert len(garbage) < CALLS, garbage[:30]
