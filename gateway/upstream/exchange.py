"""The one way to a provider: Upstream sends a request, UpstreamAnswer is what comes back.

Nothing is followed, resent, inflated or kept. One sweep a second looks at the limits of all
answers, so a call costs no timer and a chunk no task. Raises nothing but UpstreamError.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import httpx2
from multidict import CIMultiDict

from gateway.upstream.addresses import Network
from gateway.upstream.answer import Timeouts, UpstreamAnswer
from gateway.upstream.target import Pairs, Target
from gateway.upstream.transport import ConnectorTransport, Response


class Upstream:
    """All connections of one process to providers. Belongs to one running loop."""

    sweep_seconds = 1.0

    def __init__(
        self,
        *,
        allowed_networks: Sequence[Network] = (),
        transport: httpx2.AsyncBaseTransport | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._transport = transport or ConnectorTransport(
            allowed_networks=allowed_networks, tls=tls
        )
        self.exchange: Callable[[UpstreamAnswer], Awaitable[Response]] = (
            self._transport.exchange
            if isinstance(self._transport, ConnectorTransport)
            else partial(exchange_requests, self._transport)
        )
        self.open = partial(UpstreamAnswer, self)
        self._live: set[UpstreamAnswer] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def send(
        self,
        target: Target,
        *,
        request_id: str = "",
        headers: Pairs = (),
        body: bytes,
        timeouts: Timeouts,
    ) -> UpstreamAnswer:
        """POST `body` and return once the head of the answer is there.

        open() prepares the same, so that its abort() can be reached before.
        """
        answer = self.open(
            target, request_id=request_id, headers=headers, body=body, timeouts=timeouts
        )
        await answer.send()
        return answer

    async def close(self) -> None:
        """End every attempt and close every connection."""
        for answer in list(self._live):
            answer.abort()
        await self._transport.aclose()

    def watch(self, answer: UpstreamAnswer) -> None:
        """Look at its limits until forget()."""
        self._live.add(answer)
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self.sweep_seconds, self._sweep, loop)

    def forget(self, answer: UpstreamAnswer) -> None:
        """Watch it no longer."""
        self._live.discard(answer)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for answer in list(self._live):
            answer.check(now)
        self._timer = loop.call_later(self.sweep_seconds, self._sweep, loop) if self._live else None


async def exchange_requests(
    transport: httpx2.AsyncBaseTransport, answer: UpstreamAnswer
) -> Response:
    """Do by another transport what ours does; it does not say when the first byte left."""
    request = answer.make_request()
    may_leave = asyncio.get_running_loop().create_future()
    answer.leave(partial(may_leave.set_result, None))
    await may_leave
    response = await transport.handle_async_request(request)
    assert isinstance(response.stream, httpx2.AsyncByteStream)
    raw = response.headers.raw
    headers = CIMultiDict((name.decode("ascii"), _read(value)) for name, value in raw)
    return Response(response.status_code, raw, headers, response.stream)


def _read(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")
