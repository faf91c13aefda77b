"""Callers hang up anywhere, at every endpoint and kind of provider: one fact each, no hold."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
import pytest

from local.provider import RunningProvider
from tests.calls.books import check_books
from tests.calls.serving import Served, in_django, until
from tests.calls.surfaces import ENDPOINTS, KINDS, add_kinds, ask
from tests.calls.world import World
from tests.ledger.making import one

pytestmark = pytest.mark.django_db(transaction=True)
Connection = psycopg.AsyncConnection[Any]

PLACES = (1, 500, 1500, 3000)


async def leave(served: Served, endpoint: str, model: str, after: int, **fields: Any) -> None:
    """Begin a stream, read that much of it, hang up."""
    body = ask(endpoint, model, stream=True, **fields)
    async with served.client.stream("POST", ENDPOINTS[endpoint], json=body) as answer:
        assert answer.status_code == 200, await answer.aread()
        size = 0
        async for data in answer.aiter_raw():
            size += len(data)
            if size >= after:
                break


async def test_who_leaves_at_any_place_leaves_one_fact_and_nothing_held(
    world: World, start: Any, aconn: Connection, provider: RunningProvider
) -> None:
    def prepare() -> None:
        add_kinds(world, "demo-chunks-40-20")
        world.add_quota(10**13)

    await in_django(prepare)
    served = await start()
    leaving = [
        leave(served, endpoint, model, after)
        for endpoint in ENDPOINTS
        for model in KINDS.values()
        for after in PLACES
    ]
    await asyncio.gather(*leaving)
    await until(lambda: not served.process.ledger.process.open_holds)
    await check_books(served, aconn, provider)
    told = await one(
        aconn,
        "SELECT jsonb_object_agg(outcome, n) FROM "
        "(SELECT outcome, count(*) AS n FROM usage_event GROUP BY outcome) AS counted",
    )
    assert set(told) <= {"client_cancelled", "answered"}
    assert sum(told.values()) == len(leaving)
    assert told["client_cancelled"] > len(leaving) // 2


@pytest.mark.parametrize("model", ["of-anthropic", "of-openai"])
async def test_who_leaves_while_the_model_thinks_is_charged_what_was_held(
    model: str, world: World, start: Any, aconn: Connection, provider: RunningProvider
) -> None:
    """What was thought so far may be more than was told of it."""
    await in_django(add_kinds, world, "demo-chunks-40-20")
    served = await start()
    thinking = {"type": "enabled", "budget_tokens": 1024}
    await leave(served, "messages", model, 600, thinking=thinking)
    await until(lambda: not served.process.ledger.process.open_holds)
    await served.settled()
    event = await one(aconn, "SELECT row_to_json(e) FROM usage_event e")
    assert (event["outcome"], event["usage_source"]) == ("client_cancelled", "held")
    assert event["cost_ticks"] == event["held_ticks"] > 0
    await check_books(served, aconn, provider)
