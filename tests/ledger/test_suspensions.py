"""An attempt above its bound suspends its route for strict quotas, once, until acknowledged."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest

from accounts.errors import InvalidField
from billing.ledger import late, processes
from billing.ledger.ledger import Ledger
from billing.models import RouteSuspension
from billing.suspensions import SuspensionBook, acknowledge, suspend_routes
from tests.billing.facts import make_event
from tests.calls.serving import in_django
from tests.ledger.making import (
    answer,
    hold,
    make_rule,
    one,
    open_window,
    sent_event,
    spend,
    start_ledger,
)
from tests.ledger.test_processes import kill

pytestmark = pytest.mark.django_db(transaction=True)
Connection = psycopg.AsyncConnection[Any]
ROUTE = {"model": "gpt-4o", "provider": "openai", "upstream_model": "gpt-4o-2024-08-06"}


@pytest.fixture
async def ledger(dsn: str, tmp_path: Path) -> AsyncIterator[Ledger]:
    ledger = await start_ledger(dsn, tmp_path)
    yield ledger
    await ledger.close(timeout_seconds=5)


async def suspensions(connection: Connection) -> int:
    found = await one(connection, "SELECT count(*) FROM route_suspension")
    return int(found)


async def acknowledge_all(note: str = "the price was too low") -> int:
    def run() -> int:
        return sum(acknowledge(each, note=note) for each in RouteSuspension.objects.all())

    return await in_django(run)


async def test_an_attempt_within_its_hold_suspends_nothing(
    ledger: Ledger, aconn: Connection
) -> None:
    await spend(ledger, await make_rule(aconn, 1000), held=500, used=500)
    await ledger.process.settler.drained()
    assert await suspensions(aconn) == 0


async def test_an_overrun_suspends_its_route_once_and_every_process_learns_of_it(
    ledger: Ledger, aconn: Connection
) -> None:
    rule = await make_rule(aconn, 1000)
    head = await one(aconn, "SELECT coalesce(max(seq), 0) FROM change_log")
    for _ in range(3):
        await spend(ledger, rule, held=100, used=170)
        await ledger.process.settler.drained()
    assert await suspensions(aconn) == 1
    kinds = "SELECT array_agg(kind) FROM change_log WHERE seq > %s"
    assert await one(aconn, kinds, head) == ["route_suspension"]
    book = SuspensionBook()
    await book.load(aconn)
    assert book.covers(**ROUTE)
    assert not book.covers(**{**ROUTE, "provider": "other"})


async def test_after_it_was_acknowledged_the_next_overrun_suspends_anew(
    ledger: Ledger, aconn: Connection
) -> None:
    rule = await make_rule(aconn, 1000)
    await spend(ledger, rule, held=100, used=170)
    await ledger.process.settler.drained()
    assert await acknowledge_all() == 1
    assert await acknowledge_all() == 0
    book = SuspensionBook()
    await book.load(aconn)
    assert not book
    await spend(ledger, rule, held=100, used=170)
    await ledger.process.settler.drained()
    await book.load(aconn)
    assert book.covers(**ROUTE)
    assert await suspensions(aconn) == 2


async def test_the_replay_of_an_overrun_that_was_acknowledged_suspends_nothing(
    ledger: Ledger, aconn: Connection
) -> None:
    event = await spend(ledger, await make_rule(aconn, 1000), held=100, used=170)
    await ledger.process.settler.drained()
    await acknowledge_all()
    await suspend_routes(aconn, [event])
    await late.settle_late(aconn, process=event.process, events=[msgspec.json.encode(event)])
    assert await suspensions(aconn) == 1


async def test_a_strict_quota_of_tokens_counts_as_one_of_cost_does(aconn: Connection) -> None:
    for hold_kind, expected in (("bounded", 0), ("strict", 1)):
        rule = await make_rule(aconn, 1000, scope_id=expected)
        await aconn.execute("UPDATE quota SET hold = %s WHERE id = %s", [hold_kind, rule.id])
        window = await open_window(aconn, rule)
        event = make_event(windows=[window], window_amounts=[9], window_holds=[8])
        await suspend_routes(aconn, [event])
        assert await suspensions(aconn) == expected


async def test_without_a_price_there_was_no_bound_to_be_wrong(aconn: Connection) -> None:
    await suspend_routes(aconn, [make_event(price_version=None, held_ticks=0, cost_ticks=5)])
    assert await suspensions(aconn) == 0


async def test_a_dead_process_leaves_its_overrun_in_the_spool(
    dsn: str, tmp_path: Path, aconn: Connection
) -> None:
    ledger = await start_ledger(dsn, tmp_path)
    rule = await make_rule(aconn, 1000)
    claim = await hold(ledger, (rule, 100))
    event = sent_event(100)
    ledger.send(claim, event)
    for task in ledger.process._tasks:
        task.cancel()
    ledger.finish(claim, answer(event, 170))
    kill(ledger)
    assert await processes.reap_ended_processes(dsn, tmp_path) == 1
    assert await suspensions(aconn) == 1


async def test_a_truth_above_what_was_captured_suspends_once(
    ledger: Ledger, aconn: Connection
) -> None:
    event = sent_event(100)
    captured, truth = msgspec.json.encode(event), msgspec.json.encode(answer(event, 170))
    for payload in (captured, truth, truth):
        await late.settle_late(aconn, process=event.process, events=[payload])
        await acknowledge_all()
    assert await suspensions(aconn) == 1


async def test_an_overrun_that_cannot_be_stored_holds_up_nobody(
    ledger: Ledger, aconn: Connection
) -> None:
    rule = await make_rule(aconn, 1000)
    for model in ("with a NUL \0", "gpt-4o"):
        claim = await hold(ledger, (rule, 100))
        event = sent_event(100)
        ledger.send(claim, event)
        event.model = model
        ledger.finish(claim, answer(event, 170))
    await ledger.process.settler.drained()
    assert await suspensions(aconn) == 1
    assert await one(aconn, "SELECT count(*) FROM rejected_event") == 1


def test_a_note_that_is_too_long_is_refused() -> None:
    suspension = RouteSuspension(pk=1)
    with pytest.raises(InvalidField, match="note"):
        acknowledge(suspension, note="x" * 201)
