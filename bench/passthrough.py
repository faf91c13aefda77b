"""A proxy that does nothing but pass on: `python -m bench.passthrough PROVIDER_URL --port N`.

Bare ASGI on the product's own server. `gateway` sends by the product's own transport, so that the
difference to the product is what the product does; the others are what that transport was chosen
from (docs/decisions/0003). No keys, no quotas, no metering.
"""

from __future__ import annotations

import argparse
import ipaddress
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import lru_cache
from typing import Any

import uvicorn

from gateway.server import GatewayProtocol

Answer = tuple[int, list[tuple[bytes, bytes]], AsyncIterator[bytes]]
Send = Callable[[str, bytes], Awaitable[Answer]]

HEADERS = [
    (b"authorization", b"Bearer sk-bench"),
    (b"content-type", b"application/json"),
    (b"accept", b"application/json"),
    (b"user-agent", b"bench"),
]
IDENTITY = (b"accept-encoding", b"identity")
PASSED = frozenset({b"content-type", b"content-length", b"x-request-id"})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("provider")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--transport", choices=sorted(TRANSPORTS), default="gateway")
    options = parser.parse_args()
    uvicorn.run(
        Passthrough(options.provider, TRANSPORTS[options.transport]),
        host="127.0.0.1",
        port=options.port,
        loop="uvloop",
        http=GatewayProtocol,
        ws="none",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
    )


class Passthrough:
    """The application. Its transport is made in the loop that it runs in."""

    def __init__(self, provider: str, make: Callable[[], Send]) -> None:
        self._provider = provider
        self._make = make

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        body = await read_body(receive)
        status, headers, chunks = await self._send(self._provider + scope["path"], body)
        passed = [(name, value) for name, value in headers if name.lower() in PASSED]
        await send({"type": "http.response.start", "status": status, "headers": passed})
        async for chunk in chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _live(self, receive: Any, send: Any) -> None:
        await receive()
        self._send = self._make()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})


async def read_body(receive: Any) -> bytes:
    message = await receive()
    body: bytes = message["body"]
    while message["more_body"]:
        message = await receive()
        body += message["body"]
    return body


def send_by_gateway() -> Send:
    """httpx2's request handed to the product's own transport."""
    from gateway.upstream.transport import ConnectorTransport

    return send_prepared(ConnectorTransport(allowed_networks=[ipaddress.ip_network("127.0.0.0/8")]))


def send_by_prepared_heads() -> Send:
    """The product's own transport by the product's own way in: heads that are written once."""
    from gateway.upstream import Target, Timeouts, Upstream

    upstream = Upstream(allowed_networks=[ipaddress.ip_network("127.0.0.0/8")])
    timeouts = Timeouts()
    targets: dict[str, Target] = {}

    async def send(url: str, body: bytes) -> Answer:
        target = targets.get(url)
        if target is None:
            target = targets[url] = Target(url, HEADERS)
        answer = await upstream.send(target, request_id="bench", body=body, timeouts=timeouts)
        return answer.status, list(answer.raw_headers), answer

    return send


def send_by_aiohttp() -> Send:
    """aiohttp's session, as one would write it."""
    import aiohttp

    session = open_session()
    headers = {name.decode(): value.decode() for name, value in [*HEADERS, IDENTITY]}
    timeout = aiohttp.ClientTimeout(total=600, sock_connect=5, sock_read=120)

    async def send(url: str, body: bytes) -> Answer:
        answer = await session.post(
            url, data=body, headers=headers, timeout=timeout, allow_redirects=False
        )
        return answer.status, list(answer.raw_headers), answer.content.iter_any()

    return send


def send_by_httpx2_over_aiohttp() -> Send:
    """httpx2's request handed to a transport over aiohttp's session."""
    import httpx2
    from yarl import URL

    session = open_session()

    class Chunks(httpx2.AsyncByteStream):
        def __init__(self, content: Any) -> None:
            self._content = content

        def __aiter__(self) -> AsyncIterator[bytes]:
            chunks: AsyncIterator[bytes] = self._content.iter_any()
            return chunks

    class Transport(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            answer = await session.request(
                request.method,
                URL(str(request.url), encoded=True),
                data=await request.aread(),
                headers=[(name.decode(), value.decode()) for name, value in request.headers.raw],
                allow_redirects=False,
            )
            return httpx2.Response(
                answer.status, headers=list(answer.raw_headers), stream=Chunks(answer.content)
            )

    return send_prepared(Transport())


def send_by_pyreqwest() -> Send:
    """httpx2's request handed to a transport over pyreqwest (Rust's reqwest)."""
    import httpx2
    from pyreqwest.client import ClientBuilder  # type: ignore[import-not-found]

    client = ClientBuilder().follow_redirects(False).no_proxy().http1_only().build()

    class Chunks(httpx2.AsyncByteStream):
        def __init__(self, answer: Any) -> None:
            self._reader = answer.body_reader

        async def __aiter__(self) -> AsyncIterator[bytes]:
            while (chunk := await self._reader.read_chunk()) is not None:
                yield bytes(chunk)

    class Transport(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            headers = [
                (name.decode(), value.decode())
                for name, value in request.headers.raw
                if name != b"content-length"
            ]
            builder = client.request(request.method, str(request.url)).headers(headers)
            built = builder.body_bytes(await request.aread()).build_streamed()
            answer = await built.__aenter__()
            return httpx2.Response(
                answer.status, headers=list(answer.headers.items()), stream=Chunks(answer)
            )

    return send_prepared(Transport())


def send_by_httpx2() -> Send:
    """httpx2's request handed to httpx2's own transport and pool."""
    import httpx2

    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
    return send_prepared(httpx2.AsyncHTTPTransport(limits=limits, trust_env=False))


def send_by_httpx2_client() -> Send:
    """httpx2's client, as one would write it."""
    import httpx2

    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
    client = httpx2.AsyncClient(limits=limits, timeout=600, trust_env=False)
    headers = [*HEADERS, IDENTITY]

    async def send(url: str, body: bytes) -> Answer:
        request = client.build_request("POST", url, headers=headers, content=body)
        answer = await client.send(request, stream=True)
        return answer.status_code, answer.headers.raw, answer.aiter_raw()

    return send


def send_prepared(transport: Any) -> Send:
    """Hand prepared requests straight to a transport: no client, the URL parsed once."""
    import httpx2

    parse = lru_cache(httpx2.URL)

    async def send(url: str, body: bytes) -> Answer:
        target = parse(url)
        host = (b"host", target.netloc)
        length = (b"content-length", b"%d" % len(body))
        request = httpx2.Request(
            "POST",
            target,
            headers=[host, *HEADERS, length, IDENTITY],
            stream=httpx2.ByteStream(body),
        )
        answer = await transport.handle_async_request(request)
        return answer.status_code, answer.headers.raw, drain(answer)

    return send


async def drain(answer: Any) -> AsyncIterator[bytes]:
    async for chunk in answer.stream:
        yield chunk
    await answer.aclose()


def open_session() -> Any:
    import aiohttp

    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
    )


TRANSPORTS: dict[str, Callable[[], Send]] = {
    "gateway": send_by_gateway,
    "gateway-prepared": send_by_prepared_heads,
    "aiohttp": send_by_aiohttp,
    "httpx2-over-aiohttp": send_by_httpx2_over_aiohttp,
    "pyreqwest": send_by_pyreqwest,
    "httpx2": send_by_httpx2,
    "httpx2-client": send_by_httpx2_client,
}


if __name__ == "__main__":
    main()
