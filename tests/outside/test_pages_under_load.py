"""Pages that strangers ask for take neither disk nor connections from the calls beside them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator

import httpx2
import psycopg
import pytest

from gateway.pages import MAX_BODY_BYTES, PAGES_AT_ONCE, UNREAD_BYTES
from tests.calls.serving import PATH
from tests.faults.world import FIXED
from tests.outside.raw import CHUNKED, CLOSE, post, say
from tests.parts import Gateway, Parts

PAGES = 400
# The promise is that calls go on; what they wait for the interpreter is this machine's noise, and
# half of it is this test's own loop, which opens hundreds of connections meanwhile.
CALL_SECONDS = 30.0
# More than the system takes in on its own while nobody reads.
LARGE_FILE = "/static/drf_spectacular_sidecar/redoc/bundles/redoc.standalone.js.map"


def count_connections(parts: Parts) -> int:
    """Those of the pages: the gateway's own have a name."""
    unnamed = "datname = current_database() AND application_name = ''"
    clients = f"{unnamed} AND backend_type = 'client backend'"
    # Whoever asks has a name too: its end may be seen by the next one.
    with psycopg.connect(parts.env["DATABASE_URL"], application_name="a look") as connection:
        found = connection.execute(f"SELECT count(*) FROM pg_stat_activity WHERE {clients}")
        return int(one[0]) if (one := found.fetchone()) else 0


def measure_open_files(pid: int) -> int:
    """The bytes in files that a process has open outside of its data folder and logs."""
    size = 0
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            if "(deleted)" in os.readlink(f"/proc/{pid}/fd/{name}"):
                size += os.stat(f"/proc/{pid}/fd/{name}").st_size
        except OSError:
            continue
    return size


async def test_a_flood_of_pages_leaves_calls_their_database(
    parts: Parts, gateway: Gateway, keys: dict[str, str]
) -> None:
    """Each page took a thread and a connection of its own, until PostgreSQL had none for draws."""
    limits = httpx2.Limits(max_connections=None)
    headers = {"authorization": f"Bearer {keys['spender']}"}
    async with httpx2.AsyncClient(base_url=gateway.url, limits=limits, timeout=60) as client:
        flood = [asyncio.create_task(client.get("/admin/login/")) for _ in range(PAGES)]
        calls, slowest = Counter[int](), 0.0
        while not all(page.done() for page in flood):
            began = time.monotonic()
            while (call := await client.post(PATH, json=FIXED.body(), headers=headers)).is_error:
                # A draw gets a fifth of a second, and this machine may have less for all of us
                # at once. Clients try again, and connections that were gone would be gone still.
                assert (call.status_code, call.json()["error"]["code"]) == (503, "ledger_away")
                assert time.monotonic() - began < CALL_SECONDS
            calls[call.status_code] += 1
            slowest = max(slowest, time.monotonic() - began)
            assert count_connections(parts) <= PAGES_AT_ONCE
        statuses = Counter(page.result().status_code for page in flood)
        assert statuses.keys() == {200, 503}
        assert calls.keys() == {200}
        assert slowest < CALL_SECONDS
        assert (await client.get("/admin/login/")).status_code == 200
    assert count_connections(parts) <= PAGES_AT_ONCE


async def test_a_pages_body_is_bounded_and_never_on_the_disk(
    gateway: Gateway, keys: dict[str, str]
) -> None:
    """A stranger could fill the disk with one request: it was kept in a file, whatever its size."""
    large = b"a" * (MAX_BODY_BYTES + 1)
    said = post("", CLOSE + b"content-length: %d\r\n" % 10**11, large, path="/admin/login/")
    chunked = CLOSE + CHUNKED
    whole = b"%x\r\n%b\r\n0\r\n\r\n" % (len(large), large)
    for request in (said, post("", chunked, whole, path="/admin/login/")):
        heard = await say(gateway.url, request)
        assert heard.statuses == [413]
        error = heard.json()["error"]
        assert (error["code"], error["field"]) == ("request_too_large", None)
    assert measure_open_files(gateway.process.pid) == 0


async def test_a_compressed_form_is_refused(gateway: Gateway) -> None:
    coded = CLOSE + b"content-encoding: gzip\r\ncontent-length: 2\r\n"
    heard = await say(gateway.url, post("", coded, b"ab", path="/admin/login/"))
    assert heard.statuses == [415]


async def test_half_a_body_holds_no_turn(gateway: Gateway, parts: Parts) -> None:
    """Pages are made of whole requests: who sends half of one keeps nobody waiting."""
    half = post("", b"content-length: 1000\r\n", b"a", path="/admin/login/")
    waiting = [asyncio.create_task(say(gateway.url, half)) for _ in range(4 * PAGES_AT_ONCE)]
    await asyncio.sleep(0)
    async with httpx2.AsyncClient(base_url=gateway.url, timeout=10) as client:
        assert (await client.get("/admin/login/")).status_code == 200
    for each in waiting:
        each.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_who_reads_slowly_keeps_no_page_from_the_others(gateway: Gateway) -> None:
    """Twelve strangers who asked for a large file and did not read it had all threads of pages,
    for as long as they liked."""
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(2 * PAGES_AT_ONCE):
            await stack.enter_async_context(asking_without_reading(gateway, LARGE_FILE))
        async with httpx2.AsyncClient(base_url=gateway.url, timeout=30) as client:
            assert (await client.get("/admin/login/")).status_code == 200
            whole = await client.get(LARGE_FILE)
            assert len(whole.content) == int(whole.headers["content-length"]) > 3 * 10**6


async def test_what_waits_to_be_read_is_bounded_and_the_slowest_go_first(gateway: Gateway) -> None:
    async with contextlib.AsyncExitStack() as stack:
        first = await stack.enter_async_context(asking_without_reading(gateway, LARGE_FILE))
        for _ in range(UNREAD_BYTES // (3 * 10**6)):
            last = await stack.enter_async_context(asking_without_reading(gateway, LARGE_FILE))
        # It got what lay in the buffers, and then the end.
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await asyncio.wait_for(read_whole(first), 30)
        assert len(await asyncio.wait_for(read_whole(last), 30)) > 3 * 10**6
        async with httpx2.AsyncClient(base_url=gateway.url, timeout=30) as client:
            assert (await client.get("/admin/login/")).status_code == 200


@contextlib.asynccontextmanager
async def asking_without_reading(
    gateway: Gateway, path: str
) -> AsyncIterator[asyncio.StreamReader]:
    """Ask for a page and take in as little of it as a system allows, until the reader is read."""
    there = socket.socket()
    there.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    there.setblocking(False)
    await asyncio.get_running_loop().sock_connect(there, ("127.0.0.1", gateway.port))
    reader, writer = await asyncio.open_connection(sock=there, limit=1024)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nhost: gateway.example\r\n\r\n".encode())
        assert (await reader.readline()).startswith(b"HTTP/1.1 200 "), await reader.read()
        yield reader
    finally:
        writer.transport.abort()


async def read_whole(reader: asyncio.StreamReader) -> bytes:
    """Return the body. Raises IncompleteReadError where the connection ends before it does."""
    head = await reader.readuntil(b"\r\n\r\n")
    size = int(re.findall(rb"content-length: (\d+)", head)[0])
    return await reader.readexactly(size)
