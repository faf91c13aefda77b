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

from billing.ledger.allowances import Need, Spent
from billing.ledger.ledger import Ledger
from billing.ledger.rates import connect, key_of
from billing.quotas import QuotaRule
from tests.ledger.making import answer, hold, make_rule, sent_event, start_ledger

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


async def test_calls_at_once_are_freed_when_they_end(ledger: Ledger, aconn: Connection) -> None:
    rule = await rate(aconn, 2, unit="concurrency", window="none")
    first, _ = await hold(ledger, (rule, 1)), await hold(ledger, (rule, 1))
    with pytest.raises(Spent):
        await hold(ledger, (rule, 1))
    event = sent_event(0)
    ledger.send(first, event)
    ledger.finish(first, answer(event, 0))
    await hold(ledger, (rule, 1))


async def test_calls_at_once_of_a_dead_process_stop_counting(
    ledger: Ledger, aconn: Connection, redis: Redis
) -> None:
    rule = await rate(aconn, 1, unit="concurrency", window="none")
    claims = ledger.process.allowances.claims([Need(rule, 1)], now=time.time(), time_zone="UTC")
    ended = int(time.time() * 1000) - 1
    await redis.hset(key_of(claims[0].account), "somebody else", f"1:{ended}")
    await hold(ledger, (rule, 1))


async def test_tokens_above_the_hold_count_against_the_minute(
    ledger: Ledger, aconn: Connection, redis: Redis
) -> None:
    rule = await rate(aconn, 1000, unit="output_tokens")
    claim = await hold(ledger, (rule, 5))
    event = sent_event(0)
    ledger.send(claim, event)
    ledger.finish(claim, answer(event, 0))  # It has 10 output tokens.
    await ledger.process.draws.give_back(everything=True)
    assert await redis.get(key_of(claim.rates[0].account)) == b"10"


async def test_without_redis_each_process_goes_on_with_its_share(
    dsn: str, tmp_path: Path, aconn: Connection
) -> None:
    ledger = await start_ledger(dsn, tmp_path)
    ledger.process.rates._client = connect("redis://127.0.0.1:1/0")
    ledger.process.rates._script = ledger.process.rates._client.register_script("return 1")
    ledger.process.rates.processes = 4
    assert await admitted([ledger], await rate(aconn, 20), 30) == 5
    assert ledger.process.rates.is_away
    await ledger.close(timeout_seconds=5)


async def test_a_refused_rate_takes_nothing_of_the_money(ledger: Ledger, aconn: Connection) -> None:
    money = await make_rule(aconn, 1000)
    rule = await rate(aconn, 0)
    with pytest.raises(Spent) as refused:
        await hold(ledger, (money, 100), (rule, 1))
    assert refused.value.standing.rule.id == rule.id
    assert all(window.held == 0 for window in ledger.process.allowances.all())


def test_the_keys_of_an_organization_share_a_slot_of_a_cluster() -> None:
    from redis.crc import key_slot

    assert key_slot(b"tollgate:{7}:1:0") == key_slot(b"tollgate:{7}:2:now")
