"""What tokens cost. Pure: no clock, no database, no float.

Money is an integer of ticks, 10^-10 USD. A price is ticks per token for each bucket of
usage.Usage; people write USD per million tokens, of which 1 is 10,000 ticks per token. The
invariant: for every usage within a bound, cost_ticks <= bound_ticks of the same price.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from operator import mul

import msgspec
from msgspec.structs import astuple

from accounts.errors import InvalidField
from billing.usage import Usage

TICKS_PER_USD = 10**10
TICKS_PER_USD_A_MILLION = TICKS_PER_USD // 10**6

INPUT_BUCKETS = (
    "uncached_input",
    "cache_read",
    "cache_write_5m",
    "cache_write_1h",
    "audio_input",
    "image_input",
)
OUTPUT_BUCKETS = ("output", "reasoning", "audio_output")
assert Usage.__struct_fields__ == INPUT_BUCKETS + OUTPUT_BUCKETS

# The names a price is written with: a bucket without a price of its own costs as the first does.
INPUT_PRICES = ("input", *INPUT_BUCKETS[1:])
OUTPUT_PRICES = OUTPUT_BUCKETS
PRICES = (*INPUT_PRICES, *OUTPUT_PRICES)

# A thousand dollars for a thousand tokens is a slip of the pen, not a price.
MAX_TICKS_PER_TOKEN = TICKS_PER_USD

# No attempt costs more than this, 112,589.99 USD: costs and bounds alike stop here, so that sums
# of them stay far from the end of an int64 whatever a provider claims to have counted.
MAX_COST_TICKS = 2**50


class Rates(msgspec.Struct, frozen=True):
    """Ticks per token of each bucket of Usage in one tier, in its order, and what the dearest of
    them cost."""

    from_input_tokens: int
    each: tuple[int, ...]
    dearest_input: int
    dearest_output: int


class Price(msgspec.Struct, frozen=True):
    """What a model costs from a date on (`effective_from`, Unix seconds). Made by make_price."""

    id: int
    model: str
    provider: str
    effective_from: float
    tiers: tuple[Rates, ...]


def cost_ticks(price: Price, usage: Usage) -> int:
    """Return what an attempt comes to, at most MAX_COST_TICKS.

    The tier is decided by all input tokens together, and prices all tokens of the attempt.
    """
    rates = price.tiers[0]
    if len(price.tiers) > 1:
        reached = usage.input_tokens
        rates = next(r for r in reversed(price.tiers) if r.from_input_tokens <= reached)
    cost: int = sum(map(mul, rates.each, astuple(usage)))
    return cost if cost < MAX_COST_TICKS else MAX_COST_TICKS


def bound_ticks(price: Price, *, input_tokens: int, output_tokens: int) -> int:
    """Return the most that up to so many tokens can come to, whatever buckets they fall into.

    Every tier that so many input tokens can reach is considered, as a dearer one may begin below.
    """
    bound = 0
    for rates in price.tiers:
        if rates.from_input_tokens <= input_tokens:
            ticks = input_tokens * rates.dearest_input + output_tokens * rates.dearest_output
            bound = max(bound, ticks)
    return bound if bound < MAX_COST_TICKS else MAX_COST_TICKS


def affordable_output_tokens(price: Price, *, input_tokens: int, ticks: int) -> int | None:
    """Return the largest output whose bound is within `ticks`; None if not even the input fits."""
    rooms = [
        (ticks - input_tokens * rates.dearest_input, rates.dearest_output)
        for rates in price.tiers
        if rates.from_input_tokens <= input_tokens
    ]
    if any(left < 0 for left, _ in rooms):
        return None
    return min(left // each if each else 2**40 for left, each in rooms)


def make_price(
    *,
    id: int,
    model: str,
    provider: str,
    effective_from: float,
    ticks: Mapping[str, int | None],
    tiers: Sequence[Mapping[str, int]],
) -> Price:
    """Return the price of a row: `ticks` by the names in PRICES, `tiers` as models.Price has them.

    A tier inherits what it does not name from the tier below it, so a bucket that has a price of
    its own keeps it, and one that has none goes on costing as `input` or `output`.
    """
    merged = {name: each for name, each in ticks.items() if each is not None}
    rates = [_rates(0, merged)]
    for tier in sorted(tiers, key=lambda tier: tier["input_tokens"]):
        merged = {**merged, **tier}
        rates.append(_rates(tier["input_tokens"], merged))
    return Price(id, model, provider, effective_from, tuple(rates))


def _rates(from_input_tokens: int, ticks: Mapping[str, int]) -> Rates:
    inputs = tuple(ticks.get(name, ticks["input"]) for name in INPUT_PRICES)
    outputs = tuple(ticks.get(name, ticks["output"]) for name in OUTPUT_PRICES)
    return Rates(from_input_tokens, inputs + outputs, max(inputs), max(outputs))


class Figures(msgspec.Struct, frozen=True):
    """A price as written down: ticks per token by name, and tiers by ascending input tokens."""

    ticks: dict[str, int]
    tiers: list[dict[str, int]]


def parse_prices(fields: Mapping[str, object]) -> Figures:
    """Read the prices of a declaration or a form: USD per million tokens by name, and `above`.

    Raises InvalidField for the first name that is unknown, missing or no exact price.
    """
    _refuse_unknown(fields, {*PRICES, "above"})
    for name in ("input", "output"):
        if fields.get(name) is None:
            raise InvalidField(name, "a price needs it; write 0 where it is free")
    above = fields.get("above") or []
    if not isinstance(above, list):
        raise InvalidField("above", "must be a list of tiers, each with input_tokens")
    tiers = [_parse_tier(tier, f"above[{n}]") for n, tier in enumerate(above)]
    tiers.sort(key=lambda tier: tier["input_tokens"])
    if len({tier["input_tokens"] for tier in tiers}) < len(tiers):
        raise InvalidField("above", "two tiers begin at the same input_tokens")
    return Figures(_parse_names(fields), tiers)


def _parse_tier(tier: object, field: str) -> dict[str, int]:
    if not isinstance(tier, Mapping):
        raise InvalidField(field, "must be a tier such as {input_tokens: 200000, input: ...}")
    _refuse_unknown(tier, {*PRICES, "input_tokens"}, prefix=f"{field}.")
    start = tier.get("input_tokens")
    if not isinstance(start, int) or isinstance(start, bool) or not 0 < start <= 2**40:
        raise InvalidField(f"{field}.input_tokens", "must be a positive whole number of tokens")
    prices = _parse_names(tier, prefix=f"{field}.")
    if not prices:
        raise InvalidField(field, "names no price")
    return {"input_tokens": start, **prices}


def _parse_names(fields: Mapping[str, object], *, prefix: str = "") -> dict[str, int]:
    return {
        name: parse_price(fields[name], field=prefix + name)
        for name in PRICES
        if fields.get(name) is not None
    }


def _refuse_unknown(fields: Mapping[str, object], known: set[str], *, prefix: str = "") -> None:
    for name in fields:
        if name not in known:
            raise InvalidField(f"{prefix}{name}", f"is none of {', '.join(sorted(known))}")


def parse_price(text: object, *, field: str = "price") -> int:
    """Return ticks per token of a price in USD per million tokens, such as "2.50".

    Raises InvalidField where that is no whole number of ticks, is negative or is absurd.
    """
    ticks = _exact(text, TICKS_PER_USD_A_MILLION, field=field, least="0.0001 USD per million")
    if ticks > MAX_TICKS_PER_TOKEN:
        raise InvalidField(field, f"{text} USD per million tokens is more than 1 USD per token")
    return ticks


def parse_usd(text: object, *, field: str = "amount") -> int:
    """Return the ticks of an amount in USD, such as "100.00". Raises InvalidField."""
    return _exact(text, TICKS_PER_USD, field=field, least="0.0000000001 USD")


def _exact(text: object, factor: int, *, field: str, least: str) -> int:
    """Read a plain decimal and multiply it. A float has been rounded already, so it is refused."""
    if isinstance(text, float):
        raise InvalidField(field, f'write the amount in quotes, as "{text}"')
    if isinstance(text, bool) or not isinstance(text, str | int | Decimal):
        raise InvalidField(field, 'must be an amount of USD such as "2.50"')
    written = format(text, "f") if isinstance(text, Decimal) else str(text).strip()
    if re.fullmatch(r"-[0-9.]+", written):
        raise InvalidField(field, f"{written} is negative")
    if not re.fullmatch(r"[0-9]{1,18}(\.[0-9]{1,30})?", written):
        raise InvalidField(field, f"{written[:40]!r} is not an amount of USD such as 2.50")
    whole, _, fraction = written.partition(".")
    ticks, rest = divmod(int(whole + fraction) * factor, int(10 ** len(fraction)))
    if rest:
        raise InvalidField(field, f"{written} is finer than {least}, the smallest step there is")
    return ticks


def format_usd(ticks: int) -> str:
    """Return ticks as USD, exactly, with two decimals or as many as it takes: -0.0125, 3.00."""
    return _format(ticks, 10)


def format_price(ticks_per_token: int) -> str:
    """Return ticks per token as USD per million tokens, exactly."""
    return _format(ticks_per_token, 4)


def _format(amount: int, decimals: int) -> str:
    digits = str(abs(amount)).rjust(decimals + 1, "0")
    whole, fraction = digits[:-decimals], digits[-decimals:].rstrip("0").ljust(2, "0")
    return f"{'-' if amount < 0 else ''}{whole}.{fraction}"
