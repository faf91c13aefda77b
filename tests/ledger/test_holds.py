"""Holds against the real database: exactly what fits is admitted, by however many processes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from billing.ledger import allowances, core
from billing.ledger.allowances import Spent
from billing.ledger.core import Want, WindowState, decide_draws
from billing.ledger.holds import Hold
from billing.ledger.ledger import Ledger
from tests.ledger.making import (
    answer,
    eventually,
    hold,
    listening,
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


async def test_a_hold_draws_exactly_its_need(ledger: Ledger, aconn: Connection) -> None:
    rule = await make_rule(aconn, 1000)
    await hold(ledger, (rule, 300))
    row = await window_of(aconn, rule)
    assert (row.posted, row.drawn, row.allowances) == (0, 300, 300)


async def test_what_a_call_left_over_serves_the_next_without_a_draw(
    ledger: Ledger, aconn: Connection
) -> None:
    rule = await make_rule(aconn, 1000)
    await spend(ledger, rule, held=500, used=100)
    draws = ledger.process.draws.draws
    await hold(ledger, (rule, 400))
    assert ledger.process.draws.draws == draws


async def test_a_loop_that_stood_still_reads_the_answer_before_a_call_gives_up(
    ledger: Ledger, aconn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a busy machine the time was up before anybody had looked at what the database said."""
    monkeypatch.setattr(allowances, "WAIT_SECONDS", 0.2)
    monkeypatch.setattr(allowances, "LAST_LOOK_SECONDS", 5.0)
    rule = await make_rule(aconn, 1000)
    call = asyncio.create_task(hold(ledger, (rule, 300)))
    while not ledger.process.allowances.queue:
        await asyncio.sleep(0)
    time.sleep(0.3)
    assert (await call).is_open


async def test_a_limit_of_zero_refuses_all(ledger: Ledger, aconn: Connection) -> None:
    rule = await make_rule(aconn, 0)
    with pytest.raises(Spent) as refused:
        await hold(ledger, (rule, 1))
    assert refused.value.standing.used == 0
    assert refused.value.needed == 1


async def test_a_refusal_tells_what_is_used_and_held(ledger: Ledger, aconn: Connection) -> None:
    rule = await make_rule(aconn, 1000)
    await spend(ledger, rule, held=300, used=300)
    await hold(ledger, (rule, 500))
    with pytest.raises(Spent) as refused:
        await hold(ledger, (rule, 300))
    standing = refused.value.standing
    assert standing.used + standing.held == 800


async def test_without_a_limit_everything_is_counted_and_nothing_refused(
    ledger: Ledger, aconn: Connection
) -> None:
    rule = await make_rule(aconn, None)
    claim = await hold(ledger, (rule, core.NOT_DRAWN), now=0)
    event = sent_event(700)
    ledger.send(claim, event)
    ledger.finish(claim, answer(event, 650))
    await ledger.process.settler.drained()
    row = await window_of(aconn, rule)
    assert (row.posted, row.overrun, row.drawn) == (650, 0, 0)


async def test_a_call_that_is_only_counted_and_those_that_draw_beside_it_are_all_admitted(
    ledger: Ledger, aconn: Connection
) -> None:
    """Who drew nothing had no answer in a round of draws, and all of the round were refused."""
    counted, narrow = await make_rule(aconn, None), await make_rule(aconn, 100, scope_id=2)
    calls = [
        hold(ledger, (narrow, 60)),
        hold(ledger, (counted, core.NOT_DRAWN)),
        hold(ledger, (narrow, 60)),
        hold(ledger, (narrow, 30)),
    ]
    first, second, third, fourth = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(third, Spent)
    assert all(isinstance(each, Hold) for each in (first, second, fourth))


