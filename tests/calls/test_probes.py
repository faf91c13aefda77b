"""/healthz and /readyz over real sockets: what ails a process is named while it does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import psycopg
import pytest

from gateway.process import Configuration
from gateway.schema import known_migrations
from local.children import find_free_port
from tests.calls.serving import Served, in_django, until
from tests.calls.world import CENT, World, chat

pytestmark = pytest.mark.django_db(transaction=True)


async def ready(served: Served) -> tuple[int, str, list[str]]:
    answer = await served.client.get("/readyz", headers={"authorization": ""})
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    told = answer.json()
    return answer.status_code, told["status"], told["degraded"]


async def until_named(served: Served, *names: str) -> None:
    async with asyncio.timeout(20):
        while set((await ready(served))[2]) != set(names):
            await asyncio.sleep(0.05)


async def test_a_process_that_is_well_names_nothing(served: Served) -> None:
    assert await ready(served) == (200, "ok", [])
    alive = await served.client.get("/healthz")
    assert (alive.status_code, alive.json()) == (200, {"status": "ok", "degraded": []})


async def test_redis_away_is_named_and_calls_go_on(
    start: Callable[..., Any], configuration: Configuration
) -> None:
    away = f"redis://127.0.0.1:{find_free_port()}/0"
    served = await start(msgspec.structs.replace(configuration, redis_url=away))
    await until_named(served, "redis_away")
    assert (await ready(served))[:2] == (200, "ok")
    assert (await served.post(chat())).status_code == 200


async def test_a_full_spool_is_named_and_takes_no_calls(
    world: World, start: Callable[..., Any], configuration: Configuration
) -> None:
    await in_django(world.add_model, "demo-slow-1s")
    served = await start(msgspec.structs.replace(configuration, spool_max_bytes=1))
    slow = asyncio.create_task(served.post(chat("demo-slow-1s")))
    await until(lambda: served.process.ledger.process.spool.is_full)
    status, told, named = await ready(served)
    assert (status, told) == (503, "unavailable")
    assert "spool_full" in named
    refused = await served.post(chat())
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "spool_full")
    assert (await served.client.get("/healthz")).status_code == 200
    assert (await slow).status_code == 200


async def test_settlement_that_waits_is_named_and_calls_go_on(
    served: Served, aconn: psycopg.AsyncConnection[Any]
) -> None:
    """It was named only when a statement had failed, which takes 10 s where it hangs."""
    async with aconn.transaction():
        await aconn.execute("LOCK TABLE usage_event IN SHARE MODE")
        assert (await served.post(chat())).status_code == 200
        await until_named(served, "settlement_waits")
        assert (await ready(served))[:2] == (200, "ok")
        assert (await served.post(chat())).status_code == 200
    await until_named(served)
    await served.settled()


async def test_draws_that_wait_are_named_and_refused_in_time(
    world: World, start: Callable[..., Any], aconn: psycopg.AsyncConnection[Any]
) -> None:
    await in_django(world.add_quota, 10_000 * CENT)
    served = await start()  # It knows the quota from the start.
    priced = chat("demo-fixed-100", max_tokens=100)
    await until_taken(served, priced)
    await served.settled()
    async with aconn.transaction():
        await aconn.execute("SELECT 1 FROM quota_window FOR UPDATE")
        refused = await served.post(priced)
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "ledger_away")
        assert "draws_wait" in (await ready(served))[2]
        assert (await ready(served))[:2] == (200, "ok")
    await until_named(served)
    await until_taken(served, priced)


async def until_taken(served: Served, body: Any) -> None:
    """Call again while the machine is too busy to draw for it in time."""
    async with asyncio.timeout(20):
        while (await served.post(body)).status_code == 503:
            await asyncio.sleep(0.05)


async def test_a_schema_that_is_behind_is_named_until_it_is_not(
    start: Callable[..., Any], aconn: psycopg.AsyncConnection[Any]
) -> None:
    app, name = max(known_migrations()).split(".")
    forget = "DELETE FROM django_migrations WHERE app = %s AND name = %s RETURNING applied"
    row = await (await aconn.execute(forget, [app, name])).fetchone()
    assert row is not None
    remember = "INSERT INTO django_migrations (app, name, applied) VALUES (%s, %s, %s)"
    try:
        served = await start()
        assert await ready(served) == (200, "ok", ["schema_behind"])
        assert (await served.post(chat())).status_code == 200
    finally:
        await aconn.execute(remember, [app, name, row[0]])
    await until_named(served)


async def test_what_is_stale_or_lost_takes_no_calls(served: Served) -> None:
    follower, process = served.process._follower, served.process.ledger.process
    fresh_until, lease_ends = follower.fresh_until, process.lease_ends
    follower.fresh_until = 0.0
    assert (await ready(served))[:2] == (503, "unavailable")
    assert "not_fresh" in (await ready(served))[2]
    follower.fresh_until = fresh_until
    process.lease_ends = 0.0
    status, _, named = await ready(served)
    assert (status, "lease_lost" in named) == (503, True)
    process.lease_ends = lease_ends


async def test_a_process_that_is_ending_says_so(served: Served) -> None:
    served.process.is_closing = True
    assert await ready(served) == (503, "unavailable", ["shutting_down"])
    served.process.is_closing = False
