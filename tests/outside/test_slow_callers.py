"""Callers that send one byte now and then, or never read: cut off, settled, and nobody waits."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator

import pytest

from gateway.process import Configuration
from gateway.server import GatewayProtocol
from local.provider import RunningProvider
from tests.calls.books import Connection
from tests.calls.serving import PATH, Served, in_django, serve, until
from tests.calls.world import CENT, World, chat
from tests.gateway import sockets
from tests.outside.raw import check_nothing_left, post, say
from tests.parts import Gateway

pytestmark = pytest.mark.django_db(transaction=True)
EVENT = b'data: {"id":"x","choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n' % (b"a" * 60_000)
# What lies in the buffers of three sockets and their programs; it was endless before there was a
# limit.
BUFFERED_BYTES = 2**25


class Hasty(GatewayProtocol):
    """The same limits, sooner."""

    head_seconds = 1.0
    body_seconds = 1.0
    write_seconds = 1.0
    sweep_seconds = 0.02


@pytest.fixture
async def hasty(world: World, configuration: Configuration) -> AsyncIterator[Served]:
    await in_django(world.add_quota, 1000 * CENT)
    async with serve(configuration, key=world.key, protocol=Hasty) as served:
        yield served


async def drip(url: str, start: bytes, *, seconds_each: float) -> tuple[bytes, float]:
    """Send a byte at a time after `start`; return what was answered, and when it was over."""
    host, _, port = url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    began = time.monotonic()
    writer.write(start)
    answer = asyncio.create_task(reader.read())
    with contextlib.suppress(ConnectionError):
        while not answer.done():
            writer.write(b" ")
            await asyncio.wait([answer], timeout=seconds_each)
    writer.close()
    return await answer, time.monotonic() - began


@pytest.mark.parametrize("path", [PATH, "/v1/messages"])
async def test_a_body_in_drips_is_408_in_the_callers_dialect_and_holds_nothing(
    world: World, hasty: Served, provider: RunningProvider, path: str
) -> None:
    request = post(world.key, b"content-length: 100000\r\n", b"{", path=path)
    if path == PATH:
        heard, seconds = await drip(hasty.url, request, seconds_each=0.01)
        assert heard.startswith(b"HTTP/1.1 408 ")
        assert seconds < 5
        error = json.loads(heard.partition(b"\r\n\r\n")[2])["error"]
        assert error["code"] == "request_timeout"
    await check_nothing_left(hasty, provider)


async def test_a_head_in_drips_is_cut_off(
    world: World, hasty: Served, provider: RunningProvider
) -> None:
    heard, seconds = await drip(
        hasty.url, b"POST /v1/chat/completions HTTP/1.1\r\nx: ", seconds_each=0.01
    )
    assert heard.startswith(b"HTTP/1.1 408 ")
    assert seconds < 5
    await check_nothing_left(hasty, provider)


@pytest.mark.slow
async def test_a_byte_a_second_ends_where_the_product_says(
    gateway: Gateway, keys: dict[str, str]
) -> None:
    """The product's own limits: 10 s for a head, 20 s and a bit for a body."""
    head = b"POST /v1/chat/completions HTTP/1.1\r\nx: "
    body = post(keys["steady"], b"content-length: 100000\r\n", b"{")
    ends = await asyncio.gather(
        drip(gateway.url, head, seconds_each=1), drip(gateway.url, body, seconds_each=1)
    )
    assert all(heard.startswith(b"HTTP/1.1 408 ") for heard, _ in ends)
    assert ends[0][1] < 15
    assert ends[1][1] < 30


async def test_a_caller_that_never_reads_is_cut_off_settled_and_holds_back_its_provider(
    world: World, configuration: Configuration, aconn: Connection
) -> None:
    written = 0

    async def handler(peer: sockets.Peer) -> None:
        nonlocal written
        await peer.read_request()
        peer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
        while not peer.writer.is_closing():
            peer.write(EVENT)
            await peer.writer.drain()
            written += len(EVENT)

    async with sockets.serve(handler) as raw:
        provider = await in_django(world.add_provider, "talker", f"{raw.url}/v1")
        await in_django(world.add_model, "talker", provider=provider)
        await in_django(world.add_quota, 1000 * CENT)
        async with serve(configuration, key=world.key, protocol=Hasty) as served:
            body = json.dumps(chat("talker", stream=True, max_tokens=1000)).encode()
            host, _, port = served.url.removeprefix("http://").partition(":")
            _, writer = await asyncio.open_connection(host, int(port), limit=1024)
            writer.write(post(world.key, b"content-length: %d\r\n" % len(body), body))
            process = served.process.ledger.process
            await until(lambda: written)
            # Others are served meanwhile.
            assert (await served.post(chat(max_tokens=10))).status_code == 200
            await until(lambda: not process.open_holds, seconds=20)
            assert written < BUFFERED_BYTES
            writer.transport.abort()
            await served.settled()
    cursor = await aconn.execute("SELECT outcome FROM usage_event WHERE model = 'talker'")
    assert await cursor.fetchall() == [("client_cancelled",)]


async def test_a_stranger_that_says_nothing_is_let_go(hasty: Served) -> None:
    assert (await say(hasty.url)).raw == b""