async def test_a_call_whose_draw_served_another_is_drawn_for_again(
    ledger: Ledger, aconn: Connection
) -> None:
    """It was refused with 503 where one before it, refused by then, took what was freed meanwhile
    and what was drawn for this one."""
    narrow, wide = await make_rule(aconn, 100), await make_rule(aconn, 1000, scope_id=2)
    before = await hold(ledger, (narrow, 100), (wide, 1))
    async with aconn.transaction():
        window = "SELECT 1 FROM quota_window WHERE quota_id = %s FOR UPDATE"
        await aconn.execute(window, [wide.id])
        first = asyncio.create_task(hold(ledger, (narrow, 100), (wide, 300)))
        second = asyncio.create_task(hold(ledger, (wide, 300)))
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"

        async def is_drawing() -> bool:
            return bool(await one(aconn, waiting))

        await eventually(is_drawing)
        ledger.forget(before)
    assert (await first).is_open
    assert (await second).is_open


async def test_all_quotas_of_a_call_are_held_or_none(ledger: Ledger, aconn: Connection) -> None:
    wide, narrow = await make_rule(aconn, 1000), await make_rule(aconn, 100, scope_id=2)
    with pytest.raises(Spent) as refused:
        await hold(ledger, (wide, 200), (narrow, 200))
    assert refused.value.standing.rule.id == narrow.id
    assert (await window_of(aconn, wide)).drawn == 0


async def test_exactly_fifty_of_sixty_calls_fit_over_four_processes(
    dsn: str, tmp_path: Path, aconn: Connection
) -> None:
    ledgers = [await start_ledger(dsn, tmp_path) for _ in range(4)]
    key, organization = await make_rule(aconn, 5000), await make_rule(aconn, 6000, scope_id=2)
    orders = [(key, organization), (organization, key)]

    async def call(n: int) -> bool:
        first, second = orders[n % 2]
        try:
            await hold(ledgers[n % 4], (first, 100), (second, 100))
        except Spent:
            return False
        return True

    async with listening(dsn, ledgers):
        assert sum(await asyncio.gather(*map(call, range(60)))) == 50
    assert (await window_of(aconn, key)).drawn == 5000
    for ledger in ledgers:
        await ledger.close(timeout_seconds=5)


async def test_idle_allowance_goes_back(ledger: Ledger, aconn: Connection) -> None:
    rule = await make_rule(aconn, 1000)
    await spend(ledger, rule, held=900, used=100)

    async def only_the_use_is_left() -> bool:
        row = await window_of(aconn, rule)
        return (row.posted, row.drawn) == (100, 0)

    await eventually(only_the_use_is_left, seconds=8)


async def test_a_lowered_limit_refuses_new_calls_and_leaves_the_ceiling(
    ledger: Ledger, aconn: Connection
) -> None:
    rule = await make_rule(aconn, 1000)
    await hold(ledger, (rule, 600))
    await aconn.execute('UPDATE quota SET "limit" = 100 WHERE id = %s', [rule.id])
    assert await one(aconn, "SELECT ceiling FROM quota_window WHERE quota_id = %s", rule.id) == 1000
    with pytest.raises(Spent):
        await hold(ledger, (rule, 50))


async def test_the_database_itself_refuses_to_overdraw(ledger: Ledger, aconn: Connection) -> None:
    rule = await make_rule(aconn, 1000)
    await hold(ledger, (rule, 1000))
    with pytest.raises(psycopg.errors.CheckViolation):
        await aconn.execute(
            "UPDATE quota_window SET drawn = drawn + 1 WHERE quota_id = %s", [rule.id]
        )


