"""Whatever becomes of a gateway process, its attempts are charged once and its money is freed."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest

from billing.ledger import processes, settlement
from billing.ledger.allowances import Unavailable
from billing.ledger.ledger import Ledger
from billing.ledger.spool import SEEN
from billing.usage import new_id
from tests.ledger.making import (
    answer,
    eventually,
    hold,
    make_rule,
    one,
    sent_event,
    spend,
    start_ledger,
    window_of,
)

pytestmark = pytest.mark.django_db(transaction=True)
Connection = psycopg.AsyncConnection[Any]


def kill(ledger: Ledger) -> None:
    """End a ledger as SIGKILL would: tasks stop, nothing is told, the folder's lock is gone."""
    stop(ledger)
    ledger.process.spool.close(remove=False)


def stop(ledger: Ledger) -> None:
    """Stop a ledger as SIGSTOP would: its tasks do not run, its folder stays locked."""
    for task in (*ledger._tending, *ledger.process._tasks):
        task.cancel()
    ledger.process.database.drop()
    ledger.process.settler.database.drop()


async def let_the_lease_run_out(connection: Connection) -> None:
    await connection.execute("UPDATE gateway_process SET lease_until = now() - interval '1 second'")


async def test_a_clean_end_leaves_nothing_behind(
    dsn: str, tmp_path: Path, aconn: Connection
) -> None:
    ledger = await start_ledger(dsn, tmp_path)
    rule = await make_rule(aconn, 1000)
    await spend(ledger, rule, held=500, used=120)
    await ledger.close(timeout_seconds=5)
    row = await window_of(aconn, rule)
    assert (row.posted, row.drawn, row.allowances) == (120, 0, 0)
    assert list(tmp_path.iterdir()) == []
    assert await one(aconn, "SELECT ended_at IS NOT NULL FROM gateway_process")


async def test_what_finishes_while_a_process_goes_is_paid_from_what_was_drawn_for_it(
    dsn: str, tmp_path: Path, aconn: Connection
) -> None:
    """All was given back first and the fact came after it, beyond the limit if others had drawn."""
    ledger = await start_ledger(dsn, tmp_path)
    rule = await make_rule(aconn, 1000)
    claim, event = await hold(ledger, (rule, 500)), sent_event(500)
    ledger.send(claim, event)
    process = ledger.process
    async with process.rates._turn:  # Going begins, and waits for its turn with Redis.
        going = asyncio.create_task(ledger.close(timeout_seconds=5))
        while not process._tasks[-1].done():
            await asyncio.sleep(0)
        ledger.finish(claim, answer(event, 120))
    await going
    await processes.reap_ended_processes(dsn, tmp_path)
    row = await window_of(aconn, rule)
    assert (row.posted, row.overrun, row.drawn) == (120, 0, 0)


async def test_after_a_kill_each_attempt_that_left_is_charged_and_the_rest_is_free(
    dsn: str, tmp_path: Path, aconn: Connection
) -> None:
    ledger = await start_ledger(dsn, tmp_path)
    rule = await make_rule(aconn, 1000)
    under_way, answered = sent_event(200), sent_event(300)
    ledger.send(await hold(ledger, (rule, 200)), under_way)
    claim = await hold(ledger, (rule, 300))
    ledger.send(claim, answered)
    await hold(ledger, (rule, 400))  # Held, and it never left.
    for task in ledger.process._tasks:
        task.cancel()
    ledger.finish(claim, answer(answered, 50))
    kill(ledger)

    heir = await start_ledger(dsn, tmp_path)
    row = await window_of(aconn, rule)
    assert (row.posted, row.drawn) == (250, 0)
    outcomes = await one(aconn, "SELECT array_agg(outcome ORDER BY outcome) FROM usage_event")
    assert outcomes == ["answered", "unknown"]
    assert [folder.name for folder in tmp_path.iterdir()] == [heir.process.id]
    await heir.close(timeout_seconds=5)


async def test_reaping_twice_changes_nothing(dsn: str, tmp_path: Path, aconn: Connection) -> None:
    ledger = await start_ledger(dsn, tmp_path)
    rule = await make_rule(aconn, 1000)
    ledger.send(await hold(ledger, (rule, 200)), sent_event(200))
    kill(ledger)
    saved = tmp_path / "saved"
    shutil.copytree(ledger.process.spool.folder, saved)
    await processes.reap_ended_processes(dsn, tmp_path / "elsewhere")
    assert await processes.reap_ended_processes(dsn, tmp_path) == 1
    before = await window_of(aconn, rule)
    saved.rename(ledger.process.spool.folder)
    assert await processes.reap_ended_processes(dsn, tmp_path) == 0
    assert await window_of(aconn, rule) == before
    assert before.posted == 200


