"""What a declaration, a form or the API says of a quota, read with errors that name the field.

What is read here is enforced: a combination that means nothing is refused and never stored.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec

from accounts.errors import InvalidField
from billing.models import Quota
from billing.pricing import TICKS_PER_USD, format_usd, parse_usd

# What a lower output cap saves something of.
CLAMPED_UNITS = frozenset({"cost", "output_tokens", "total_tokens"})

# Sums of limits and amounts have to stay within an int64 of ticks: 922 million USD.
MAX_LIMIT_TICKS = 100_000_000 * TICKS_PER_USD

# Exact in the floating point numbers that Redis's scripts count with.
MAX_LIMIT_COUNT = 10**15


class QuotaFields(msgspec.Struct, frozen=True):
    """What a declaration or a form says of a quota, with what it leaves out."""

    unit: str
    limit: int | None
    window: str
    model: str
    mode: str
    hold: str
    clamp: bool


def parse_quota(fields: Mapping[str, object], *, scope: str) -> QuotaFields:
    """Read a quota of a `scope`: unit, limit, window and, where given, model, mode, hold, clamp.

    `limit` is USD for cost, "100.00", else a whole number; None counts without refusing. Tokens
    are bounded where `hold` is not given, all else is strict; `clamp` is on for keys and members
    where it can help. Raises InvalidField.
    """
    if scope not in Quota.Scope.values:
        raise InvalidField("scope", f"{scope!r} is none of {', '.join(Quota.Scope.values)}")
    known = QuotaFields.__struct_fields__
    for name in fields:
        if name not in known:
            raise InvalidField(name, f"is none of {', '.join(known)}")
    unit = _choose(fields, "unit", Quota.Unit.values)
    if "limit" not in fields:
        raise InvalidField("limit", "is missing; write null to count without refusing")
    model = fields.get("model") or ""
    if not isinstance(model, str) or len(model) > 200:
        raise InvalidField("model", "must be the name of a model")
    return QuotaFields(
        unit=unit,
        limit=_parse_limit(unit, fields["limit"]),
        window=_read_window(fields, unit),
        model=model,
        mode=_choose(fields, "mode", Quota.Mode.values, default="enforce"),
        hold=_choose(fields, "hold", Quota.Hold.values, default=_default_hold(unit)),
        clamp=_read_clamp(fields, unit, scope),
    )


def _read_window(fields: Mapping[str, object], unit: str) -> str:
    """Calls at once are counted now, everything else in a period."""
    is_now = unit == "concurrency"
    window = _choose(fields, "window", Quota.Window.values, default="none" if is_now else None)
    if is_now and window != "none":
        raise InvalidField(
            "window", f"must be none for concurrency, which counts what runs now; not {window}"
        )
    if not is_now and window == "none":
        raise InvalidField("window", f"must be a period for {unit}; only concurrency has none")
    return window


def _default_hold(unit: str) -> str:
    return "bounded" if unit.endswith("_tokens") else "strict"


def _read_clamp(fields: Mapping[str, object], unit: str, scope: str) -> bool:
    can_help = unit in CLAMPED_UNITS
    clamp = fields.get("clamp", can_help and scope in {"key", "member"})
    if not isinstance(clamp, bool):
        raise InvalidField("clamp", "must be true or false")
    if clamp and not can_help:
        raise InvalidField("clamp", f"a shorter answer saves no {unit}, so it must be false")
    return clamp


def parse_amount(unit: str, amount: object, *, field: str) -> int:
    """Read an amount of a unit: USD such as "5.00" for cost, else a whole number."""
    parse = parse_usd if unit == "cost" else _parse_count
    number = parse(amount, field=field)
    most = find_largest_limit(unit)
    if number > most:
        raise InvalidField(field, f"is more than {show_amount(unit, most)}")
    return number


def show_amount(unit: str, amount: int) -> str:
    """Write an amount of a unit for people."""
    return f"{format_usd(amount)} USD" if unit == "cost" else str(amount)


def write_amount(unit: str, amount: int) -> str:
    """Write an amount of a unit as parse_amount() reads it."""
    return format_usd(amount) if unit == "cost" else str(amount)


def find_largest_limit(unit: str) -> int:
    return MAX_LIMIT_TICKS if unit == "cost" else MAX_LIMIT_COUNT


def _parse_limit(unit: str, limit: object) -> int | None:
    return None if limit is None else parse_amount(unit, limit, field="limit")


def _parse_count(amount: object, *, field: str) -> int:
    if isinstance(amount, bool) or not isinstance(amount, int | str):
        raise InvalidField(field, "must be a whole number such as 600")
    written = str(amount).strip()
    if re.fullmatch(r"-[0-9]+", written):
        raise InvalidField(field, f"{written} is negative")
    if not re.fullmatch(r"[0-9]{1,19}", written):
        raise InvalidField(field, f"{written[:40]!r} is not a whole number such as 600")
    return int(written)


def _choose(
    fields: Mapping[str, object], name: str, options: Sequence[str], default: str | None = None
) -> str:
    value = fields.get(name, default)
    if value is None:
        raise InvalidField(name, f"is missing; write one of {', '.join(options)}")
    if not isinstance(value, str) or value not in options:
        raise InvalidField(name, f"{value!r} is none of {', '.join(options)}")
    return value
