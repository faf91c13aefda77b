"""The book of prices: the newest in effect, a provider's own first, and never a changed one."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import psycopg
import pytest

from accounts.errors import InvalidField
from billing.models import Price
from billing.prices import PriceBook, add_price
from billing.pricing import cost_ticks, parse_prices
from billing.usage import Usage

JANUARY, FEBRUARY, MARCH = (datetime(2026, month, 1, tzinfo=UTC) for month in (1, 2, 3))


def add(at: datetime, price: str, provider: str = "") -> tuple[Price, bool]:
    figures = parse_prices({"input": price, "output": "10"})
    return add_price(model="gpt-4o", provider=provider, effective_from=at, figures=figures)


def input_ticks(book: PriceBook, provider: str, at: datetime) -> int | None:
    price = book.price_for("gpt-4o", provider, at=at.timestamp())
    return None if price is None else cost_ticks(price, Usage(uncached_input=1))


def read(dsn: str) -> PriceBook:
    async def load() -> PriceBook:
        book = PriceBook()
        async with await psycopg.AsyncConnection.connect(dsn) as connection:
            await book.load(connection)
        return book

    return asyncio.run(load())


@pytest.mark.django_db
def test_the_same_price_twice_is_one_row() -> None:
    assert add(JANUARY, "2.50")[1] is True
    assert add(JANUARY, "2.5")[1] is False
    assert Price.objects.count() == 1


@pytest.mark.django_db
def test_another_price_from_the_same_day_is_refused() -> None:
    add(JANUARY, "2.50")
    with pytest.raises(InvalidField, match=r"^effective: .* a price never changes"):
        add(JANUARY, "2.60")


@pytest.mark.django_db(transaction=True)
def test_a_future_price_takes_effect_by_the_clock_alone(dsn: str) -> None:
    add(JANUARY, "1")
    add(MARCH, "3")
    book = read(dsn)
    found = [input_ticks(book, "openai", at) for at in (JANUARY, FEBRUARY, MARCH)]
    assert found == [10_000, 10_000, 30_000]


@pytest.mark.django_db(transaction=True)
def test_a_providers_own_price_goes_before_a_newer_one_for_all(dsn: str) -> None:
    add(JANUARY, "1", provider="azure")
    add(FEBRUARY, "2")
    book = read(dsn)
    assert input_ticks(book, "azure", MARCH) == 10_000
    assert input_ticks(book, "openai", MARCH) == 20_000
    assert input_ticks(book, "openai", JANUARY) is None
    assert book.price_for("o3", "azure", at=MARCH.timestamp()) is None


@pytest.mark.django_db(transaction=True)
def test_tiers_and_buckets_come_back_from_the_row(dsn: str) -> None:
    fields = {
        "input": "3",
        "output": "15",
        "cache_read": "0.30",
        "above": [{"input_tokens": 100, "input": "6"}],
    }
    add_price(model="m", effective_from=JANUARY, figures=parse_prices(fields))
    book = read(dsn)
    price = book.price_for("m", "x", at=MARCH.timestamp())
    assert price is not None
    assert cost_ticks(price, Usage(uncached_input=90, cache_read=10)) == 90 * 60_000 + 10 * 3_000
