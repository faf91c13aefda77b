"""Raises of a quota in its windows: added at once, and gone with their end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest

from billing.ledger.allowances import Spent
from billing.ledger.ledger import Ledger
from billing.quotas import QuotaRule
from tests.ledger.making import eventually, hold, make_rule, one, spend, start_ledger, window_of

pytestmark = pytest.mark.django_db(transaction=True)
Connection = psycopg.AsyncConnection[Any]


@pytest.fixture
async def ledger(dsn: str, tmp_path: Path) -> AsyncIterator[Ledger]:
    ledger = await start_ledger(dsn, tmp_path)
    yield ledger
    await ledger.close(timeout_seconds=5)


async def add(
    connection: Connection, rule: QuotaRule, amount: int, *, prepaid: bool = False, hours: int = 1
) -> int:
    number = await one(
        connection,
        "INSERT INTO quota_raise (organization, quota_id, amount, is_prepaid, reason, made_at,"
        " ends_at) VALUES (1, %s, %s, %s, '', now(), now() + %s * interval '1 hour')"
        " RETURNING id",
        rule.id,
        amount,
        prepaid,
        hours,
    )
    return int(number)


async def end(connection: Connection, number: int) -> None:
    await connection.execute("UPDATE quota_raise SET ends_at = now() WHERE id = %s", [number])


async def let_time_pass(connection: Connection, number: int) -> None:
    """Put an end into the past behind the database's back, as the clock does: no trigger runs."""
    async with connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = replica")
        await connection.execute(
            "UPDATE quota_raise SET ends_at = now() - interval '1 second' WHERE id = %s", [number]
        )
        await connection.execute(
            "UPDATE quota_window SET raised_until = now() - interval '1 second'"
            " WHERE raised_until IS NOT NULL"
        )


async def limit_of(connection: Connection, rule: QuotaRule) -> int:
    limit = await one(connection, 'SELECT "limit" FROM quota_window WHERE quota_id = %s', rule.id)
    return int(limit)


async def is_idle(connection: Connection, rule: QuotaRule) -> bool:
    return (await window_of(connection, rule)).drawn == 0


async def test_a_raise_reaches_the_open_window_and_ends_with_it(
    ledger: Ledger, aconn: Connection
) -> None:
    rule = await make_rule(aconn, 100)
    await spend(ledger, rule, held=100, used=100)
    number = await add(aconn, rule, 50)
    assert await limit_of(aconn, rule) == 150
    await end(aconn, number)
    assert await limit_of(aconn, rule) == 100


async def test_what_is_raised_can_be_held_and_what_runs_at_the_end_finishes(
    ledger: Ledger, aconn: Connection
) -> None:
    rule = await make_rule(aconn, 100)
    number = await add(aconn, rule, 50)
    await hold(ledger, (rule, 140))
    await end(aconn, number)
    with pytest.raises(Spent) as refused:
        await hold(ledger, (rule, 1))
    assert refused.value.standing.limit == 100


async def test_a_raise_ends_by_the_clock_at_the_next_draw(
    ledger: Ledger, aconn: Connection
) -> None:
    rule = await make_rule(aconn, 100)
    await spend(ledger, rule, held=90, used=90)
    number = await add(aconn, rule, 50)
    await let_time_pass(aconn, number)
    (standing,) = await ledger.standing([rule], now=0, time_zone="UTC")
    assert standing.limit == 100
    with pytest.raises(Spent):
        await hold(ledger, (rule, 20))
    assert await limit_of(aconn, rule) == 100


async def test_a_window_that_opens_while_a_raise_runs_has_it(
    ledger: Ledger, aconn: Connection
) -> None:
    rule = await make_rule(aconn, 100)
    await add(aconn, rule, 50)
    await hold(ledger, (rule, 150))
    assert await limit_of(aconn, rule) == 150


async def test_of_a_grant_that_expires_what_was_used_stays_and_the_rest_is_gone(
    ledger: Ledger, aconn: Connection
) -> None:
    rule = await make_rule(aconn, 0)
    number = await add(aconn, rule, 100, prepaid=True)
    await spend(ledger, rule, held=30, used=30)
    await eventually(lambda: is_idle(aconn, rule))
    await let_time_pass(aconn, number)
    with pytest.raises(Spent):
        await hold(ledger, (rule, 1))
    assert await limit_of(aconn, rule) == 30
    await add(aconn, rule, 20, prepaid=True)
    assert await limit_of(aconn, rule) == 50
    told = msgspec.structs.replace(rule, limit=20)  # As the change log tells gateways.
    await hold(ledger, (told, 20))


async def test_of_two_grants_the_one_that_ends_first_is_used_first(
    ledger: Ledger, aconn: Connection
) -> None:
    rule = await make_rule(aconn, 10)
    later = await add(aconn, rule, 100, prepaid=True, hours=2)
    sooner = await add(aconn, rule, 40, prepaid=True)
    await spend(ledger, rule, held=35, used=35)
    await eventually(lambda: is_idle(aconn, rule))
    await end(aconn, sooner)
    assert await limit_of(aconn, rule) == 10 + 25 + 100
    await spend(ledger, rule, held=30, used=30)
    await eventually(lambda: is_idle(aconn, rule))
    await end(aconn, later)
    assert await limit_of(aconn, rule) == 10 + 25 + 30
    assert await one(aconn, "SELECT count(*) FROM quota_raise_kept") == 2


async def test_a_call_under_way_when_a_grant_expires_is_paid_by_it(
    ledger: Ledger, aconn: Connection
) -> None:
    rule = await make_rule(aconn, 0)
    number = await add(aconn, rule, 100, prepaid=True)
    await hold(ledger, (rule, 60))
    await end(aconn, number)
    assert await limit_of(aconn, rule) == 60
