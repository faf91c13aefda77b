"""Answers of a provider that would fill memory, keep a call for ever, or lead it elsewhere.

The caller is told 502 in its own dialect, nothing of the provider's bytes, and the attempt is
settled once: what was sent may have been billed.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from billing.usage import Outcome
from gateway.relaying import MAX_ANSWER_BYTES
from local.provider import RunningProvider
from tests.calls.books import Connection, event_of
from tests.calls.serving import Served, in_django
from tests.calls.world import World, chat
from tests.gateway.sockets import Peer, RawServer, serve
from tests.outside.bombs import MEGABYTE, deflate_bomb, gzip_bomb, zstd_bomb

pytestmark = pytest.mark.django_db(transaction=True)
Start = Callable[[], Awaitable[Served]]
OK = b"HTTP/1.1 200 OK\r\n"
JSON = b"content-type: application/json\r\n"
EVENTS = b"content-type: text/event-stream\r\n"
CHUNKED = b"transfer-encoding: chunked\r\n"
# What a bomb of these tests would become, and what may be left of it.
BOMB_MEGABYTES = 256
GROWTH_MEGABYTES = 160

CODED = {
    b"gzip": gzip_bomb,
    b"x-gzip": gzip_bomb,
    b"GZip": gzip_bomb,
    b"identity, gzip": gzip_bomb,
    b"gzip, gzip": gzip_bomb,
    b"deflate": deflate_bomb,
    b"zstd": zstd_bomb,
    b"br": gzip_bomb,
}
NONE_AT_ALL = (
    OK + b"x: " + b"a" * 100_000 + b"\r\n\r\n",
    OK + b"".join(b"x-%d: a\r\n" % number for number in range(10_000)) + b"\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n" * 1_000,
    OK + JSON + b"content-length: 5\r\ncontent-length: 6\r\n\r\nhello!",
    OK + CHUNKED + b"\r\nfffffffffffffffff\r\n",
    OK + CHUNKED + b"\r\n5\nhello\n0\n\n",
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    b"HTTP/1.1 999 No\r\ncontent-length: 0\r\n\r\n",
    b"SSH-2.0-OpenSSH_9.9\r\n",
    OK + JSON + b"content-length: 200000\r\n\r\n" + b"[" * 200_000,
    OK + JSON + b"content-length: 200000\r\n\r\n" + b"\xff" * 200_000,
)
# A head, and what then comes again and again.
ENDLESS = (
    (OK + JSON + CHUNKED + b"\r\n", b"10000\r\n" + b" " * 65_536 + b"\r\n"),
    (OK + JSON + b"content-length: %d\r\n\r\n" % 10**12, b" " * 65_536),
    (OK, b"x: " + b"a" * 8_000 + b"\r\n"),
    (b"", b"a" * 65_536),
    (OK + EVENTS + CHUNKED + b"\r\n", b"10000\r\n" + b"a" * 65_536 + b"\r\n"),
)
LEADS = (
    "http://127.0.0.1:%d/",
    "http://169.254.169.254/latest/meta-data/",
    "http://[::1]:%d/",
    "//127.0.0.1:%d/",
    "file:///etc/passwd",
)


@dataclass
class Hostile:
    """A provider that gives one answer to every request, and then `again` until it is cut off."""

    raw: RawServer
    answer: bytes = b""
    again: bytes = b""


@contextlib.asynccontextmanager
async def facing(world: World) -> AsyncIterator[Hostile]:
    """Route the model `hostile` to a provider that does what the test says."""

    async def handler(peer: Peer) -> None:
        await peer.read_request()
        peer.write(hostile.answer)
        while hostile.again and not peer.writer.is_closing():
            peer.write(hostile.again)
            await peer.writer.drain()
            await asyncio.sleep(0)

    async with serve(handler, limit=2**22) as raw:
        hostile = Hostile(raw)
        provider = await in_django(world.add_provider, "hostile", f"{raw.url}/v1")
        await in_django(world.add_model, "hostile", provider=provider)
        yield hostile


async def check_failed(
    served: Served, aconn: Connection, *, status: int = 502, outcome: str = Outcome.UPSTREAM_FAILED
) -> None:
    """A call, streamed or not, gets this status and has one fact; nothing stays held."""
    for stream in (False, True):
        answer = await served.post(chat("hostile", stream=stream, max_tokens=10))
        assert answer.status_code == status
        error: dict[str, Any] = answer.json()["error"]
        assert error["code"].startswith("upstream_")
        await served.settled()
        event = await event_of(aconn, answer.headers["x-request-id"])
        assert event["outcome"] == outcome
        assert served.process.ledger.process.open_holds == 0


def resident_megabytes() -> float:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / MEGABYTE


@pytest.mark.slow
async def test_a_compressed_answer_is_refused_and_never_inflated(
    world: World, start: Start, aconn: Connection
) -> None:
    async with facing(world) as hostile:
        served = await start()
        for coding, bomb in CODED.items():
            body = bomb(BOMB_MEGABYTES)
            head = OK + JSON + b"content-encoding: %b\r\n" % coding
            hostile.answer = head + b"content-length: %d\r\n\r\n" % len(body) + body
            before = resident_megabytes()
            await check_failed(served, aconn)
            assert resident_megabytes() - before < GROWTH_MEGABYTES


async def test_a_compressed_answer_that_does_not_say_so_is_nonsense(
    world: World, start: Start, aconn: Connection
) -> None:
    body = gzip_bomb(BOMB_MEGABYTES)
    async with facing(world) as hostile:
        served = await start()
        for head in (OK + JSON, OK + EVENTS, OK + JSON + b"transfer-encoding: gzip\r\n"):
            hostile.answer = head + b"content-length: %d\r\n\r\n" % len(body) + body
            before = resident_megabytes()
            await check_failed(served, aconn)
            assert resident_megabytes() - before < GROWTH_MEGABYTES


async def test_an_answer_that_is_none_becomes_one_plain_502(
    world: World, start: Start, aconn: Connection
) -> None:
    async with facing(world) as hostile:
        served = await start()
        for hostile.answer in NONE_AT_ALL:
            await check_failed(served, aconn)


async def test_an_answer_without_end_is_cut_off_where_it_is_too_long(
    world: World, start: Start, aconn: Connection
) -> None:
    most = GROWTH_MEGABYTES + 2 * MAX_ANSWER_BYTES / MEGABYTE
    async with facing(world) as hostile:
        served = await start()
        before = resident_megabytes()
        for hostile.answer, hostile.again in ENDLESS:
            await check_failed(served, aconn)
        assert resident_megabytes() - before < most


async def test_a_refusal_without_end_is_read_to_a_limit(
    world: World, start: Start, aconn: Connection
) -> None:
    async with facing(world) as hostile:
        served = await start()
        hostile.answer = b"HTTP/1.1 400 Bad Request\r\n" + JSON + CHUNKED + b"\r\n"
        hostile.again = b"10000\r\n" + b"a" * 65_536 + b"\r\n"
        await check_failed(served, aconn, status=400, outcome=Outcome.UPSTREAM_REFUSED)


async def test_a_redirect_is_not_followed(
    world: World, start: Start, aconn: Connection, provider: RunningProvider
) -> None:
    port = int(provider.url.rpartition(":")[2])
    async with facing(world) as hostile:
        served = await start()
        calls = 0
        for status in (301, 302, 303, 307, 308):
            for lead in LEADS:
                where = (lead % port if "%d" in lead else lead).encode()
                head = b"HTTP/1.1 %d Go\r\nlocation: %b\r\n" % (status, where)
                hostile.answer = head + b"content-length: 0\r\n\r\n"
                await check_failed(served, aconn)
                calls += 2
        assert hostile.raw.connections == calls
    assert provider.received()["total"] == 0
