"""A caller leaves in the middle: what becomes of the provider's answer, and what is charged."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from gateway.circuits import FAILURES
from local.provider import RunningProvider
from tests.calls.books import Connection, check_books
from tests.calls.serving import PATH, Served, in_django, until
from tests.calls.world import OUTPUT_TICKS, World, chat
from tests.ledger.making import one

pytestmark = pytest.mark.django_db(transaction=True)
Start = Callable[[], Awaitable[Served]]
# Half a second of it, and a second before its first byte.
SLOW = "demo-chunks-50-10"
SILENT = "demo-slow-1s"


async def leave(served: Served, model: str, *, bytes_read: int, **fields: Any) -> None:
    """Begin a stream, read that much of it, hang up."""
    body = chat(model, stream=True, max_tokens=100, **fields)
    async with served.client.stream("POST", PATH, json=body) as answer:
        assert answer.status_code == 200, await answer.aread()
        size = 0
        async for data in answer.aiter_raw():
            size += len(data)
            if size >= bytes_read:
                break


async def leave_in_silence(served: Served, provider: RunningProvider, **fields: Any) -> None:
    """Ask a model that takes its time, and hang up once it has been asked."""
    call = asyncio.create_task(served.post(chat(SILENT, max_tokens=100, **fields)))
    await until(lambda: provider.received()["total"])
    call.cancel()
    await asyncio.wait([call])


async def read_event(served: Served, aconn: Connection) -> dict[str, Any]:
    """The one fact, once the call is over."""
    await until(lambda: not served.process.ledger.process.open_holds)
    await served.settled()
    found: dict[str, Any] = await one(aconn, "SELECT row_to_json(e) FROM usage_event e")
    return found


async def test_a_stream_is_ended_at_once_and_charged_at_what_was_seen(
    world: World, start: Start, aconn: Connection, provider: RunningProvider
) -> None:
    await in_django(world.add_model, SLOW)
    served = await start()
    await leave(served, SLOW, bytes_read=1000)
    event = await read_event(served, aconn)
    assert (event["outcome"], event["usage_source"]) == ("client_cancelled", "estimated")
    await until(lambda: provider.received()["requests"][0]["client_gone"])
    sent = provider.received()["requests"][0]["chunks_sent"]
    assert 0 < sent < 50
    assert sent * OUTPUT_TICKS <= event["cost_ticks"] < event["held_ticks"]
    await check_books(served, aconn, provider)


async def test_an_organization_that_drains_is_charged_what_the_provider_says(
    world: World, start: Start, aconn: Connection, provider: RunningProvider
) -> None:
    def prepare() -> None:
        world.add_model(SLOW)
        world.organization.hang_up = "drain"
        world.organization.save()

    await in_django(prepare)
    served = await start()
    await leave(served, SLOW, bytes_read=1000)
    event = await read_event(served, aconn)
    receipt = provider.received()["requests"][0]
    assert (event["outcome"], event["usage_source"]) == ("answered", "reported")
    assert (receipt["client_gone"], receipt["chunks_sent"]) == (False, 50)
    assert event["cost_ticks"] == 50 * OUTPUT_TICKS


@pytest.mark.parametrize("route", [{"cap_bounds_reasoning": False}, {"hides_reasoning": True}])
async def test_output_that_may_be_hidden_is_charged_as_held(
    route: dict[str, bool], world: World, start: Start, aconn: Connection
) -> None:
    """Nothing of a stream tells that OpenAI's reasoning models think before they speak."""

    def prepare() -> None:
        world.add_model(SLOW, route=route)

    await in_django(prepare)
    served = await start()
    await leave(served, SLOW, bytes_read=1000)
    event = await read_event(served, aconn)
    assert (event["outcome"], event["usage_source"]) == ("client_cancelled", "held")
    assert event["cost_ticks"] == event["held_ticks"]


async def test_who_leaves_before_the_first_byte_pays_for_the_input_and_a_token(
    world: World, start: Start, aconn: Connection, provider: RunningProvider
) -> None:
    await in_django(world.add_model, SILENT)
    served = await start()
    await leave_in_silence(served, provider, stream=True)
    event = await read_event(served, aconn)
    assert (event["outcome"], event["usage_source"]) == ("client_cancelled", "estimated")
    assert (event["cost_ticks"], event["output"]) == (OUTPUT_TICKS, 1)


async def test_who_leaves_before_there_is_a_connection_says_nothing_about_the_route(
    world: World, start: Start, aconn: Connection
) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as deaf:
        port = deaf.getsockname()[1]

        def prepare() -> None:
            provider = world.add_provider("deaf", f"http://127.0.0.1:{port}/v1")
            world.add_model("m", provider=provider)

        await in_django(prepare)
        served = await start()
        ledger = served.process.ledger
        with socket.create_connection(("127.0.0.1", port)):  # The only one that it has room for.
            for _ in range(FAILURES):
                call = asyncio.create_task(served.post(chat("m", stream=True, max_tokens=100)))
                await until(lambda: ledger.process.open_holds)
                call.cancel()
                await asyncio.wait([call])
                await until(lambda: not ledger.process.open_holds)
        assert served.process.circuits.count_resting(now=time.monotonic()) == 0
        await served.settled()
        assert await one(aconn, "SELECT count(*) FROM usage_event") == 0


async def test_an_answer_in_one_piece_is_read_to_its_end_without_its_caller(
    world: World, start: Start, aconn: Connection, provider: RunningProvider
) -> None:
    await in_django(world.add_model, SILENT)
    served = await start()
    await leave_in_silence(served, provider)
    event = await read_event(served, aconn)
    usage = provider.received()["requests"][0]["usage"]
    assert (event["outcome"], event["usage_source"]) == ("answered", "reported")
    assert event["cost_ticks"] == usage["completion_tokens"] * OUTPUT_TICKS
    await check_books(served, aconn, provider)


async def test_many_who_leave_at_any_moment_leave_one_fact_each_and_nothing_held(
    world: World, start: Start, aconn: Connection, provider: RunningProvider
) -> None:
    def prepare() -> None:
        world.add_model(SLOW)
        world.add_quota(10**12)

    await in_django(prepare)
    served = await start()
    for _ in range(2):  # The second one draws for all that follow.
        await served.post(chat(SLOW, max_tokens=100))
    sizes = range(1, 12_000, 300)  # The whole stream is a little longer.
    await asyncio.gather(*(leave(served, SLOW, bytes_read=size) for size in sizes))
    await until(lambda: not served.process.ledger.process.open_holds)
    await check_books(served, aconn, provider)
    assert await one(aconn, "SELECT count(*) FROM usage_event") == 2 + len(sizes)
