"""Whether a quota is large enough for a single call: what a call without max_tokens may come to.

A quota that is smaller refuses such calls (`hold_exceeds_limit`), or cuts their answers short where
it may (`clamp`). The figures are the bounds that gateways hold, of a short prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from billing.models import Price as PriceRow
from billing.models import Quota
from billing.prices import figures_of
from billing.pricing import Price, bound_ticks, make_price
from billing.quotas import show_amount
from gateway.models import Model

PROMPT_TOKENS = 100
# What a quota that holds an expectation holds of the bound.
EXPECTED_PART = 4


class Largest(NamedTuple):
    """The longest answer of a model, and what its tokens cost at most."""

    model: str
    output_tokens: int
    price: Price | None


def read_largest() -> list[Largest]:
    """Return the largest call of each model that can be called, by the prices of now."""
    models = Model.objects.filter(enabled=True, routes__enabled=True).distinct()
    now = datetime.now(UTC)
    rows = PriceRow.objects.filter(effective_from__lte=now).order_by("effective_from")
    newest = {row.model: row for row in rows}
    return [
        Largest(
            model.name,
            min(model.max_output_tokens, model.context_window),
            _read_price(newest[model.name]) if model.name in newest else None,
        )
        for model in models
    ]


def warn(quota: Quota, added: int, largest: Sequence[Largest]) -> str:
    """Return a sentence where a call of some model is larger than the whole quota; else ''."""
    if quota.limit is None or quota.mode != "enforce" or quota.limit + added == 0:
        return ""
    calls = (each for each in largest if quota.model in {"", each.model})
    needs = [(need, each.model) for each in calls if (need := _measure(quota, each)) is not None]
    needed, model = max(needs, default=(0, ""))
    if needed <= quota.limit + added:
        return ""
    told = show_amount(quota.unit, needed)
    end = "are cut short to fit" if quota.clamp else "are refused unless they set max_tokens"
    return f"Smaller than one call: long answers of {model} may take {told}, so they {end}."


def _measure(quota: Quota, call: Largest) -> int | None:
    """Return what is held of the quota for such a call; None where its unit has no such bound."""
    part = EXPECTED_PART if quota.hold == "bounded" else 1
    if quota.unit == "output_tokens":
        return call.output_tokens // part
    if quota.unit == "total_tokens":
        return (call.output_tokens + PROMPT_TOKENS) // part
    if quota.unit != "cost" or call.price is None:
        return None
    tokens = {"input_tokens": PROMPT_TOKENS, "output_tokens": call.output_tokens}
    return bound_ticks(call.price, **tokens) // part


def _read_price(row: PriceRow) -> Price:
    figures = figures_of(row)
    return make_price(
        id=row.pk,
        model=row.model,
        provider=row.provider,
        effective_from=row.effective_from.timestamp(),
        ticks=figures.ticks,
        tiers=figures.tiers,
    )
