"""The four time limits of an attempt, abort() at every stage, and cancellation from elsewhere."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator

import pytest

from gateway.upstream import (
    Target,
    Timeouts,
    Upstream,
    UpstreamAborted,
    UpstreamAnswer,
    UpstreamTimeout,
)
from tests.gateway.sockets import Peer, RawServer, answer_all, serve

HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


class EagerUpstream(Upstream):
    sweep_seconds = 0.02


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    upstream = EagerUpstream(allowed_networks=[ipaddress.ip_network("127.0.0.0/8")])
    yield upstream
    await upstream.close()


def open_call(upstream: Upstream, server: RawServer, **limits: float) -> UpstreamAnswer:
    return upstream.open(Target(server.url), body=b"{}", timeouts=Timeouts(**limits))


class Silent:
    """A provider that sends `start` and then nothing; `closed` is set when we have left."""

    def __init__(self, start: bytes = b"") -> None:
        self.start = start
        self.started = asyncio.Event()
        self.closed = asyncio.Event()

    async def __call__(self, peer: Peer) -> None:
        await peer.read_request()
        peer.write(self.start)
        self.started.set()
        await peer.wait_for_end()
        self.closed.set()


async def test_connecting_has_a_limit_and_sends_nothing(upstream: Upstream) -> None:
    with socket.socket() as full, socket.socket() as filler, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for waiting in (filler, second):
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        server = RawServer(answer_all, port=full.getsockname()[1])
        with pytest.raises(UpstreamTimeout) as caught:
            await open_call(upstream, server, connect_seconds=0.1).send()
    assert (caught.value.kind, caught.value.sent) == ("connect", False)


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\ncontent-le"])
async def test_the_head_has_a_limit(upstream: Upstream, start: bytes) -> None:
    provider = Silent(start)
    async with serve(provider) as server:
        with pytest.raises(UpstreamTimeout) as caught:
            await open_call(upstream, server, first_byte_seconds=0.1).send()
        await asyncio.wait_for(provider.closed.wait(), 5)
    assert (caught.value.kind, caught.value.sent) == ("first_byte", True)


async def test_a_provider_that_never_reads_runs_into_the_same_limit(upstream: Upstream) -> None:
    gone = asyncio.Event()

    async def handler(peer: Peer) -> None:
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await gone.wait()

    async with serve(handler) as server:
        call = upstream.open(
            Target(server.url),
            body=bytes(2**24),
            timeouts=Timeouts(first_byte_seconds=0.2),
        )
        with pytest.raises(UpstreamTimeout) as caught:
            await call.send()
        gone.set()
    assert caught.value.sent


async def test_silence_between_chunks_has_a_limit(upstream: Upstream) -> None:
    provider = Silent(HEAD + b"2\r\nab\r\n")
    async with serve(provider) as server:
        call = open_call(upstream, server, idle_seconds=0.1)
        await call.send()
        assert await anext(call) == b"ab"
        with pytest.raises(UpstreamTimeout) as caught:
            await anext(call)
        await asyncio.wait_for(provider.closed.wait(), 5)
    assert (caught.value.kind, caught.value.sent) == ("idle", True)


async def test_silence_counts_only_while_somebody_waits_for_it(upstream: Upstream) -> None:
    async def handler(peer: Peer) -> None:
        await peer.read_request()
        peer.write(HEAD + b"2\r\nab\r\n0\r\n\r\n")

    async with serve(handler) as server:
        call = open_call(upstream, server, idle_seconds=0.1)
        await call.send()
        await asyncio.sleep(0.3)
        assert await call.read(100) == b"ab"


async def test_the_whole_has_a_limit_however_lively_it_is(upstream: Upstream) -> None:
    async def handler(peer: Peer) -> None:
        await peer.read_request()
        peer.write(HEAD)
        while not peer.writer.is_closing():
            peer.write(b"2\r\nab\r\n")
            await asyncio.sleep(0.01)

    async with serve(handler) as server:
        call = open_call(upstream, server, idle_seconds=0.5, total_seconds=0.2)
        await call.send()
        with pytest.raises(UpstreamTimeout) as caught:
            await call.read(2**20)
    assert caught.value.kind == "total"


async def test_abort_ends_a_call_that_waits_for_its_head(upstream: Upstream) -> None:
    provider = Silent()
    async with serve(provider) as server:
        call = open_call(upstream, server)
        sending = asyncio.create_task(call.send())
        await provider.started.wait()
        call.abort()
        with pytest.raises(UpstreamAborted) as caught:
            await sending
        await asyncio.wait_for(provider.closed.wait(), 5)
    assert caught.value.sent


async def test_abort_ends_a_read_that_waits_and_every_later_one(upstream: Upstream) -> None:
    provider = Silent(HEAD)
    async with serve(provider) as server:
        call = open_call(upstream, server)
        await call.send()
        asyncio.get_running_loop().call_later(0.05, call.abort)
        for _ in range(2):
            with pytest.raises(UpstreamAborted):
                await anext(call)
        await asyncio.wait_for(provider.closed.wait(), 5)


async def test_abort_between_reads_closes_at_once(upstream: Upstream) -> None:
    provider = Silent(HEAD + b"2\r\nab\r\n")
    async with serve(provider) as server:
        call = open_call(upstream, server)
        await call.send()
        await anext(call)
        call.abort()
        call.abort()
        await asyncio.wait_for(provider.closed.wait(), 5)
        with pytest.raises(UpstreamAborted):
            await call.read(100)


async def test_abort_before_sending_sends_nothing(upstream: Upstream) -> None:
    async with serve(answer_all) as server:
        call = open_call(upstream, server)
        call.abort()
        with pytest.raises(UpstreamAborted):
            await call.send()
        assert server.connections == 0


async def test_abort_after_the_end_leaves_the_connection_to_the_next_call(
    upstream: Upstream,
) -> None:
    async with serve(answer_all) as server:
        for _ in range(2):
            call = open_call(upstream, server)
            await call.send()
            assert await call.read(100) == b"{}"
            call.abort()
            await call.release()
        assert server.connections == 1


async def test_a_task_that_is_cancelled_stays_cancelled_and_its_call_ends(
    upstream: Upstream,
) -> None:
    provider = Silent(HEAD)
    async with serve(provider) as server:
        call = open_call(upstream, server)
        await call.send()
        reading = asyncio.create_task(call.read(100))
        await asyncio.sleep(0.01)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await asyncio.wait_for(provider.closed.wait(), 5)
        with pytest.raises(UpstreamAborted):
            await anext(call)


async def test_a_task_goes_on_after_its_call_was_aborted(upstream: Upstream) -> None:
    provider = Silent(HEAD)
    async with serve(provider) as server:

        async def forward() -> str:
            call = open_call(upstream, server)
            await call.send()
            asyncio.get_running_loop().call_soon(call.abort)
            with pytest.raises(UpstreamAborted):
                await anext(call)
            await asyncio.sleep(0)
            return "settled"

        assert await asyncio.create_task(forward()) == "settled"


async def test_closing_ends_every_call() -> None:
    provider = Silent(HEAD)
    upstream = EagerUpstream(allowed_networks=[ipaddress.ip_network("127.0.0.0/8")])
    async with serve(provider) as server:
        call = open_call(upstream, server)
        await call.send()
        reading = asyncio.create_task(call.read(100))
        await asyncio.sleep(0)
        await upstream.close()
        with pytest.raises(UpstreamAborted):
            await reading
