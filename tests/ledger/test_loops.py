"""What nobody expects ends no task of a process: it is told of, and what was to be done is done."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import psycopg
import pytest

from billing.ledger import draws, loops, processes
from billing.ledger.allowances import Unavailable, Window
from billing.ledger.bundles import Bundle
from billing.ledger.ledger import Ledger
from billing.quotas import QuotaRule
from billing.usage import UsageEvent
from tests.ledger.making import eventually, hold, make_rule, spend, start_ledger, window_of

pytestmark = pytest.mark.django_db(transaction=True)
Connection = psycopg.AsyncConnection[Any]

# Stands where something else belongs, for whatever reason nobody thought of.
BROKEN: Any = None


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops, "PAUSE_SECONDS", 0.02)


@pytest.fixture
async def ledger(dsn: str, tmp_path: Path) -> AsyncIterator[Ledger]:
    ledger = await start_ledger(dsn, tmp_path)
    yield ledger
    await ledger.close(timeout_seconds=5)


async def until_failed(ledger: Ledger, name: str, times: int = 1) -> None:
    async def has_failed() -> bool:
        return ledger.loops.failures[name] >= times

    await eventually(has_failed)
    assert ledger.loops.have_failed


def find(ledger: Ledger, rule: QuotaRule) -> Window:
    found = ledger.process.allowances.find(Bundle([rule]), now=time.time(), time_zone="UTC")
    return found[0]


async def test_a_draw_that_broke_off_after_its_commit_is_read_back(
    ledger: Ledger, aconn: Connection
) -> None:
    rules = [await make_rule(aconn, 1000, scope_id=n) for n in (1, 2)]
    first, second = [find(ledger, rule) for rule in rules]
    first.growth, first.drew_at = BROKEN, time.monotonic()
    with pytest.raises(Unavailable):
        await hold(ledger, *((rule, 10) for rule in rules))
    await until_failed(ledger, "draw")
    assert (await window_of(aconn, rules[1])).drawn == 10
    assert (second.doubtful, second.amount, second.waiting) == (True, 0, 0)
    first.growth = 64
    await hold(ledger, *((rule, 10) for rule in rules))
    for rule, account in zip(rules, (first, second), strict=True):
        row = await window_of(aconn, rule)
        assert row.drawn == row.allowances == account.amount
        assert not account.doubtful


async def test_a_call_that_breaks_a_round_refuses_who_waits_and_nobody_after_them(
    ledger: Ledger, aconn: Connection
) -> None:
    odd, plain = [await make_rule(aconn, 1000, scope_id=n) for n in (1, 2)]
    allowances = ledger.process.allowances
    waiting = allowances.wait([(find(ledger, odd), cast(int, "ten"))])
    results = await asyncio.gather(waiting, hold(ledger, (plain, 10)), return_exceptions=True)
    assert [type(each) for each in results] == [Unavailable, Unavailable]
    assert all(window.waiting == 0 for window in allowances.all())
    await hold(ledger, (plain, 10), (odd, 10))


async def test_a_batch_whose_settlement_fails_stays_the_first_until_it_is_settled(
    ledger: Ledger, aconn: Connection
) -> None:
    rule = await make_rule(aconn, 1000)
    settler = ledger.process.settler
    settler.open_batch().over.append(cast(UsageEvent, BROKEN))
    await spend(ledger, rule, held=100, used=30)
    await until_failed(ledger, "settle", times=2)
    await spend(ledger, rule, held=100, used=40)
    assert (settler.depth, (await window_of(aconn, rule)).posted) == (2, 0)
    settler._queue[0].over.clear()
    await settler.drained()
    assert (await window_of(aconn, rule)).posted == 70


async def test_the_lease_is_renewed_though_nothing_can_be_given_back(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "RENEW_SECONDS", 0.1)
    process = ledger.process
    idle, process.draws._idle = process.draws._idle, BROKEN
    await until_failed(ledger, "draw", times=2)
    process._next_renewal = 0.0
    before = process.lease_ends

    async def is_renewed() -> bool:
        return process.lease_ends > before

    await eventually(is_renewed)
    process.draws._idle = idle


async def test_a_spool_that_cannot_be_looked_at_is_looked_at_again(
    ledger: Ledger, aconn: Connection, tmp_path: Path
) -> None:
    """statvfs() raised, and nothing was ever synced or found full from then on."""
    rule = await make_rule(aconn, 1000)
    spool = ledger.process.spool
    folder, spool.folder = spool.folder, tmp_path / "gone"
    await spend(ledger, rule, held=100, used=30)
    await until_failed(ledger, "sync the spool")
    spool.folder = folder
    await spend(ledger, rule, held=100, used=30)
    spool.flush()
    assert spool._dirty

    async def is_synced() -> bool:
        return not spool._dirty

    await eventually(is_synced)


async def test_rates_are_tended_again(ledger: Ledger) -> None:
    idle, ledger.process._idle_rates = ledger.process._idle_rates, BROKEN
    await until_failed(ledger, "tend rates")
    ledger.process._idle_rates = idle
    assert not any(task.done() for task in ledger.process._tasks)


async def test_only_a_task_that_is_cancelled_itself_ends_of_it(ledger: Ledger) -> None:
    """What it awaits may be cancelled by others, which looks the same."""
    never: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    turns: list[asyncio.Future[None]] = []

    async def run() -> None:
        turns.append(never if turns else asyncio.get_running_loop().create_future())
        if len(turns) == 1:
            turns[0].cancel()
        await turns[-1]

    task = ledger.loops.start("run", run)
    await until_failed(ledger, "run")

    async def goes_on() -> bool:
        return len(turns) == 2

    await eventually(goes_on)
    task.cancel()
    await asyncio.wait([task], timeout=5)
    assert task.cancelled()


async def test_who_waits_for_a_draw_that_is_cancelled_keeps_nobody_waiting(
    ledger: Ledger, aconn: Connection
) -> None:
    rule = await make_rule(aconn, 1000)
    quota = "SELECT 1 FROM quota WHERE id = %s FOR UPDATE"
    async with aconn.transaction():
        await aconn.execute(quota, [rule.id])
        waiting = asyncio.create_task(hold(ledger, (rule, 10)))

        async def is_drawing() -> bool:
            return ledger.process.allowances.round_started is not None

        await eventually(is_drawing)
        ledger.process._tasks[-1].cancel()
        with pytest.raises(Unavailable):
            await waiting
    assert find(ledger, rule).waiting == 0


async def test_a_failure_is_named_for_a_while(
    ledger: Ledger, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        if not ledger.loops.failures["run"]:
            raise LookupError("what nobody expects")

    named = [ledger.loops.have_failed]
    await ledger.loops.start("run", run)
    named.append(ledger.loops.have_failed)
    monkeypatch.setattr(loops, "NAMED_SECONDS", 0.0)
    assert [*named, ledger.loops.have_failed] == [False, True, False]
    assert "what nobody expects" in caplog.text


async def test_the_lease_is_renewed_though_somebody_waits_at_all_times(
    ledger: Ledger, aconn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "RENEW_SECONDS", 0.1)
    monkeypatch.setattr(draws, "AT_A_STRETCH_SECONDS", 0.1)
    process, allowances = ledger.process, ledger.process.allowances
    rule = await make_rule(aconn, 10**9)
    await hold(ledger, (rule, 10))

    async def ask_for_ever() -> None:
        while True:
            allowances.refill([(allowances.current[rule.id], 10)])
            await asyncio.sleep(0)

    asking = asyncio.create_task(ask_for_ever())
    process._next_renewal = 0.0
    before = process.lease_ends

    async def is_renewed() -> bool:
        return process.lease_ends > before

    await eventually(is_renewed)
    asking.cancel()
