"""Prices as rows: the book that gateways keep in memory, and the one way to add to it.

A price is never changed: a new one begins at a later time. The book holds future prices too, so
they take effect by the clock without being read again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import psycopg

from accounts.errors import InvalidField
from billing import models
from billing.pricing import PRICES, Figures, Price, make_price

if TYPE_CHECKING:
    from accounts.changes import Change


class PriceBook:
    """Every price there is, for look-up by model, provider and time."""

    kinds = frozenset({"price"})

    def __init__(self) -> None:
        self._prices: dict[tuple[str, str], list[Price]] = {}

    def price_for(self, model: str, provider: str, *, at: float) -> Price | None:
        """Return the newest price that is in effect `at` (Unix seconds), or None.

        One for this provider goes before any for all providers, whichever is newer.
        """
        for name in (provider, ""):
            for price in self._prices.get((model, name), ()):
                if price.effective_from <= at:
                    return price
        return None

    def changes_at(self, model: str, provider: str, *, after: float) -> float:
        """Return when the next price of a model begins, in Unix seconds; infinity for never."""
        prices = [*self._prices.get((model, provider), ()), *self._prices.get((model, ""), ())]
        coming = (p.effective_from for p in prices if p.effective_from > after)
        return min(coming, default=math.inf)

    async def load(self, connection: psycopg.AsyncConnection[Any]) -> None:
        cursor = await connection.execute(_READ)
        prices: dict[tuple[str, str], list[Price]] = {}
        for id_, model, provider, effective_from, tiers, *ticks in await cursor.fetchall():
            price = make_price(
                id=id_,
                model=model,
                provider=provider,
                effective_from=effective_from.timestamp(),
                ticks=dict(zip(PRICES, ticks, strict=True)),
                tiers=tiers,
            )
            prices.setdefault((model, provider), []).append(price)
        self._prices = prices

    async def refresh(
        self, connection: psycopg.AsyncConnection[Any], changes: Sequence[Change]
    ) -> None:
        """Read all of them again: there are few, and they change rarely."""
        await self.load(connection)


_READ = f"""
SELECT id, model, provider, effective_from, tiers, {", ".join(PRICES)}
FROM price ORDER BY effective_from DESC
"""  # noqa: S608 - the names are constants.


def add_price(
    *, model: str, provider: str = "", effective_from: datetime, figures: Figures
) -> tuple[models.Price, bool]:
    """Add a price unless the very same one is there; return it and whether it was added.

    `provider` empty is for any provider. Raises InvalidField where another price begins at the
    same time: prices that were charged stay what they were.
    """
    price, is_new = models.Price.objects.get_or_create(
        model=model,
        provider=provider,
        effective_from=effective_from,
        defaults={**figures.ticks, "tiers": figures.tiers},
    )
    if not is_new and figures_of(price) != figures:
        raise InvalidField(
            "effective",
            f"{model} has another price from {effective_from.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
            " on, and a price never changes: let the new one begin later",
        )
    return price, is_new


def figures_of(price: models.Price) -> Figures:
    """Return what a row says, as parse_prices returns what a declaration says."""
    ticks = {name: getattr(price, name) for name in PRICES if getattr(price, name) is not None}
    return Figures(ticks, price.tiers)
