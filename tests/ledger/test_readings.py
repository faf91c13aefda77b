"""How windows stand is read once for all who ask at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest

from billing.ledger.allowances import Standing
from billing.ledger.ledger import Ledger
from billing.quotas import QuotaRule
from tests.ledger.making import NOW, make_rule, spend, start_ledger

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
async def ledger(dsn: str, tmp_path: Path) -> AsyncIterator[Ledger]:
    ledger = await start_ledger(dsn, tmp_path)
    yield ledger
    await ledger.close(timeout_seconds=5)


async def test_those_who_ask_at_once_share_a_reading(
    ledger: Ledger, aconn: psycopg.AsyncConnection[Any]
) -> None:
    rules = [await make_rule(aconn, 1000, scope_id=n) for n in (1, 2, 3)]
    for used, rule in enumerate(rules, start=10):
        await spend(ledger, rule, held=100, used=used)
    await ledger.process.settler.drained()
    rate = msgspec.structs.replace(rules[0], id=99, unit="requests", window="minute")

    async def ask(*some: QuotaRule) -> list[Standing]:
        return await ledger.standing(some, now=NOW, time_zone="UTC")

    asked = [(rules[n % 3], rules[(n + 1) % 3], rate) for n in range(60)]
    answers = await asyncio.gather(*(ask(*some) for some in asked))
    spent = {rules[n].id: 10 + n for n in range(3)}
    for some, answer in zip(asked, answers, strict=True):
        assert [standing.rule for standing in answer] == list(some)
        assert [standing.used for standing in answer[:2]] == [spent[rule.id] for rule in some[:2]]
    process = ledger.process
    assert (process.stored_readings.made, process.rate_readings.made) == (1, 1)
