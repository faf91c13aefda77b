"""What lies idle in one process serves a call of another, and nobody is refused for its sake."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
from django.conf import settings
from redis.asyncio import Redis

from billing.ledger import draws
from billing.ledger.allowances import Spent
from billing.ledger.holds import Hold
from billing.ledger.ledger import Ledger
from billing.quotas import QuotaRule
from tests.ledger.making import hold, listening, make_rule, start_ledger, window_of

pytestmark = pytest.mark.django_db(transaction=True)
Connection = psycopg.AsyncConnection[Any]


@pytest.fixture
async def ledgers(dsn: str, tmp_path: Path) -> AsyncIterator[list[Ledger]]:
    """Two processes that hear each other, the first with the lower id."""
    client: Redis = Redis.from_url(settings.REDIS_URL)
    await client.flushdb()
    await client.aclose()
    ledgers = [await start_ledger(dsn, tmp_path) for _ in range(2)]
    ledgers.sort(key=lambda ledger: ledger.process.id)
    for ledger in ledgers:
        ledger.process.draws.processes = ledger.process.rates.processes = 2
    async with listening(dsn, ledgers):
        yield ledgers
    for ledger in ledgers:
        await ledger.close(timeout_seconds=5)


async def lay_idle(ledger: Ledger, rule: QuotaRule, amount: int) -> None:
    """Leave something drawn and not used, as a call does that cost less than it held."""
    ledger.forget(await hold(ledger, (rule, amount)))


async def tried(ledger: Ledger, rule: QuotaRule, amount: int) -> Hold | None:
    try:
        return await hold(ledger, (rule, amount))
    except Spent:
        return None


async def test_what_lies_idle_elsewhere_is_given_back_to_a_call_that_lacks_it(
    ledgers: list[Ledger], aconn: Connection
) -> None:
    rule = await make_rule(aconn, 100)
    await lay_idle(ledgers[0], rule, 100)
    assert await tried(ledgers[1], rule, 60) is not None


async def test_however_many_windows_are_lacking_others_can_be_told(
    ledgers: list[Ledger], aconn: Connection
) -> None:
    rule = await make_rule(aconn, 1000)
    await hold(ledgers[0], (rule, 10))
    process = ledgers[0].process
    window = process.allowances.current[rule.id]
    many = [dataclasses.replace(window, window=2**62 + number) for number in range(2000)]
    recalls = process.draws.recalls
    first, second, freed = recalls.lacks(many), recalls.lacks(many), recalls.freed(many)
    for said in (first, second, freed):
        assert said is not None
        await process.draws._say(said)
    assert first != second


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_of_two_that_lack_the_same_one_gives_way(
    order: tuple[int, int], ledgers: list[Ledger], aconn: Connection
) -> None:
    """Each kept what was too little for its own call, and both calls were refused."""
    rule = await make_rule(aconn, 100)
    for ledger in ledgers:
        await lay_idle(ledger, rule, 50)
    found = await asyncio.gather(*(tried(ledgers[n], rule, 80) for n in order))
    assert [held is None for held in found].count(False) == 1
    assert (await window_of(aconn, rule)).drawn <= 100


async def test_who_was_refused_hears_when_something_is_free_again(
    ledgers: list[Ledger], aconn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A window was remembered as spent for a second, whatever came back meanwhile."""
    monkeypatch.setattr(draws, "SPENT_SECONDS", 600.0)
    rule = await make_rule(aconn, 100)
    running = await hold(ledgers[0], (rule, 100))
    assert await tried(ledgers[1], rule, 60) is None
    ledgers[0].forget(running)
    loop = asyncio.get_running_loop()
    ended_at = loop.time()
    while await tried(ledgers[1], rule, 60) is None:
        await asyncio.sleep(0.01)
    # 500 ms are promised, and a busy machine is given some more: not to have heard takes minutes.
    assert loop.time() - ended_at < 10


async def test_all_of_a_rate_can_be_used_though_some_of_it_lies_idle_elsewhere(
    ledgers: list[Ledger], aconn: Connection
) -> None:
    rule = msgspec.structs.replace(await make_rule(aconn, 20), unit="requests", window="minute")
    await lay_idle(ledgers[0], rule, 8)
    found = [await tried(ledgers[1], rule, 1) for _ in range(25)]
    assert [held is None for held in found].count(False) == 20


async def test_a_place_among_the_calls_at_once_is_free_elsewhere_as_soon_as_a_call_ends(
    ledgers: list[Ledger], aconn: Connection
) -> None:
    rule = msgspec.structs.replace(await make_rule(aconn, 1), unit="concurrency", window="none")
    await lay_idle(ledgers[0], rule, 1)
    assert await tried(ledgers[1], rule, 1) is not None
    assert await tried(ledgers[0], rule, 1) is None
