"""A stream that is reset, or left, between any two of its events, the first and the last as well.

At every endpoint and every kind of provider: the caller is told a well-formed end in its dialect,
and each call is one fact that costs no more than was held.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import psycopg
import pytest

from gateway.protocols.sse import EventSplitter
from local.provider import RunningProvider
from tests.calls.books import check_books, event_of
from tests.calls.serving import Served, in_django, until
from tests.calls.surfaces import ENDPOINTS, KINDS, add_kinds, ask
from tests.calls.world import World
from tests.gateway.sockets import Peer, serve
from tests.ledger.making import one
from tests.wire.translating import read_events

pytestmark = pytest.mark.django_db(transaction=True)
Connection = psycopg.AsyncConnection[Any]
Start = Callable[[], Awaitable[Served]]

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
ENDS = {"[DONE]", "message_stop", "response.completed"}
OURS = {b"host", b"content-length", b"accept-encoding"}
MODEL = "demo-chunks-3-1"
WHOLE = 1000


class Breaking:
    """Stands before the demo provider, passes on so many events of a stream, and resets it."""

    def __init__(self, provider: RunningProvider) -> None:
        self.provider = provider
        self.after = WHOLE
        self.events = 0

    async def handle(self, peer: Peer) -> None:
        head, _, body = (await peer.read_request()).partition(b"\r\n\r\n")
        line, *lines = head.split(b"\r\n")
        headers = [tuple(each.split(b": ", 1)) for each in lines]
        kept = [(name, value) for name, value in headers if name.lower() not in OURS]
        url = self.provider.url + line.split(b" ")[1].decode()
        async with httpx2.AsyncClient() as client:
            answer = await client.post(url, content=body, headers=kept)
        events = list(EventSplitter().feed(answer.content))
        self.events = len(events)
        peer.write(HEAD)
        for event in events[: self.after]:
            peer.write(b"%x\r\n%b\r\n" % (len(event), event))
        await peer.writer.drain()
        await asyncio.sleep(0.02)  # A reset throws away what has not left yet.
        await peer.reset()


@pytest.mark.parametrize("endpoint", ENDPOINTS)
async def test_a_reset_at_every_boundary_is_a_well_formed_end_and_a_fact(
    endpoint: str, world: World, start: Start, aconn: Connection, provider: RunningProvider
) -> None:
    breaking = Breaking(provider)
    async with serve(breaking.handle) as raw:

        def prepare() -> None:
            world.provider.base_url = f"{raw.url}/v1"
            world.provider.save()
            add_kinds(world, MODEL)
            world.add_quota(10**13)

        await in_django(prepare)
        served = await start()
        for model in KINDS.values():
            body = ask(endpoint, model, stream=True)
            breaking.after = WHOLE
            answers = [await served.client.post(ENDPOINTS[endpoint], json=body)]
            for after in range(breaking.events):
                breaking.after = after
                answers.append(await served.client.post(ENDPOINTS[endpoint], json=body))
            await served.settled()
            outcomes = [await check_end(aconn, answer) for answer in answers]
            assert len(outcomes) > 5
            assert outcomes[0] == "answered"
            assert outcomes[1] == "upstream_failed"
        await check_books(served, aconn, provider)


async def check_end(aconn: Connection, answer: httpx2.Response) -> str:
    """Return the outcome of a stream that broke, when all that must hold holds."""
    event = await event_of(aconn, answer.headers["x-request-id"])
    assert event["cost_ticks"] <= event["held_ticks"]
    outcome = str(event["outcome"])
    if answer.status_code != 200:  # Nothing had come that could be told.
        assert answer.status_code == 502
        assert outcome in {"upstream_failed", "answered_partial"}
        return outcome
    events = read_events(answer.content)
    ends = [each for each in events if each.get("type") in ENDS]
    if outcome == "answered":
        assert ends == events[-1:]
    else:
        assert outcome == "answered_partial"
        assert not ends
        assert set(events[-1]["error"]) >= {"message", "type"}
    return outcome


@pytest.mark.parametrize("endpoint", ENDPOINTS)
async def test_who_leaves_at_every_boundary_leaves_one_fact_and_nothing_held(
    endpoint: str, world: World, start: Start, aconn: Connection, provider: RunningProvider
) -> None:
    def prepare() -> None:
        add_kinds(world, MODEL)
        world.add_quota(10**13)

    await in_django(prepare)
    served = await start()
    calls = 0
    for model in KINDS.values():
        answer = await served.client.post(
            ENDPOINTS[endpoint], json=ask(endpoint, model, stream=True)
        )
        whole = len(read_events(answer.content))
        leaving = [leave(served, endpoint, model, after) for after in range(whole + 1)]
        await asyncio.gather(*leaving)
        calls += 1 + len(leaving)
    await until(lambda: not served.process.ledger.process.open_holds)
    await check_books(served, aconn, provider)
    assert await one(aconn, "SELECT count(*) FROM usage_event") == calls
    assert await one(aconn, "SELECT bool_and(cost_ticks <= held_ticks) FROM usage_event")


async def leave(served: Served, endpoint: str, model: str, after: int) -> None:
    """Begin a stream, read so many events of it, hang up."""
    body = ask(endpoint, model, stream=True)
    async with served.client.stream("POST", ENDPOINTS[endpoint], json=body) as answer:
        assert answer.status_code == 200
        splitter, seen = EventSplitter(), 0
        if not after:
            return
        async for data in answer.aiter_raw():
            seen += len(list(splitter.feed(data)))
            if seen >= after:
                return
