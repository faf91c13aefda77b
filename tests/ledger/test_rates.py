"""Rates in Redis: within their limit over all processes, and on a share of it without Redis."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
from django.conf import settings
from redis.asyncio import Redis

from billing.ledger.allowances import Spent
from billing.ledger.bundles import Bundle
from billing.ledger.core import NOT_DRAWN
from billing.ledger.ledger import Ledger
from billing.ledger.rates import TELL, connect, key_of
from billing.quotas import QuotaRule
from tests.ledger.making import NOW, answer, hold, make_rule, sent_event, start_ledger

pytestmark = pytest.mark.django_db(transaction=True)
Connection = psycopg.AsyncConnection[Any]


@pytest.fixture
async def redis() -> AsyncIterator[Redis]:
    client: Redis = Redis.from_url(settings.REDIS_URL)
    await client.flushdb()
    yield client
    await client.aclose()


@pytest.fixture
async def ledger(dsn: str, tmp_path: Path, redis: Redis) -> AsyncIterator[Ledger]:
    ledger = await start_ledger(dsn, tmp_path)
    yield ledger
    await ledger.close(timeout_seconds=5)


async def rate(
    connection: Connection, limit: int, *, unit: str = "requests", window: str = "minute"
) -> QuotaRule:
    rule = await make_rule(connection, limit, scope_id=99)
    return msgspec.structs.replace(rule, unit=unit, window=window)


async def admitted(ledgers: list[Ledger], rule: QuotaRule, calls: int) -> int:
    async def call(n: int) -> bool:
        try:
            await hold(ledgers[n % len(ledgers)], (rule, 1))
        except Spent:
            return False
        return True

    return sum(await asyncio.gather(*map(call, range(calls))))


async def test_no_more_requests_than_the_limit_pass_in_a_minute(
    dsn: str, tmp_path: Path, aconn: Connection, redis: Redis
) -> None:
    ledgers = [await start_ledger(dsn, tmp_path) for _ in range(3)]
    rule = await rate(aconn, 20)
    assert await admitted(ledgers, rule, 60) <= 20
    for ledger in ledgers:
        await ledger.close(timeout_seconds=5)


async def test_one_process_may_use_the_whole_rate(ledger: Ledger, aconn: Connection) -> None:
    assert await admitted([ledger], await rate(aconn, 20), 30) == 20


async def test_a_call_on_its_way_at_a_change_brings_the_former_limit_back_for_nobody(
    ledger: Ledger, aconn: Connection
) -> None:
    """It was found before the change and holds after it; the lanes made since go on as they are."""
    lowered = await rate(aconn, 1, unit="concurrency", window="none")
    late, since = Bundle([msgspec.structs.replace(lowered, limit=10)]), Bundle([lowered])
    await ledger.hold(since, [1], now=time.time(), time_zone="UTC")
    await ledger.hold(late, [1], now=time.time(), time_zone="UTC")
    with pytest.raises(Spent):
        await ledger.hold(since, [1], now=time.time(), time_zone="UTC")


async def test_calls_at_once_are_freed_when_they_end(ledger: Ledger, aconn: Connection) -> None:
    rule = await rate(aconn, 2, unit="concurrency", window="none")
    first, _ = await hold(ledger, (rule, 1)), await hold(ledger, (rule, 1))
    with pytest.raises(Spent):
        await hold(ledger, (rule, 1))
    event = sent_event(0)
    ledger.send(first, event)
    ledger.finish(first, answer(event, 0))
    await hold(ledger, (rule, 1))


async def test_a_look_at_calls_at_once_never_hides_one_that_begins_meanwhile(
    ledger: Ledger, dsn: str, tmp_path: Path, aconn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = await rate(aconn, 2, unit="concurrency", window="none")
    await hold(ledger, (rule, 1))
    rates = ledger.process.rates
    evaluate, is_asked, may_go_on = rates._evaluate, asyncio.Event(), asyncio.Event()

    async def evaluate_late(script: str, calls: Any) -> list[Any]:
        if script == TELL:
            is_asked.set()
            await may_go_on.wait()
        return await evaluate(script, calls)

    monkeypatch.setattr(rates, "_evaluate", evaluate_late)
    looking = asyncio.create_task(ledger.standing([rule], now=NOW, time_zone="UTC"))
    await is_asked.wait()
    beginning = asyncio.create_task(hold(ledger, (rule, 1)))
    await asyncio.wait([beginning], timeout=0.02)
    may_go_on.set()
    await asyncio.gather(looking, beginning)

    other = await start_ledger(dsn, tmp_path)
    with pytest.raises(Spent):
        await hold(other, (rule, 1))
    await other.close(timeout_seconds=5)


async def test_what_was_drawn_for_a_call_is_not_given_back_before_it_has_its_money(
    ledger: Ledger, aconn: Connection
) -> None:
    """The one of two rounds with Redis that waits for the other knows too little of who waits."""
    rule = await rate(aconn, 2, unit="concurrency", window="none")
    claim = await hold(ledger, (rule, 1))
    ledger.forget(claim)
    ((window, _),) = claim.rates
    rates = ledger.process.rates
    async with rates._turn:
        tending = asyncio.create_task(rates.tend([], [window]))
        await asyncio.sleep(0)
        window.waiting += 1
    await tending
    assert window.free == 1
    window.waiting -= 1
    await rates.tend([], [window])
    assert window.free == 0


async def test_calls_at_once_of_a_dead_process_stop_counting(
    ledger: Ledger, aconn: Connection, redis: Redis
) -> None:
    rule = await rate(aconn, 1, unit="concurrency", window="none")
    (window,) = ledger.process.allowances.find(Bundle([rule]), now=NOW, time_zone="UTC")
    ended = int(time.time() * 1000) - 1
    await redis.hset(key_of(window), "somebody else", f"1:{ended}")
    await hold(ledger, (rule, 1))


async def test_tokens_above_the_hold_count_against_the_minute(
    ledger: Ledger, aconn: Connection, redis: Redis
) -> None:
    rule = await rate(aconn, 1000, unit="output_tokens")
    claim = await hold(ledger, (rule, 5))
    event = sent_event(0)
    ledger.send(claim, event)
    ledger.finish(claim, answer(event, 0))  # It has 10 output tokens.
    await ledger.process.rates.tend([], [])
    assert await redis.get(key_of(claim.rates[0][0])) == b"10"


async def test_without_redis_each_process_goes_on_with_its_share(
    dsn: str, tmp_path: Path, aconn: Connection
) -> None:
    ledger = await start_ledger(dsn, tmp_path)
    ledger.process.rates._client = connect("redis://127.0.0.1:1/0")
    ledger.process.rates.processes = 4
    assert await admitted([ledger], await rate(aconn, 20), 30) == 5
    assert ledger.process.rates.is_away
    await ledger.close(timeout_seconds=5)


async def test_calls_wait_for_a_redis_that_is_away_no_second_time(
    ledger: Ledger, aconn: Connection
) -> None:
    """Every second a call waited for it once more, and with it all that had to draw just then."""
    rates, rule = ledger.process.rates, await rate(aconn, 1000)
    there = rates._client
    rates._client = connect("redis://127.0.0.1:1/0")
    await hold(ledger, (rule, 1))
    assert rates.is_away
    rates._client = there
    await hold(ledger, (rule, 1))
    assert (rates.is_away, rates.rounds) == (True, 0)
    await rates.tend([], [])
    await hold(ledger, (rule, 500))
    assert (rates.is_away, rates.rounds) == (False, 1)


async def test_a_refused_rate_takes_nothing_of_the_money(ledger: Ledger, aconn: Connection) -> None:
    money = await make_rule(aconn, 1000)
    rule = await rate(aconn, 0)
    with pytest.raises(Spent) as refused:
        await hold(ledger, (money, 100), (rule, 1))
    assert refused.value.standing.rule.id == rule.id
    assert all(window.taken == 0 for window in ledger.process.allowances.all())


def test_the_keys_of_an_organization_share_a_slot_of_a_cluster() -> None:
    from redis.crc import key_slot

    assert key_slot(b"tollgate:{7}:1:0") == key_slot(b"tollgate:{7}:2:now")


async def test_what_goes_back_to_a_redis_that_forgot_makes_no_room(
    ledger: Ledger, aconn: Connection, redis: Redis
) -> None:
    """The count of a window went below nothing, and so many more calls passed."""
    rule = await rate(aconn, 100)
    for _ in range(3):
        await hold(ledger, (rule, 1))
    (window,) = ledger.process.allowances.in_use
    assert window.free > 0
    await redis.flushdb()
    await ledger.process.rates.tend([window], [window])
    assert window.free == 0
    assert int(await redis.get(key_of(window)) or 0) == 0


async def test_a_window_that_is_over_is_not_brought_back(
    ledger: Ledger, aconn: Connection, redis: Redis
) -> None:
    rule = await rate(aconn, 100)
    await hold(ledger, (rule, 1))
    (window,) = ledger.process.allowances.in_use
    ledger.process.rates.note_extra(window, 5)
    await redis.flushdb()
    window.ends_at_unix = time.time() - 60
    await ledger.process.rates.tend([window], [])
    assert await redis.keys("tollgate:*") == []


async def test_scripts_that_redis_forgot_are_loaded_again(
    ledger: Ledger, aconn: Connection, redis: Redis
) -> None:
    rule = await rate(aconn, 1000)
    await hold(ledger, (rule, 1))
    await redis.script_flush()
    await hold(ledger, (rule, 500))
    assert not ledger.process.rates.is_away


async def test_one_round_serves_calls_of_many_organizations(
    ledger: Ledger, aconn: Connection, redis: Redis
) -> None:
    base = await rate(aconn, 2)
    rules = [msgspec.structs.replace(base, id=1000 + n, organization=n) for n in range(20)]
    results = await asyncio.gather(
        *(admitted([ledger], rule, 3) for rule in rules), return_exceptions=True
    )
    assert results == [2] * 20
    assert len(await redis.keys("tollgate:*")) == 20


async def test_requests_that_are_only_observed_are_counted_when_they_end(
    ledger: Ledger, aconn: Connection, redis: Redis
) -> None:
    rule = msgspec.structs.replace(await rate(aconn, 1), mode="observe")
    for _ in range(3):
        claim = await hold(ledger, (rule, NOT_DRAWN))
        event = sent_event(0)
        ledger.send(claim, event)
        ledger.finish(claim, answer(event, 0))
    await ledger.process.rates.tend([], [])
    (standing,) = await ledger.standing([rule], now=NOW, time_zone="UTC")
    assert (standing.used, standing.held, standing.limit) == (3, 0, 1)


async def test_calls_at_once_that_are_only_observed_are_counted_while_they_run(
    dsn: str, tmp_path: Path, ledger: Ledger, aconn: Connection
) -> None:
    rule = await rate(aconn, 1, unit="concurrency", window="none")
    rule = msgspec.structs.replace(rule, mode="observe")
    holds = [await hold(ledger, (rule, 1)) for _ in range(3)]
    await ledger.process._give_back_rates()
    other = await start_ledger(dsn, tmp_path)
    (seen,) = await other.standing([rule], now=NOW, time_zone="UTC")
    assert (seen.used, seen.held) == (0, 3)
    for each in holds:
        ledger.forget(each)
    (seen,) = await ledger.standing([rule], now=NOW, time_zone="UTC")
    assert (seen.used, seen.held) == (0, 0)
    await other.close(timeout_seconds=5)


async def test_calls_at_once_that_come_to_be_limited_keep_the_places_of_those_that_run(
    ledger: Ledger, aconn: Connection, redis: Redis
) -> None:
    rule = await rate(aconn, 3, unit="concurrency", window="none")
    observed = msgspec.structs.replace(rule, mode="observe")
    holds = [await hold(ledger, (observed, 1)) for _ in range(2)]
    await hold(ledger, (rule, 1))
    with pytest.raises(Spent) as refused:
        await hold(ledger, (rule, 1))
    assert (refused.value.standing.used, refused.value.standing.held) == (0, 3)
    ledger.forget(holds[0])
    await hold(ledger, (rule, 1))


async def test_a_rate_stands_as_all_processes_have_drawn_of_it(
    dsn: str, tmp_path: Path, ledger: Ledger, aconn: Connection, redis: Redis
) -> None:
    rule = await rate(aconn, 20)
    other = await start_ledger(dsn, tmp_path)
    await hold(other, (rule, 4))
    claim = await hold(ledger, (rule, 3))
    (standing,) = await ledger.standing([rule], now=NOW, time_zone="UTC")
    assert (standing.used, standing.held, standing.limit) == (4, 3, 20)
    ledger.forget(claim)
    (standing,) = await ledger.standing([rule], now=NOW, time_zone="UTC")
    assert (standing.used, standing.held) == (4, 0)
    await other.close(timeout_seconds=5)
