"""What a call costs by hand, from the usage in its answer and the price as it was declared."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

TICKS_PER_USD = 10**10


def cost_of(usage: Mapping[str, Any], price: Mapping[str, str]) -> int:
    """Ticks of a chat completion's usage at a price in USD per million tokens."""
    details = usage.get("prompt_tokens_details") or {}
    cached = details.get("cached_tokens", 0)
    dollars = (
        (usage["prompt_tokens"] - cached) * Decimal(price["input"])
        + cached * Decimal(price.get("cache_read", price["input"]))
        + usage["completion_tokens"] * Decimal(price["output"])
    ) / 1_000_000
    ticks = dollars * TICKS_PER_USD
    assert ticks == int(ticks), "this price has no whole number of ticks a token"
    return int(ticks)