async def test_a_process_that_cannot_be_ended_keeps_no_other_from_it(
    dsn: str, tmp_path: Path, aconn: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    """One spool that nobody could read had no process begin on its machine."""
    rule = await make_rule(aconn, 1000)
    odd, plain = [await start_ledger(dsn, tmp_path) for _ in range(2)]
    for ledger in (odd, plain):
        ledger.send(await hold(ledger, (rule, 200)), sent_event(200))
        ledger.process.spool.flush()
    odd.process.spool.note(SEEN, "odd", b'{"id":5}')
    for ledger in (odd, plain):
        kill(ledger)
    third = await start_ledger(dsn, tmp_path)
    assert third.loops.have_failed
    assert odd.process.id in caplog.text
    assert (await window_of(aconn, rule)).posted == 200
    assert odd.process.spool.folder.is_dir()
    assert not plain.process.spool.folder.is_dir()
    await third.close(timeout_seconds=5)


async def test_a_process_that_was_only_stopped_settles_late_and_gets_a_new_identity(
    dsn: str, tmp_path: Path, aconn: Connection
) -> None:
    ledger = await start_ledger(dsn, tmp_path)
    rule = await make_rule(aconn, 1000)
    claim = await hold(ledger, (rule, 500))
    event = sent_event(500)
    ledger.send(claim, event)
    before = ledger.process.id
    await let_the_lease_run_out(aconn)
    assert await processes.reap_ended_processes(dsn, tmp_path) == 1
    assert (await window_of(aconn, rule)).posted == 500

    async def reborn() -> bool:
        return ledger.process.id != before

    await eventually(reborn, seconds=10)
    ledger.finish(claim, answer(event, 120))

    async def corrected() -> bool:
        return (await window_of(aconn, rule)).posted == 120

    await eventually(corrected)
    assert await one(aconn, "SELECT count(*) FROM usage_event") == 1
    await ledger.close(timeout_seconds=5)


async def test_a_process_without_a_lease_lets_nothing_go(
    dsn: str, tmp_path: Path, aconn: Connection
) -> None:
    ledger = await start_ledger(dsn, tmp_path)
    rule = await make_rule(aconn, 1000)
    claim = await hold(ledger, (rule, 100))
    stop(ledger)
    ledger.process.lease_ends = 0.0
    forbidden: list[Exception | None] = []
    ledger.send(claim, sent_event(100))
    ledger.let_leave(claim, forbidden.append)
    ledger.record(claim)
    assert [type(each) for each in forbidden] == [Unavailable]
    ledger.forget(claim)
    with pytest.raises(Unavailable):
        await hold(ledger, (rule, 100))
    kill(ledger)
    heir = await start_ledger(dsn, tmp_path)
    assert (await window_of(aconn, rule)).posted == 0
    await heir.close(timeout_seconds=5)


async def test_a_spool_out_of_reach_captures_everything_until_it_turns_up(
    dsn: str, tmp_path: Path, aconn: Connection
) -> None:
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    ledger = await start_ledger(dsn, here)
    rule = await make_rule(aconn, 1000)
    claim = await hold(ledger, (rule, 700))
    event = sent_event(700)
    ledger.send(claim, event)
    for task in ledger.process._tasks:
        task.cancel()
    ledger.finish(claim, answer(event, 120))
    kill(ledger)
    await let_the_lease_run_out(aconn)
    await processes.reap_ended_processes(dsn, elsewhere)
    row = await window_of(aconn, rule)
    assert (row.posted, row.drawn) == (700, 0)
    await processes.reap_ended_processes(dsn, here)
    assert (await window_of(aconn, rule)).posted == 120
    assert await one(aconn, "SELECT sum(amount)::int FROM adjustment") == 0


async def test_a_lease_that_was_renewed_meanwhile_is_not_reaped(
    dsn: str, tmp_path: Path, aconn: Connection
) -> None:
    ledger = await start_ledger(dsn, tmp_path)
    folder = ledger.process.spool.folder
    assert not await processes.reap(aconn, ledger.process.id, folder, is_dead=False)
    await ledger.close(timeout_seconds=5)


async def test_an_attempt_that_cannot_be_stored_does_not_keep_a_dead_process_alive(
    dsn: str, tmp_path: Path, aconn: Connection
) -> None:
    ledger = await start_ledger(dsn, tmp_path)
    rule = await make_rule(aconn, 1000)
    for n in range(5):
        event = sent_event(100)
        event.model = "with a NUL \0" if n == 2 else "gpt-4o"
        ledger.send(await hold(ledger, (rule, 100)), event)
    kill(ledger)
    assert await processes.reap_ended_processes(dsn, tmp_path) == 1
    assert await one(aconn, "SELECT count(*) FROM usage_event") == 4
    assert await one(aconn, "SELECT count(*) FROM rejected_event") == 1
    assert list(tmp_path.iterdir()) == []


async def test_an_attempt_that_contradicts_itself_does_not_keep_a_dead_process_alive(
    dsn: str, tmp_path: Path, aconn: Connection
) -> None:
    """Its windows are told from its amounts by their places, and one had none."""
    ledger = await start_ledger(dsn, tmp_path)
    rule = await make_rule(aconn, 1000)
    for n in range(3):
        event = sent_event(100)
        ledger.send(await hold(ledger, (rule, 100)), event)
        if n == 1:
            event.window_holds = []
            ledger.process.spool.note(SEEN, event.id, msgspec.json.encode(event))
    ledger.process.spool.flush()
    kill(ledger)
    assert await processes.reap_ended_processes(dsn, tmp_path) == 1
    assert await one(aconn, "SELECT count(*) FROM usage_event") == 2
    assert await one(aconn, "SELECT count(*) FROM rejected_event") == 1
    assert (await window_of(aconn, rule)).drawn == 0


async def test_a_large_spool_is_settled_piece_by_piece(
    dsn: str, tmp_path: Path, aconn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One statement for all of it took longer than PostgreSQL gives one, each time anew."""
    monkeypatch.setattr(settlement, "AT_ONCE", 3)
    ledger = await start_ledger(dsn, tmp_path)
    rule = await make_rule(aconn, 10_000)
    for n in range(11):
        event = sent_event(100)
        event.model = "with a NUL \0" if n == 4 else "gpt-4o"
        ledger.send(await hold(ledger, (rule, 100)), event)
    ledger.process.spool.flush()
    kill(ledger)
    assert await processes.reap_ended_processes(dsn, tmp_path) == 1
    assert await one(aconn, "SELECT count(*) FROM usage_event") == 10
    row = await window_of(aconn, rule)
    assert (row.posted, row.drawn, row.allowances) == (1000, 0, 0)


async def test_a_process_whose_lease_ran_out_unnoticed_leaves_nothing_captured(
    dsn: str, tmp_path: Path, aconn: Connection
) -> None:
    ledger = await start_ledger(dsn, tmp_path)
    rule = await make_rule(aconn, 1000)
    await spend(ledger, rule, held=500, used=120)
    await ledger.process.settler.drained()
    before = ledger.process
    await let_the_lease_run_out(aconn)
    with pytest.raises(Unavailable):  # The database refuses the draw, and nobody has reaped it yet.
        await hold(ledger, (rule, 700))

    async def reborn() -> bool:
        return ledger.process is not before and not before.spool.folder.exists()

    await eventually(reborn, seconds=10)
    await processes.reap_ended_processes(dsn, tmp_path)
    row = await window_of(aconn, rule)
    assert (row.posted, row.drawn) == (120, 0)
    assert await one(aconn, "SELECT count(*) FROM adjustment") == 0
    await ledger.close(timeout_seconds=5)


async def test_a_process_that_was_ended_holds_nothing_more_though_its_own_clock_grants_it(
    dsn: str, tmp_path: Path, aconn: Connection
) -> None:
    ledger = await start_ledger(dsn, tmp_path)
    rule = await make_rule(aconn, 1000)
    await spend(ledger, rule, held=500, used=120)
    before = ledger.process
    for task in ledger._tending:
        task.cancel()
    await let_the_lease_run_out(aconn)
    assert await processes.reap_ended_processes(dsn, tmp_path) == 1
    await before._renew()
    await before._tasks[-1]
    with pytest.raises(Unavailable):
        await hold(ledger, (rule, 100))
    await ledger.close(timeout_seconds=5)


async def test_a_record_that_this_release_cannot_read_is_set_aside_and_holds_up_no_start(
    dsn: str, tmp_path: Path, aconn: Connection
) -> None:
    """One of a later release, after a way back, lacks or has what this one does not know of."""
    ledger = await start_ledger(dsn, tmp_path)
    rule = await make_rule(aconn, 1000)
    ledger.send(await hold(ledger, (rule, 200)), sent_event(200))
    strange = new_id()
    ledger.process.spool.sent(strange, b'{"id":"%b","cost":7}' % strange.encode())
    ledger.process.spool.flush()
    kill(ledger)
    heir = await start_ledger(dsn, tmp_path)
    assert (await window_of(aconn, rule)).posted == 200
    kept = "SELECT payload FROM rejected_event WHERE event_id = %s"
    assert strange in await one(aconn, kept, strange)
    assert [folder.name for folder in tmp_path.iterdir()] == [heir.process.id]
    await heir.close(timeout_seconds=5)
