"""Quotas, attempts and looks at the database for the ledger's tests."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
from django.conf import settings

from accounts.changes import Follower
from billing.ledger.bundles import Bundle
from billing.ledger.holds import Hold
from billing.ledger.ledger import Ledger
from billing.ledger.recalls import CHANNEL
from billing.quotas import QuotaRule
from billing.usage import Outcome, UsageEvent, UsageSource, new_id
from tests.billing.facts import make_event

# When calls are held unless a test says otherwise: the middle of a minute that is hours ahead, so
# that none ends while a test counts what passes in it.
NOW = (time.time() // 3600 + 2) * 3600 + 30


async def make_rule(
    connection: psycopg.AsyncConnection[Any], limit: int | None, *, scope_id: int = 1
) -> QuotaRule:
    """Make a cost quota for the lifetime of a key, as a row and as the rule of it."""
    cursor = await connection.execute(
        'INSERT INTO quota (organization, scope, scope_id, model, unit, "limit", "window",'
        " mode, hold, clamp, made_at)"
        " VALUES (1, 'key', %s, '', 'cost', %s, 'lifetime', 'enforce', 'strict', false, now())"
        " RETURNING id",
        [scope_id, limit],
    )
    row = await cursor.fetchone()
    assert row is not None
    return QuotaRule(
        id=row[0],
        organization=1,
        scope="key",
        scope_id=scope_id,
        model="",
        unit="cost",
        limit=limit,
        window="lifetime",
        mode="enforce",
        hold="strict",
        clamp=False,
        ends_at=None,
        made_at=0.0,
    )


async def start_ledger(dsn: str, root: Path) -> Ledger:
    ledger = Ledger(dsn, redis_url=settings.REDIS_URL, spool_root=root)
    await ledger.start()
    return ledger


@asynccontextmanager
async def listening(dsn: str, ledgers: Sequence[Ledger]) -> AsyncIterator[None]:
    """Let ledgers hear each other, as the gateway's follower does."""
    followers = [
        Follower(dsn, [], freshness_seconds=5, notices={CHANNEL: ledger.hear}) for ledger in ledgers
    ]
    for follower in followers:
        await follower.start()
    tasks = [asyncio.create_task(follower.run()) for follower in followers]
    yield
    for follower in followers:
        await follower.close()
    await asyncio.gather(*tasks)


async def hold(
    ledger: Ledger, *needs: tuple[QuotaRule, int], now: float = NOW, time_zone: str = "UTC"
) -> Hold:
    bundle = Bundle(rule for rule, _ in needs)
    amounts = [next(need for rule, need in needs if rule is each) for each in bundle.rules]
    return await ledger.hold(bundle, amounts, now=now, time_zone=time_zone)


def sent_event(held: int) -> UsageEvent:
    """Return the event of an attempt that is about to leave: unknown, captured at its hold."""
    attempt = new_id()
    return make_event(
        id=attempt,
        call_id=attempt,
        outcome=Outcome.UNKNOWN,
        usage_source=UsageSource.HELD,
        http_status=None,
        uncached_input=0,
        output=0,
        cost_ticks=held,
        held_ticks=held,
        first_byte_ms=None,
        process_seq=0,
    )


def answer(event: UsageEvent, ticks: int) -> UsageEvent:
    """Turn the event into that of an answered attempt of so many ticks."""
    event.outcome = Outcome.ANSWERED
    event.usage_source = UsageSource.REPORTED
    event.http_status = 200
    event.output = 10
    event.cost_ticks = ticks
    return event


async def spend(ledger: Ledger, rule: QuotaRule, *, held: int, used: int) -> UsageEvent:
    """Make one whole attempt: held, sent, finished."""
    claim = await hold(ledger, (rule, held))
    event = sent_event(held)
    ledger.send(claim, event)
    ledger.finish(claim, answer(event, used))
    return event


@dataclasses.dataclass(frozen=True)
class Row:
    """A window as the database has it, with the sum of its allowances."""

    posted: int
    overrun: int
    drawn: int
    allowances: int


async def window_of(connection: psycopg.AsyncConnection[Any], rule: QuotaRule) -> Row:
    cursor = await connection.execute(
        "SELECT w.posted, w.overrun, w.drawn, coalesce(sum(a.amount), 0)::bigint"
        " FROM quota_window w LEFT JOIN allowance a ON a.window_id = w.id"
        " WHERE w.quota_id = %s GROUP BY w.id",
        [rule.id],
    )
    row = await cursor.fetchone()
    return Row(*row) if row else Row(0, 0, 0, 0)


async def open_window(connection: psycopg.AsyncConnection[Any], rule: QuotaRule) -> int:
    """Return the id of the rule's window that holds this moment; `now` until for ever if new."""
    return int(
        await one(
            connection,
            "SELECT ids[1] FROM ledger_open_windows(ARRAY[%s::bigint], ARRAY[now()], ARRAY[now()],"
            " ARRAY['9999-12-31'::timestamptz], ARRAY['9999-12-31'::timestamptz], true)",
            rule.id,
        )
    )


async def one(connection: psycopg.AsyncConnection[Any], query: str, *values: object) -> Any:
    cursor = await connection.execute(query, values)
    row = await cursor.fetchone()
    return row[0] if row else None


async def eventually(condition: Callable[[], Awaitable[bool]], seconds: float = 5.0) -> None:
    """Wait until the condition holds."""
    deadline = time.monotonic() + seconds
    while not await condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        await asyncio.sleep(0.02)
