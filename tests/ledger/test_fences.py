"""What a process has given up on is refused when it arrives after all, or has been counted by then.

A server that was stopped carries out what lies in its socket when it goes on: a return that its
process had read as not done was given back a second time, under what had been held of it by then.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from billing.ledger.ledger import Ledger
from tests.ledger.making import eventually, hold, make_rule, one, spend, start_ledger, window_of

pytestmark = pytest.mark.django_db(transaction=True)
Connection = psycopg.AsyncConnection[Any]
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE %s AND wait_event_type = 'Lock'"


@pytest.fixture
async def ledger(dsn: str, tmp_path: Path) -> AsyncIterator[Ledger]:
    ledger = await start_ledger(dsn, tmp_path)
    yield ledger
    await ledger.close(timeout_seconds=5)


async def leave_idle(ledger: Ledger, connection: Connection) -> tuple[Any, Any]:
    """Have 900 drawn and nothing held; returns the rule and the process's account of it."""
    rule = await make_rule(connection, 1000)
    await spend(ledger, rule, held=1000, used=100)
    await ledger.process.settler.drained()
    return rule, ledger.process.allowances.current[rule.id]


async def test_a_return_that_waits_at_the_server_is_known_when_the_next_call_holds(
    ledger: Ledger, dsn: str, aconn: Connection
) -> None:
    rule, window = await leave_idle(ledger, aconn)
    async with await psycopg.AsyncConnection.connect(dsn) as other:
        await other.execute("SELECT 1 FROM quota_window WHERE id = %s FOR UPDATE", [window.window])
        returning = asyncio.create_task(ledger.process.draws.give_back(everything=True))

        async def waits() -> bool:
            return bool(await one(aconn, WAITING, "SELECT ledger_give_back%"))

        await eventually(waits)
        ledger.process.database.drop()
        with pytest.raises(psycopg.OperationalError):
            await returning
        assert (window.doubtful, window.free) == (True, 0)
        finding_out = asyncio.create_task(ledger.process.draws.give_back())

        async def waits_for_it() -> bool:
            return bool(await one(aconn, WAITING, "UPDATE gateway_process SET fence%"))

        await eventually(waits_for_it)
        await other.rollback()
        await finding_out
    assert (window.doubtful, window.free) == (False, 0)
    assert (await window_of(aconn, rule)).drawn == 0


async def test_a_return_that_comes_after_it_was_read_as_not_done_is_not_done(
    ledger: Ledger, aconn: Connection
) -> None:
    rule, window = await leave_idle(ledger, aconn)
    window.doubtful = True
    await hold(ledger, (rule, 900))
    await ledger.process.draws.give_back()
    assert not window.doubtful
    await aconn.execute(
        "SELECT ledger_give_back(%s, %s, %s, 0)", [ledger.process.id, [window.window], [900]]
    )
    row = await window_of(aconn, rule)
    assert (row.drawn, row.allowances) == (900, 900)


async def test_a_draw_that_comes_after_that_is_not_done_either(
    ledger: Ledger, aconn: Connection
) -> None:
    rule, window = await leave_idle(ledger, aconn)
    window.doubtful = True
    await ledger.process.draws.give_back()
    with pytest.raises(psycopg.Error, match="has ended"):
        await aconn.execute(
            "SELECT ledger_draw(%s, %s, '{0}', '{1}', '{1}', '{5}', '{5}', 1, 0)",
            [ledger.process.id, [window.window]],
        )
    await hold(ledger, (rule, 900))  # Its own go on.
    assert not ledger.process.has_ended