@pytest.mark.parametrize("seed", range(25))
async def test_the_sql_draws_as_its_model_does(
    ledger: Ledger, aconn: Connection, seed: int
) -> None:
    import random

    chance = random.Random(seed)
    count = chance.randint(1, 4)
    states = [
        WindowState(
            limit=chance.choice([None, chance.randint(0, 1000)]),
            posted=chance.randint(0, 300),
            overrun=chance.randint(0, 50),
            drawn=chance.randint(0, 300),
        )
        for _ in range(count)
    ]
    ids = []
    for n, state in enumerate(states):
        rule = await make_rule(aconn, state.limit, scope_id=n + 1)
        ids.append(
            await one(
                aconn,
                'INSERT INTO quota_window (quota_id, starts_at, ends_at, "limit", posted,'
                " overrun, drawn) VALUES (%s, now(), now(), %s, %s, %s, %s) RETURNING id",
                rule.id,
                state.limit,
                state.posted,
                state.overrun,
                state.drawn,
            )
        )
    spare = [chance.randint(-10, 100) for _ in states]
    waiters = [
        [
            Want(p, need := chance.randint(0, 300), need + chance.randint(0, 200))
            for p in sorted(chance.sample(range(count), chance.randint(1, count)))
        ]
        for _ in range(chance.randint(1, 6))
    ]
    processes = chance.randint(1, 3)
    flat = [(n, *want) for n, wants in enumerate(waiters, start=1) for want in wants]
    cursor = await aconn.execute(
        "SELECT granted, refused_by FROM ledger_draw(%s, %s, %s, %s, %s, %s, %s, %s)",
        [
            ledger.process.id,
            ids,
            spare,
            [n for n, _, _, _ in flat],
            [position + 1 for _, position, _, _ in flat],
            [need for _, _, need, _ in flat],
            [want for _, _, _, want in flat],
            processes,
        ],
    )
    model = decide_draws(states, spare, waiters, processes=processes)
    refused = [0 if position is None else position + 1 for position in model.refused_by]
    assert await cursor.fetchone() == (model.granted, refused)


async def test_the_sql_takes_nothing_where_a_window_over_its_limit_is_to_be_filled_up(
    ledger: Ledger, aconn: Connection
) -> None:
    rule = await make_rule(aconn, 10)
    window = await one(
        aconn,
        'INSERT INTO quota_window (quota_id, starts_at, ends_at, "limit", posted, overrun, drawn)'
        " VALUES (%s, now(), now(), 10, 10, 4, 0) RETURNING id",
        rule.id,
    )
    draw = "SELECT granted FROM ledger_draw(%s, %s, '{-2}', '{1}', '{1}', '{0}', '{0}', 1)"
    assert await one(aconn, draw, ledger.process.id, [window]) == [0]


async def test_a_busy_window_is_filled_up_before_calls_have_to_wait(
    ledger: Ledger, aconn: Connection
) -> None:
    rule = await make_rule(aconn, 10**9)
    for _ in range(2):  # The first draw brings the need, the second one much more.
        await spend(ledger, rule, held=10, used=10)
    own = ledger.process.allowances
    waits = own.waits
    for _ in range(300):
        await spend(ledger, rule, held=10, used=10)
        while own.queue or own.round_started:  # As long as the database takes.
            await asyncio.sleep(0.001)
    assert own.waits == waits
    assert ledger.process.draws.draws < 20


async def test_windows_that_are_used_together_are_filled_up_together(
    ledger: Ledger, aconn: Connection
) -> None:
    rules = [await make_rule(aconn, 10**9, scope_id=n) for n in range(3)]
    await spend(ledger, rules[1], held=1, used=1)
    for _ in range(200):
        claim = await hold(ledger, *((rule, 10) for rule in rules))
        event = sent_event(10)
        ledger.send(claim, event)
        ledger.finish(claim, answer(event, 10))
    assert ledger.process.draws.draws < 10


async def test_a_call_that_needs_nothing_fills_up_nothing(
    ledger: Ledger, aconn: Connection
) -> None:
    """A draw from no window is none that the database knows: it named draws as failing."""
    rule = await make_rule(aconn, 10**9)
    for _ in range(2):
        await spend(ledger, rule, held=10, used=10)
    process = ledger.process
    await process.draws.give_back(everything=True)
    window = process.allowances.current[rule.id]
    assert window.low > window.free
    await hold(ledger, (rule, 0))
    assert not process.allowances.queue
    await hold(ledger, (rule, 10))
    assert not process.draws.failing


async def test_a_call_that_is_cancelled_when_it_has_its_hold_gives_it_back(
    ledger: Ledger, aconn: Connection
) -> None:
    rule = await make_rule(aconn, 1000)
    call = asyncio.create_task(hold(ledger, (rule, 600)))
    allowances = ledger.process.allowances
    while not allowances.queue:
        await asyncio.sleep(0)
    window = allowances.current[rule.id]
    while not window.taken:
        await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert (window.taken, window.free) == (0, 600)
