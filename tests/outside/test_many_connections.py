"""Connections by the thousand that say nothing, or listen to streams that do not end.

A caller beside them is served, each costs a bounded piece of memory, and what is over the limit on
open files is told so. Figures are printed by `make faults`.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from gateway.server import raise_file_limit
from tests.faults.conftest import note
from tests.faults.load import call, open_session
from tests.faults.world import FIXED, PRICE
from tests.outside.raw import post
from tests.parts import Gateway, Parts

__all__ = ["note"]

Note = Callable[[str], None]
Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]
STALLED = "demo-stall"
IDLE_KILOBYTES = 24
STREAM_KILOBYTES = 80
# Beside thousands of others on a busy machine; what is promised is that it is answered.
CALL_SECONDS = 20.0


@pytest.fixture(scope="module", autouse=True)
def many_files() -> None:
    raise_file_limit()


def count_possible(wanted: int, *, each: int) -> int:
    """As many connections as wanted, or as this machine's limit on open files has room for."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return min(wanted, (hard - 1_000) // each)


def resident_kilobytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


async def open_line(gateway: Gateway, request: bytes) -> Line:
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(request)
    return reader, writer


async def open_lines(gateway: Gateway, number: int, request: bytes) -> list[Line]:
    """So many connections, a hundred at a time."""
    lines: list[Line] = []
    while len(lines) < number:
        some = min(100, number - len(lines))
        lines += await asyncio.gather(*(open_line(gateway, request) for _ in range(some)))
    return lines


async def close_lines(lines: list[Line]) -> None:
    for _, writer in lines:
        writer.transport.abort()
    await asyncio.sleep(0)


async def call_beside(gateway: Gateway, key: str) -> float:
    """Make one call, again where its draw took longer than a call may wait for it, as SDKs do;
    return how long it took until it was answered."""
    began = time.monotonic()
    async with open_session() as session:
        while (made := await call(session, url=gateway.url, key=key, ask=FIXED)).kind == "refused":
            assert made.code == "ledger_away"
            assert time.monotonic() - began < CALL_SECONDS
    assert made.kind == "answered", made
    return time.monotonic() - began


async def hold_idle(gateway: Gateway, key: str, number: int, *, to_the_end: bool) -> str:
    """Open connections that send half a request, call beside them, and see them cut off."""
    pid = gateway.process.pid
    before = resident_kilobytes(pid)
    lines = await open_lines(gateway, number, b"POST /v1/chat/completions HTTP/1.1\r\nx: ")
    seconds = await call_beside(gateway, key)
    each = (resident_kilobytes(pid) - before) / number
    assert seconds < CALL_SECONDS
    assert each < IDLE_KILOBYTES
    if to_the_end:
        answers = await asyncio.gather(*(reader.read() for reader, _ in lines))
        assert all(answer.startswith(b"HTTP/1.1 408 ") for answer in answers)
    await close_lines(lines)
    return f"{number} idle connections: {each:.1f} KB each, a call beside them {seconds:.2f} s"


async def hold_streams(parts: Parts, gateway: Gateway, key: str, number: int) -> str:
    """Open streams that stall, call beside them, hang up on all, and wait until all is settled."""
    pid = gateway.process.pid
    before = resident_kilobytes(pid)
    body = json.dumps({**FIXED.body(), "model": STALLED, "stream": True}).encode()
    request = post(key, b"content-length: %d\r\n" % len(body), body)
    lines = await open_lines(gateway, number, request)
    heads = await asyncio.gather(*(reader.readuntil(b"\r\n\r\n") for reader, _ in lines))
    # In such a storm a draw can take longer than a call may wait for it: those are 503.
    statuses = Counter(head[9:12] for head in heads)
    assert statuses.keys() <= {b"200", b"503"}
    streams = statuses[b"200"]
    assert streams > 0.9 * number
    seconds = await call_beside(gateway, key)
    each = (resident_kilobytes(pid) - before) / streams
    assert seconds < CALL_SECONDS
    assert each < STREAM_KILOBYTES
    await close_lines(lines)
    settled = "SELECT count(*) FROM usage_event WHERE outcome = 'client_cancelled'"
    parts.until(lambda: parts.rows(settled)[0][0] >= streams, seconds=60)
    return f"{streams} stalled streams: {each:.1f} KB each, a call beside them {seconds:.2f} s"


@pytest.fixture(scope="module")
def stalling(parts: Parts, gateway: Gateway, keys: dict[str, str]) -> str:
    """A key with a budget for all of them, and the model whose streams stall."""
    route = {"provider": "demo", "model": STALLED}
    model = {"name": STALLED, "context_window": 128_000, "max_output_tokens": 4096}
    budget = {"unit": "cost", "limit": "1000.00", "window": "lifetime"}
    project = {"slug": "default", "keys": [{"name": "crowd", "quotas": [budget]}]}
    made = parts.apply(
        {
            "models": [{**model, "routes": [route], "price": PRICE}],
            "organizations": [{"slug": "acme", "name": "Acme", "projects": [project]}],
        }
    )
    parts.until(lambda: is_known(gateway, made["crowd"]))
    return made["crowd"]


def is_known(gateway: Gateway, key: str) -> bool:
    """Whether the gateway has heard of the key and its model."""
    headers = {"authorization": f"Bearer {key}"}
    answer = httpx2.get(f"{gateway.url}/v1/models", headers=headers)
    return answer.status_code == 200 and STALLED in answer.text


async def test_idle_connections_keep_nobody_waiting(gateway: Gateway, keys: dict[str, str]) -> None:
    await hold_idle(gateway, keys["spender"], count_possible(400, each=2), to_the_end=False)


@pytest.mark.slow
async def test_stalled_streams_keep_nobody_waiting_and_settle(
    parts: Parts, gateway: Gateway, stalling: str
) -> None:
    await hold_streams(parts, gateway, stalling, count_possible(100, each=4))
    check_no_hold(parts)


@pytest.mark.slow
async def test_ten_thousand_idle_connections(
    gateway: Gateway, keys: dict[str, str], note: Note
) -> None:
    number = count_possible(10_000, each=2)
    note(await hold_idle(gateway, keys["spender"], number, to_the_end=True))


@pytest.mark.slow
async def test_ten_thousand_stalled_streams(
    parts: Parts, gateway: Gateway, stalling: str, note: Note
) -> None:
    note(await hold_streams(parts, gateway, stalling, count_possible(10_000, each=2)))
    check_no_hold(parts)


def check_no_hold(parts: Parts) -> None:
    """No window is over, and what was drawn goes back."""
    over = 'SELECT count(*) FROM quota_window WHERE posted + drawn > "limit"'
    assert parts.rows(over)[0][0] == 0
    parts.until(lambda: parts.rows("SELECT coalesce(sum(drawn), 0) FROM quota_window")[0][0] == 0)
