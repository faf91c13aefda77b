"""What goes to a provider over a real socket, and what comes back of good and bad answers."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import AsyncIterator

import pytest

from gateway.upstream import (
    Target,
    Timeouts,
    Upstream,
    UpstreamAnswer,
    UpstreamConnectError,
    UpstreamError,
    UpstreamProtocolError,
    UpstreamReadError,
    UpstreamTooLarge,
)
from tests.gateway.sockets import Peer, RawServer, answer_all, serve

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    upstream = Upstream(allowed_networks=LOOPBACK)
    yield upstream
    await upstream.close()


async def post(upstream: Upstream, server: RawServer, body: bytes = b'{"a":1}') -> UpstreamAnswer:
    always = [(b"authorization", b"Bearer sk-1"), (b"content-type", b"application/json")]
    target = Target(f"{server.url}/v1/chat?beta=true", always)
    return await upstream.send(target, body=body, timeouts=Timeouts())


async def fail(upstream: Upstream, answer: bytes, *, reset: bool = False) -> UpstreamError:
    """Return the error that this answer, and the end of the connection after it, leads to."""

    async def handler(peer: Peer) -> None:
        await peer.read_request()
        peer.write(answer)
        if reset:
            await peer.reset()

    async with serve(handler) as server:
        with pytest.raises(UpstreamError) as caught:
            await (await post(upstream, server)).read(1_000)
    return caught.value


async def test_the_request_is_what_was_given_and_asks_for_no_compression(
    upstream: Upstream,
) -> None:
    seen = asyncio.Queue[bytes]()

    async def handler(peer: Peer) -> None:
        seen.put_nowait(await peer.read_request())
        peer.answer(b'{"b":2}')

    async with serve(handler) as server:
        answer = await post(upstream, server)
        assert (answer.status, await answer.read(100)) == (200, b'{"b":2}')
        assert await seen.get() == (
            b"POST /v1/chat?beta=true HTTP/1.1\r\nhost: 127.0.0.1:%d\r\n"
            b"authorization: Bearer sk-1\r\ncontent-type: application/json\r\n"
            b'accept-encoding: identity\r\ncontent-length: 7\r\n\r\n{"a":1}' % server.port
        )


async def test_a_connection_serves_the_next_call_when_its_answer_was_read(
    upstream: Upstream,
) -> None:
    async with serve(answer_all) as server:
        for _ in range(3):
            await (await post(upstream, server)).read(100)
        assert server.connections == 1
        await (await post(upstream, server)).release()
        await (await post(upstream, server)).read(100)
        assert server.connections == 2


async def test_a_connection_that_its_peer_has_closed_is_not_used_again(upstream: Upstream) -> None:
    async def handler(peer: Peer) -> None:
        await peer.read_request()
        peer.answer()

    async with serve(handler) as server:
        for _ in range(5):
            assert await (await post(upstream, server)).read(100) == b"{}"
        assert server.connections == 5


async def test_a_late_answer_on_an_idle_connection_is_not_taken_for_the_next_one(
    upstream: Upstream,
) -> None:
    late = asyncio.Event()

    async def handler(peer: Peer) -> None:
        await peer.read_request()
        peer.answer(b"mine")
        if server.connections == 1:
            await late.wait()
            peer.answer(b"nobody's", b"HTTP/1.1 408 Request Timeout\r\n")
            await peer.wait_for_end()

    async with serve(handler) as server:
        assert await (await post(upstream, server)).read(100) == b"mine"
        late.set()
        await asyncio.sleep(0.05)
        assert await (await post(upstream, server)).read(100) == b"mine"
        assert server.connections == 2


async def test_a_body_larger_than_the_socket_buffers_arrives_whole(upstream: Upstream) -> None:
    body = bytes(range(256)) * 40_000

    async def handler(peer: Peer) -> None:
        request = await peer.read_request()
        peer.answer(b"same" if request.endswith(b"\r\n\r\n" + body) else b"different")

    async with serve(handler, limit=2**25) as server:
        assert await (await post(upstream, server, body)).read(100) == b"same"


async def test_chunks_come_as_they_arrive(upstream: Upstream) -> None:
    read = asyncio.Event()

    async def handler(peer: Peer) -> None:
        await peer.read_request()
        peer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        for _ in range(3):
            peer.write(b"5\r\nhello\r\n")
            await read.wait()
            read.clear()
        peer.write(b"0\r\n\r\n")

    chunks = []
    async with serve(handler) as server:
        async for chunk in await post(upstream, server):
            chunks.append(chunk)
            read.set()
    assert chunks == [b"hello"] * 3


async def test_interim_answers_are_skipped(upstream: Upstream) -> None:
    async def handler(peer: Peer) -> None:
        await peer.read_request()
        peer.write(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n")
        peer.answer(b"final")

    async with serve(handler) as server:
        assert await (await post(upstream, server)).read(100) == b"final"


async def test_an_answer_without_length_ends_with_its_connection(upstream: Upstream) -> None:
    async def handler(peer: Peer) -> None:
        await peer.read_request()
        peer.write(b"HTTP/1.1 200 OK\r\n\r\nall of it")

    async with serve(handler) as server:
        assert await (await post(upstream, server)).read(100) == b"all of it"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\n\x1f\x8b\x08\x00",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: Zstd\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 10_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 20,
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
    ],
)
async def test_an_answer_that_breaks_a_rule_is_a_failure(upstream: Upstream, answer: bytes) -> None:
    error = await fail(upstream, answer)
    assert isinstance(error, UpstreamProtocolError | UpstreamReadError)
    assert error.sent


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\ncontent-le",
        b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ],
)
@pytest.mark.parametrize("reset", [False, True])
async def test_an_answer_cut_short_is_never_taken_as_whole(
    upstream: Upstream, answer: bytes, reset: bool
) -> None:
    error = await fail(upstream, answer, reset=reset)
    assert isinstance(error, UpstreamReadError)
    assert error.sent


async def test_a_reset_is_no_end_even_where_the_answer_has_no_length(upstream: Upstream) -> None:
    error = await fail(upstream, b"HTTP/1.1 200 OK\r\n\r\nhalf", reset=True)
    assert isinstance(error, UpstreamReadError)


async def test_an_answer_over_the_limit_is_refused_and_its_connection_closed(
    upstream: Upstream,
) -> None:
    closed = asyncio.Event()

    async def handler(peer: Peer) -> None:
        await peer.read_request()
        peer.answer(b"x" * 1_001)
        await peer.wait_for_end()
        closed.set()

    async with serve(handler) as server:
        with pytest.raises(UpstreamTooLarge, match="1000 bytes"):
            await (await post(upstream, server)).read(1_000)
        await asyncio.wait_for(closed.wait(), 5)


async def test_a_call_is_sent_once_however_its_connection_ends(upstream: Upstream) -> None:
    requests = 0

    async def handler(peer: Peer) -> None:
        nonlocal requests
        while await peer.read_request():
            requests += 1
            if requests == 2:
                return
            peer.answer()

    async with serve(handler) as server:
        await (await post(upstream, server)).read(100)
        with pytest.raises(UpstreamReadError):
            await post(upstream, server)
        assert (requests, server.connections) == (2, 1)


@pytest.mark.parametrize(
    "header",
    [
        (b"x-a", b"b\r\nx-injected: 1"),
        (b"x-a", b"b\nx-injected: 1"),
        (b"x-a\r\nx-injected", b"1"),
        (b"x-a", b"nul\0"),
        (b"transfer-encoding", b"chunked"),
        (b"content-length", b"5"),
        (b"Host", b"elsewhere"),
    ],
)
async def test_a_header_that_could_bend_the_request_is_not_sent(
    upstream: Upstream, header: tuple[bytes, bytes]
) -> None:
    async with serve(answer_all) as server:
        for target, own in ((Target(server.url, [header]), []), (Target(server.url), [header])):
            with pytest.raises(UpstreamProtocolError) as caught:
                await upstream.send(target, headers=own, body=b"", timeouts=Timeouts())
            assert not caught.value.sent
        assert server.connections == 0


async def test_proxies_of_the_environment_are_not_asked(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with serve(answer_all) as server:
        assert await (await post(upstream, server)).read(100) == b"{}"


async def test_cookies_are_not_kept(upstream: Upstream) -> None:
    seen = []

    async def handler(peer: Peer) -> None:
        while request := await peer.read_request():
            seen.append(request)
            peer.answer(head=b"HTTP/1.1 200 OK\r\nset-cookie: a=b; path=/\r\n")

    async with serve(handler) as server:
        for _ in range(2):
            await (await post(upstream, server)).read(100)
    assert b"cookie" not in seen[1].lower()


async def test_a_refused_connection_has_sent_nothing(upstream: Upstream) -> None:
    async with serve(answer_all) as server:
        pass
    with pytest.raises(UpstreamConnectError) as caught:
        await post(upstream, server)
    assert not caught.value.sent


async def test_a_host_that_does_not_exist_has_been_sent_nothing(upstream: Upstream) -> None:
    with pytest.raises(UpstreamConnectError) as caught:
        await upstream.send(Target("http://nowhere.invalid/"), body=b"{}", timeouts=Timeouts())
    assert not caught.value.sent


async def test_a_provider_that_resets_at_once_may_have_read_something(upstream: Upstream) -> None:
    async def handler(peer: Peer) -> None:
        await peer.reset()

    async with serve(handler) as server:
        with pytest.raises(UpstreamReadError) as caught:
            await post(upstream, server)
    assert caught.value.sent
