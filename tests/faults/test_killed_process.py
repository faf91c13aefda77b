"""kill -9 of gateway processes under load: nothing is lost, doubled, or spent above the limit."""

import asyncio
import os
import random
import signal
from collections.abc import Callable

import pytest

from tests.faults.books import assert_books_agree
from tests.faults.load import Load
from tests.faults.world import MIXED, declare
from tests.parts import Gateway, Parts

CALLS = 200
WORKERS = 2
Note = Callable[[str], None]


async def kill_during(load: Load, gateway: Gateway, *, kills: int) -> None:
    """`CALLS` at once, and a process killed in the midst of them, again and again."""
    chance = random.Random(load.seed)
    for _ in range(kills):
        calls = asyncio.create_task(load.burst(CALLS))
        await load.until_under_way(CALLS // 2)
        await asyncio.sleep(chance.uniform(0.0, 1.0))
        killed = chance.choice(gateway.worker_pids())
        os.kill(killed, signal.SIGKILL)
        await calls


async def test_every_request_that_left_has_one_event_after_a_kill(
    parts: Parts, seed: int, note: Note
) -> None:
    keys = declare(parts, budget_usd="100.00")
    gateway = parts.serve(workers=WORKERS)
    load = Load([gateway.url], list(keys.values()), MIXED, seed)
    await kill_during(load, gateway, kills=1)
    parts.until(lambda: len(gateway.worker_pids()) == WORKERS)
    assert load.count()["broken"] > 0
    assert_books_agree(parts, load, note)


async def test_a_budget_is_kept_to_while_processes_die(parts: Parts, seed: int, note: Note) -> None:
    keys = declare(parts, budget_usd="1.50")
    gateway = parts.serve(workers=WORKERS)
    load = Load([gateway.url], [keys["spender"]], MIXED, seed)
    await kill_during(load, gateway, kills=2)
    assert load.count()["insufficient_quota"] > 0
    assert_books_agree(parts, load, note)


@pytest.mark.slow
async def test_ten_kills_in_a_row_lose_nothing(parts: Parts, seed: int, note: Note) -> None:
    keys = declare(parts, budget_usd="10.00")
    gateway = parts.serve(workers=4)
    load = Load([gateway.url], list(keys.values()), MIXED, seed)
    await kill_during(load, gateway, kills=10)
    assert_books_agree(parts, load, note)
