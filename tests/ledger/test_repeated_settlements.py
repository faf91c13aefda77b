"""Each settlement delivered up to five times, in any order, by three workers at once, is one."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any

import msgspec
import psycopg
import pytest

from billing.ledger import processes, settlement
from billing.usage import UsageEvent, new_id
from tests.billing.facts import make_event
from tests.ledger.making import make_rule, one, open_window

pytestmark = pytest.mark.django_db(transaction=True)
Connection = psycopg.AsyncConnection[Any]
WORKERS = 3
ATTEMPTS = 60
HOLD, USED = 100, 70


async def draw_for_all(connection: Connection) -> tuple[str, list[int], list[UsageEvent]]:
    """Let a process hold ATTEMPTS calls in two windows; return it, the windows and its events."""
    rules = [await make_rule(connection, ATTEMPTS * HOLD, scope_id=n) for n in (1, 2)]
    windows = sorted([await open_window(connection, rule) for rule in rules])
    process, ones = new_id(), [1] * len(windows)
    await processes.register(connection, process)
    whole = [ATTEMPTS * HOLD] * len(windows)
    await connection.execute(
        "SELECT ledger_draw(%s, %s, %s, %s, %s, %s, %s, 1)",
        [process, windows, [0, 0], ones, [1, 2], whole, whole],
    )
    events = [
        make_event(
            id=(attempt := new_id()),
            call_id=attempt,
            process=process,
            process_seq=number,
            cost_ticks=USED,
            windows=windows,
            window_amounts=[USED] * 2,
            window_holds=[HOLD] * 2,
            tags={"team": "search"},
        )
        for number in range(1, ATTEMPTS + 1)
    ]
    return process, windows, events


async def deliver(dsn: str, process: str, windows: list[int], events: Sequence[UsageEvent]) -> None:
    """One worker: its share in batches of its own sizes, over its own connection."""
    rest, chance = list(events), random.Random(len(events))
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as own:
        while rest:
            size = chance.randint(1, 9)
            batch, rest = rest[:size], rest[size:]
            await settlement.settle(
                own,
                process=process,
                events=[msgspec.json.encode(event) for event in batch],
                windows=windows,
            )


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_totals_are_those_of_a_single_delivery_and_a_changed_one_is_one_conflict(
    dsn: str, aconn: Connection, seed: int
) -> None:
    chance = random.Random(seed)
    process, windows, events = await draw_for_all(aconn)
    first = chance.choice(events)
    changed = msgspec.structs.replace(first, cost_ticks=USED + 5, window_amounts=[USED + 5] * 2)
    await deliver(dsn, process, windows, [first])
    deliveries = [event for event in events for _ in range(chance.randint(1, 5))]
    deliveries += [changed] * chance.randint(1, 5)
    chance.shuffle(deliveries)
    shares = [deliveries[worker::WORKERS] for worker in range(WORKERS)]
    await asyncio.gather(*(deliver(dsn, process, windows, share) for share in shares))

    assert await one(aconn, "SELECT count(*) FROM usage_event") == ATTEMPTS
    assert await one(aconn, "SELECT count(*) FROM settlement_conflict") == 1
    assert await one(aconn, "SELECT count(*) FROM rejected_event") == 0
    rows = await aconn.execute("SELECT posted, overrun, drawn FROM quota_window ORDER BY id")
    left = ATTEMPTS * (HOLD - USED)
    assert await rows.fetchall() == [(ATTEMPTS * USED, 0, left)] * 2
    assert await one(aconn, "SELECT sum(amount)::bigint FROM allowance") == 2 * left
    for table in ("rollup_delta", "rollup_tag_delta"):
        total = await one(aconn, f"SELECT sum(cost_ticks)::bigint FROM {table}")
        assert total == ATTEMPTS * USED
