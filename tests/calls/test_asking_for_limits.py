"""/v1/me, asked by very many at once while the database hangs: one reading waits, and no caller."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg
import pytest

from tests.calls.serving import Served, in_django, until
from tests.calls.world import CENT, World

pytestmark = pytest.mark.django_db(transaction=True)
Start = Callable[[], Awaitable[Served]]

ASKING = 100
# 0.25 is promised; the answers of a hundred connections are read one after the other here.
# What waited for the database took 15 s.
PATIENCE_SECONDS = 5.0


async def ask(served: Served) -> tuple[int, float]:
    started = time.monotonic()
    answer = await served.client.get("/v1/me")
    return answer.status_code, time.monotonic() - started


async def flood(served: Served) -> tuple[set[int], float]:
    """Ask often at once; return how it was answered and how long the longest took."""
    answers = await asyncio.gather(*(ask(served) for _ in range(ASKING)))
    return {status for status, _ in answers}, max(seconds for _, seconds in answers)


def find_readings() -> list[asyncio.Task[Any]]:
    return [task for task in asyncio.all_tasks() if task.get_name() == "read how windows stand"]


async def begin(world: World, start: Start) -> Served:
    await in_django(world.add_quota, 100 * CENT)
    await in_django(world.add_quota, 10, unit="requests", window="minute")
    served = await start()
    assert (await ask(served))[0] == 200
    return served


async def test_a_database_that_hangs_keeps_one_reading_waiting_and_nobody_else(
    world: World, start: Start, aconn: psycopg.AsyncConnection[Any]
) -> None:
    """Every request left a task behind, which waited for 15 s, and opened connections."""
    served = await begin(world, start)
    async with aconn.transaction():
        await aconn.execute("LOCK TABLE quota_window IN ACCESS EXCLUSIVE MODE")
        for _ in range(3):
            statuses, longest = await flood(served)
            assert statuses == {503}
            assert longest < PATIENCE_SECONDS
        await until(lambda: len(find_readings()) == 1)  # The one of rates ends by itself.
        readings = find_readings()
        cursor = await aconn.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tollgate reads'"
            " AND datname = current_database()"
        )
        assert await cursor.fetchone() == (1,)
    await until(readings[0].done)
    async with asyncio.timeout(20):
        while (await flood(served))[0] != {200}:  # A reading may be late on a busy machine.
            await asyncio.sleep(0.05)
