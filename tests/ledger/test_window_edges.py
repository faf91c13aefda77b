"""Around the end of a month, with clocks that differ: each call counts where it was held."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
from django.db import connection as django_connection

from billing.check import check_ledger
from billing.ledger import processes
from billing.ledger.allowances import Spent
from billing.ledger.holds import Hold
from billing.ledger.ledger import Ledger
from billing.quotas import QuotaRule
from tests.calls.serving import in_django
from tests.ledger.making import answer, eventually, hold, make_rule, one, sent_event, start_ledger
from tests.ledger.test_processes import let_the_lease_run_out

pytestmark = pytest.mark.django_db(transaction=True)
Connection = psycopg.AsyncConnection[Any]

ZONE = "Europe/Berlin"
# Midnight in Berlin, where the clock is two hours ahead in September.
EDGE = datetime(2026, 9, 30, 22, tzinfo=UTC).timestamp()
SKEWS = (-5.0, 0.0, 5.0)


@pytest.fixture
async def ledgers(dsn: str, tmp_path: Path) -> AsyncIterator[list[Ledger]]:
    """Three processes; each test gives each a clock of its own."""
    started = [await start_ledger(dsn, tmp_path) for _ in SKEWS]
    yield started
    for ledger in started:
        await ledger.close(timeout_seconds=5)


@pytest.fixture
async def month(aconn: Connection) -> QuotaRule:
    rule = await make_rule(aconn, 100_000)
    await aconn.execute("UPDATE quota SET \"window\" = 'month' WHERE id = %s", [rule.id])
    return msgspec.structs.replace(rule, window="month")


async def hold_at(ledger: Ledger, rule: QuotaRule, at: float) -> Hold:
    return await hold(ledger, (rule, 100), now=at, time_zone=ZONE)


async def posted(connection: Connection) -> list[tuple[int, int]]:
    """Return what is posted in September and October, and what exceeds a hold."""
    cursor = await connection.execute("SELECT posted, overrun FROM quota_window ORDER BY starts_at")
    return await cursor.fetchall()


async def test_calls_around_the_edge_count_in_the_window_of_their_own_clock(
    ledgers: list[Ledger], month: QuotaRule, aconn: Connection
) -> None:
    expected = [0, 0]
    holds = []
    for offset in (-7.0, -4.0, -0.001, 0.0, 4.0, 6.0):
        for ledger, skew in zip(ledgers, SKEWS, strict=True):
            at = EDGE + offset + skew
            holds.append((ledger, await hold_at(ledger, month, at)))
            expected[at >= EDGE] += 70
    for ledger, claim in reversed(holds):  # All of them end after the month has.
        event = sent_event(100)
        ledger.send(claim, event)
        ledger.finish(claim, answer(event, 70))
    for ledger in ledgers:
        await ledger.process.settler.drained()
    assert await posted(aconn) == [(expected[0], 0), (expected[1], 0)]
    assert (await in_django(check_ledger, django_connection)).differences == []


async def test_no_month_allows_more_because_clocks_differ(
    ledgers: list[Ledger], month: QuotaRule, aconn: Connection
) -> None:
    await aconn.execute('UPDATE quota SET "limit" = 600 WHERE id = %s', [month.id])
    month = msgspec.structs.replace(month, limit=600)
    admitted = [0, 0]
    for n in range(30):
        at = EDGE + (n - 15) * 0.5 + SKEWS[n % 3]
        try:
            await hold_at(ledgers[n % 3], month, at)
        except Spent:
            continue
        admitted[at >= EDGE] += 1
    assert admitted == [6, 6]


async def test_a_truth_that_comes_after_the_month_has_closed_is_one_adjustment_of_that_month(
    ledgers: list[Ledger], month: QuotaRule, dsn: str, tmp_path: Path, aconn: Connection
) -> None:
    ledger = ledgers[0]
    claim = await hold_at(ledger, month, EDGE - 1)
    event = sent_event(100)
    ledger.send(claim, event)
    before = {each.process.id for each in ledgers}
    await let_the_lease_run_out(aconn)
    assert await processes.reap_ended_processes(dsn, tmp_path) == len(ledgers)

    async def reborn() -> bool:
        return all(each.process.id not in before for each in ledgers)

    await eventually(reborn, seconds=10)
    other = await hold_at(ledger, month, EDGE + 1)
    ledger.finish(claim, answer(event, 40))
    ledger.forget(other)

    async def corrected() -> bool:
        return await posted(aconn) == [(40, 0), (0, 0)]

    await eventually(corrected)
    # Once for the window, once for the event's own figures; the fact itself is as it was.
    assert await one(aconn, "SELECT array_agg(amount ORDER BY id) FROM adjustment") == [-60, -60]
    assert await one(aconn, "SELECT count(*) FROM adjustment WHERE window_id IS NOT NULL") == 1
    assert await one(aconn, "SELECT outcome || cost_ticks FROM usage_event") == "unknown100"
    assert (await in_django(check_ledger, django_connection)).differences == []


async def test_what_was_drawn_ahead_goes_back_where_nobody_calls_after_the_edge(
    ledgers: list[Ledger], month: QuotaRule, aconn: Connection
) -> None:
    process = ledgers[0].process
    await hold_at(ledgers[0], month, EDGE - 1)
    window = process.allowances.current[month.id]
    window.ends_at_unix = time.time() + 1
    await process.draws.draw_ahead()
    drawn = "SELECT drawn FROM quota_window ORDER BY starts_at DESC LIMIT 1"
    assert await one(aconn, drawn) == 100
    await process.draws.give_back(everything=True)
    assert await one(aconn, drawn) == 0
