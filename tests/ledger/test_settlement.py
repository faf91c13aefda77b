"""Facts are stored once, whatever is repeated, and every one of them moves its windows."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest

from billing.ledger import late, settlement, settler
from billing.ledger.ledger import Ledger
from billing.usage import UsageEvent
from tests.ledger.making import (
    answer,
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


@pytest.fixture
async def ledger(dsn: str, tmp_path: Path) -> AsyncIterator[Ledger]:
    ledger = await start_ledger(dsn, tmp_path)
    yield ledger
    await ledger.close(timeout_seconds=5)


async def settle_again(ledger: Ledger, connection: Connection, event: UsageEvent) -> None:
    await settlement.settle(
        connection,
        process=ledger.process.id,
        events=[msgspec.json.encode(event)],
        windows=sorted(event.windows),
    )


async def test_a_finished_attempt_becomes_a_fact_and_moves_its_window(
    ledger: Ledger, aconn: Connection
) -> None:
    rule = await make_rule(aconn, 1000)
    event = await spend(ledger, rule, held=500, used=120)
    await ledger.process.settler.drained()
    assert await one(aconn, "SELECT cost_ticks FROM usage_event WHERE id = %s", event.id) == 120
    row = await window_of(aconn, rule)
    assert (row.posted, row.drawn, row.allowances) == (120, 380, 380)
    assert ledger.process.spool.unsettled == 0


async def test_settling_again_changes_nothing(ledger: Ledger, aconn: Connection) -> None:
    rule = await make_rule(aconn, 1000)
    event = await spend(ledger, rule, held=500, used=120)
    await ledger.process.settler.drained()
    before = await window_of(aconn, rule)
    await settle_again(ledger, aconn, event)
    assert await window_of(aconn, rule) == before
    assert await one(aconn, "SELECT count(*) FROM settlement_conflict") == 0
    assert await one(aconn, "SELECT sum(attempts)::int FROM rollup_delta") == 1


async def test_a_contradicting_settlement_is_kept_once_and_not_applied(
    ledger: Ledger, aconn: Connection
) -> None:
    rule = await make_rule(aconn, 1000)
    event = await spend(ledger, rule, held=500, used=120)
    await ledger.process.settler.drained()
    other = msgspec.structs.replace(event, cost_ticks=130, window_amounts=[130])
    await settle_again(ledger, aconn, other)
    await settle_again(ledger, aconn, other)
    assert await one(aconn, "SELECT count(*) FROM settlement_conflict") == 1
    assert (await window_of(aconn, rule)).posted == 120


async def test_more_than_held_is_overrun_and_blocks_nothing(
    ledger: Ledger, aconn: Connection
) -> None:
    rule = await make_rule(aconn, 1000)
    await spend(ledger, rule, held=1000, used=1700)
    await ledger.process.settler.drained()
    row = await window_of(aconn, rule)
    assert (row.posted, row.overrun, row.drawn) == (1000, 700, 0)


async def test_a_row_that_cannot_be_stored_is_set_aside_and_its_neighbours_go_on(
    ledger: Ledger, aconn: Connection
) -> None:
    rule = await make_rule(aconn, 1000)
    for n in range(9):
        claim = await hold(ledger, (rule, 10))
        event = sent_event(10)
        ledger.send(claim, event)
        event.upstream_id = "with a NUL \0" if n == 4 else "chatcmpl-1"
        ledger.finish(claim, answer(event, 10))
    await ledger.process.settler.drained()
    assert await one(aconn, "SELECT count(*) FROM usage_event") == 8
    assert await one(aconn, "SELECT count(*) FROM rejected_event") == 1


async def test_every_batch_posts_what_its_attempts_used(
    ledger: Ledger, aconn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settler, "BATCH", 3)
    rules = [await make_rule(aconn, 1000, scope_id=n) for n in (1, 2)]
    for n in range(20):
        await spend(ledger, rules[n % 2], held=50, used=n)
    assert ledger.process.settler.depth == 20
    await ledger.process.settler.drained()
    assert ledger.process.settler.depth == ledger.process.spool.unsettled == 0
    for rule, used in zip(rules, (sum(range(0, 20, 2)), sum(range(1, 20, 2))), strict=True):
        row = await window_of(aconn, rule)
        (window,) = [w for w in ledger.process.allowances.all() if w.rule is rule]
        assert (row.posted, row.drawn, window.taken) == (used, window.amount, 0)


async def test_the_truth_about_a_captured_attempt_corrects_it_once(
    ledger: Ledger, aconn: Connection
) -> None:
    rule = await make_rule(aconn, 1000)
    claim = await hold(ledger, (rule, 500))
    event = sent_event(500)
    ledger.send(claim, event)
    await settle_again(ledger, aconn, event)
    assert (await window_of(aconn, rule)).posted == 500
    truth = answer(event, 120)
    truth.window_amounts = [120]
    payload = msgspec.json.encode(truth)
    for _ in range(3):
        await late.settle_late(aconn, process=ledger.process.id, events=[payload])
    assert (await window_of(aconn, rule)).posted == 120
    assert await one(aconn, "SELECT sum(cost_ticks)::int FROM rollup_delta") == 120
    assert await one(aconn, "SELECT outcome FROM usage_event") == "unknown"


async def test_attempts_are_numbered_without_gaps(ledger: Ledger, aconn: Connection) -> None:
    rule = await make_rule(aconn, 1000)
    for _ in range(3):
        await spend(ledger, rule, held=10, used=5)
    claim = await hold(ledger, (rule, 10))
    ledger.send(claim, sent_event(10))
    ledger.forget(claim)
    await spend(ledger, rule, held=10, used=5)
    await ledger.process.settler.drained()
    numbers = await one(
        aconn, "SELECT array_agg(process_seq ORDER BY process_seq) FROM usage_event"
    )
    assert numbers == [1, 2, 3, 4]


async def test_a_hold_ends_only_once(ledger: Ledger, aconn: Connection) -> None:
    rule = await make_rule(aconn, 1000)
    claim = await hold(ledger, (rule, 10))
    event = sent_event(10)
    ledger.send(claim, event)
    ledger.finish(claim, answer(event, 5))
    with pytest.raises(RuntimeError, match="ended already"):
        ledger.forget(claim)
