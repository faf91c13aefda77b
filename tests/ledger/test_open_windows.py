"""Windows of a quota follow each other without gap or overlap, whatever becomes of the zone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest

from billing.ledger import draws
from billing.ledger.allowances import Unavailable
from billing.ledger.bundles import Bundle
from billing.ledger.holds import Hold
from billing.ledger.ledger import Ledger
from billing.quotas import QuotaRule
from tests.ledger.making import hold, make_rule, start_ledger

pytestmark = pytest.mark.django_db(transaction=True)
Connection = psycopg.AsyncConnection[Any]

NOON = datetime(2026, 6, 10, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
async def ledger(dsn: str, tmp_path: Path) -> AsyncIterator[Ledger]:
    ledger = await start_ledger(dsn, tmp_path)
    yield ledger
    await ledger.close(timeout_seconds=5)


async def daily(connection: Connection) -> QuotaRule:
    rule = await make_rule(connection, 1000)
    await connection.execute("""UPDATE quota SET "window" = 'day' WHERE id = %s""", [rule.id])
    return msgspec.structs.replace(rule, window="day")


async def call(ledger: Ledger, rule: QuotaRule, at: datetime, zone: str) -> None:
    ledger.forget(await hold(ledger, (rule, 10), now=at.timestamp(), time_zone=zone))


async def periods(connection: Connection) -> list[tuple[datetime, datetime]]:
    cursor = await connection.execute(
        "SELECT starts_at, ends_at FROM quota_window ORDER BY starts_at"
    )
    return await cursor.fetchall()


async def test_a_day_of_the_clock_change_has_as_many_hours_as_the_wall_clock(
    ledger: Ledger, aconn: Connection
) -> None:
    rule = await daily(aconn)
    for day in (28, 29, 30):
        await call(ledger, rule, datetime(2026, 3, day, 12, tzinfo=UTC), "Europe/Berlin")
    found = await periods(aconn)
    assert [(end - start) / timedelta(hours=1) for start, end in found] == [24, 23, 24]
    assert found[1][0] == found[0][1]
    assert found[2][0] == found[1][1]


async def test_a_changed_zone_opens_no_second_window_of_the_same_day(
    dsn: str, tmp_path: Path, ledger: Ledger, aconn: Connection
) -> None:
    rule = await daily(aconn)
    await call(ledger, rule, NOON, "UTC")
    other = await start_ledger(dsn, tmp_path)
    await call(other, rule, NOON, "Asia/Tokyo")
    await other.close(timeout_seconds=5)
    assert await periods(aconn) == [
        (datetime(2026, 6, 10, tzinfo=UTC), datetime(2026, 6, 11, tzinfo=UTC))
    ]


async def test_after_a_changed_zone_the_next_window_is_longer_never_shorter(
    ledger: Ledger, aconn: Connection
) -> None:
    rule = await daily(aconn)
    await call(ledger, rule, NOON, "UTC")
    await call(ledger, rule, NOON + DAY, "Asia/Tokyo")
    await call(ledger, rule, NOON + 3 * DAY, "Asia/Tokyo")
    assert (await periods(aconn))[1:] == [
        (datetime(2026, 6, 11, tzinfo=UTC), datetime(2026, 6, 12, 15, tzinfo=UTC)),
        (datetime(2026, 6, 12, 15, tzinfo=UTC), datetime(2026, 6, 13, 15, tzinfo=UTC)),
    ]


async def test_processes_that_know_different_zones_open_one_window(
    dsn: str, tmp_path: Path, aconn: Connection
) -> None:
    rule = await daily(aconn)
    ledgers = [await start_ledger(dsn, tmp_path) for _ in range(4)]
    zones = ["UTC", "Asia/Tokyo", "America/New_York", "Europe/Berlin"]
    await asyncio.gather(
        *(call(each, rule, NOON, zone) for each, zone in zip(ledgers, zones, strict=True))
    )
    assert len(await periods(aconn)) == 1
    for each in ledgers:
        await each.close(timeout_seconds=5)


async def test_a_quota_that_is_being_changed_holds_up_no_other(
    dsn: str, ledger: Ledger, aconn: Connection
) -> None:
    """Opening windows of several quotas waited for each in turn, holding the others' locks."""
    first, second = await daily(aconn), await daily_of(aconn, 2)
    async with await psycopg.AsyncConnection.connect(dsn) as admin:
        await admin.execute('UPDATE quota SET "limit" = 900 WHERE id = %s', [second.id])
        waiting = asyncio.create_task(hold(ledger, (first, 10), (second, 10), now=NOON.timestamp()))
        await asyncio.sleep(0.05)
        await admin.execute('UPDATE quota SET "limit" = 900 WHERE id = %s', [first.id])
        await admin.commit()
        ledger.forget(await waiting)
    assert len(await periods(aconn)) == 2


async def test_a_deleted_quota_refuses_its_own_calls_and_no_other(
    ledger: Ledger, aconn: Connection
) -> None:
    """One call of a quota that was gone had all be refused that waited for a draw beside it."""
    rules = [await daily_of(aconn, n) for n in range(1, 21)]
    gone = rules[7]
    await aconn.execute("DELETE FROM quota WHERE id = %s", [gone.id])
    both = (gone, 10), (rules[3], 10)
    asked = [((rule, 10),) for rule in rules]
    answers = await asyncio.gather(
        *(hold(ledger, *needs, now=NOON.timestamp()) for needs in (*asked, both)),
        return_exceptions=True,
    )
    refused = [n for n, answer in enumerate(answers) if isinstance(answer, Unavailable)]
    assert refused == [7, 20]
    assert all(isinstance(answers[n], Hold) for n in range(20) if n != 7)
    assert all(window.waiting == 0 for window in ledger.process.allowances.all())
    assert not ledger.process.draws.failing


async def test_a_quota_that_is_deleted_keeps_no_other_from_drawing_ahead(
    ledger: Ledger, aconn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, kept = await daily_of(aconn, 1), await daily_of(aconn, 2)
    monkeypatch.setattr(draws, "AHEAD_SECONDS", 10**9)
    now = datetime.now(UTC).timestamp()
    ledger.forget(await hold(ledger, (kept, 10), now=now))
    ledger.process.allowances.in_use.add(
        ledger.process.allowances.find(Bundle([gone]), now=now, time_zone="UTC")[0]
    )
    await aconn.execute("DELETE FROM quota WHERE id = %s", [gone.id])
    for window in ledger.process.allowances.in_use:
        window.largest_need = 10
    await ledger.process.draws.draw_ahead()
    assert len(await periods(aconn)) == 2


async def daily_of(connection: Connection, scope_id: int) -> QuotaRule:
    rule = await make_rule(connection, 1000, scope_id=scope_id)
    return msgspec.structs.replace(rule, window="day")
