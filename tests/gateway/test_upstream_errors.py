"""Every error of the libraries beneath has a word of ours, and any httpx2 transport will do."""

from __future__ import annotations

import asyncio
import inspect

import aiohttp
import httpx2
import pytest
from aiohttp import client_exceptions, http_exceptions

from gateway.upstream import (
    Target,
    Timeouts,
    Upstream,
    UpstreamAborted,
    UpstreamConnectError,
    UpstreamError,
    UpstreamProtocolError,
    UpstreamReadError,
    UpstreamTimeout,
)
from gateway.upstream.errors import find_translation, translate_error


def find_exceptions(module: object) -> list[type[BaseException]]:
    found = [value for _, value in inspect.getmembers(module, inspect.isclass)]
    return [
        value for value in found if issubclass(value, Exception) and not issubclass(value, Warning)
    ]


FOREIGN = {
    *find_exceptions(httpx2),
    *find_exceptions(client_exceptions),
    *find_exceptions(http_exceptions),
    aiohttp.streams.EofStream,
}


@pytest.mark.parametrize("foreign", sorted(FOREIGN, key=str), ids=lambda each: each.__name__)
def test_every_foreign_error_is_translated(foreign: type[BaseException]) -> None:
    assert find_translation(foreign) is not None


@pytest.mark.parametrize(
    "foreign", [httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.ProxyError]
)
def test_nothing_was_sent_where_no_connection_stood(foreign: type[httpx2.TransportError]) -> None:
    error = translate_error(foreign("text"), sent=True)
    assert error is not None
    assert not error.sent


def test_our_own_mistakes_are_not_taken_for_the_providers() -> None:
    assert translate_error(AttributeError("x"), sent=True) is None


async def call(handler: httpx2.MockTransport) -> tuple[int, bytes]:
    upstream = Upstream(transport=handler)
    answer = await upstream.send(
        Target("https://provider.example/v1", [(b"a", b"b")]), body=b"{}", timeouts=Timeouts()
    )
    return answer.status, await answer.read(1_000)


async def test_a_mock_transport_takes_the_place_of_the_socket() -> None:
    def handler(request: httpx2.Request) -> httpx2.Response:
        assert request.headers["accept-encoding"] == "identity"
        return httpx2.Response(429, content=request.content)

    assert await call(httpx2.MockTransport(handler)) == (429, b"{}")


@pytest.mark.parametrize(
    ("foreign", "ours", "sent"),
    [
        (httpx2.ConnectError("x"), UpstreamConnectError, False),
        (httpx2.ConnectTimeout("x"), UpstreamTimeout, False),
        (httpx2.ReadTimeout("x"), UpstreamTimeout, True),
        (httpx2.WriteError("x"), UpstreamReadError, True),
        (httpx2.RemoteProtocolError("x"), UpstreamProtocolError, True),
        (ConnectionResetError("x"), UpstreamReadError, True),
    ],
)
async def test_an_error_says_whether_anything_may_have_left(
    foreign: Exception, ours: type[UpstreamError], sent: bool
) -> None:
    def handler(request: httpx2.Request) -> httpx2.Response:
        raise foreign

    with pytest.raises(ours) as caught:
        await call(httpx2.MockTransport(handler))
    assert caught.value.sent is sent


async def test_abort_ends_a_wait_in_any_transport() -> None:
    async def handler(request: httpx2.Request) -> httpx2.Response:
        await asyncio.Event().wait()
        raise AssertionError

    answer = Upstream(transport=httpx2.MockTransport(handler)).open(
        Target("https://provider.example/v1"), body=b"{}", timeouts=Timeouts()
    )
    asyncio.get_running_loop().call_later(0.01, answer.abort)
    with pytest.raises(UpstreamAborted):
        await answer.send()
