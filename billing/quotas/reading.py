"""What a declaration, a form or the API says of a quota, read with errors that name the field.

A rule that this release does not enforce is refused here and never stored: nobody shall trust in
a limit that nothing holds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec

from accounts.errors import InvalidField
from billing.models import Quota
from billing.pricing import TICKS_PER_USD, format_usd, parse_usd

ENFORCED_UNITS = frozenset({"cost"})
ENFORCED_WINDOWS = frozenset({"hour", "day", "week", "month", "lifetime"})
ENFORCED_HOLDS = frozenset({"strict"})

# Sums of limits and amounts have to stay within an int64 of ticks: 922 million USD.
MAX_LIMIT_TICKS = 100_000_000 * TICKS_PER_USD

# Exact in the floating point numbers that Redis's scripts count with.
MAX_LIMIT_COUNT = 10**15


class QuotaFields(msgspec.Struct, frozen=True):
    """What a declaration or a form says of a quota, read and found to be enforced."""

    unit: str
    limit: int | None
    window: str
    model: str
    mode: str
    hold: str
    clamp: bool


def parse_quota(fields: Mapping[str, object], *, scope: str) -> QuotaFields:
    """Read a quota of a `scope`: unit, limit, window and, where given, model, mode, hold, clamp.

    `limit` is USD for cost, "100.00"; None counts without refusing. Raises InvalidField, also for
    what is not enforced yet.
    """
    if scope not in Quota.Scope.values:
        raise InvalidField("scope", f"{scope!r} is none of {', '.join(Quota.Scope.values)}")
    known = QuotaFields.__struct_fields__
    for name in fields:
        if name not in known:
            raise InvalidField(name, f"is none of {', '.join(known)}")
    unit = _choose(fields, "unit", Quota.Unit.values, ENFORCED_UNITS)
    if "limit" not in fields:
        raise InvalidField("limit", "is missing; write null to count without refusing")
    clamp = fields.get("clamp", False)
    if clamp is not False:
        raise InvalidField(
            "clamp",
            "lowering a call's cap to fit is not done by this release, so it must be false"
            if clamp is True
            else "must be true or false",
        )
    model = fields.get("model") or ""
    if not isinstance(model, str) or len(model) > 200:
        raise InvalidField("model", "must be the name of a model")
    return QuotaFields(
        unit=unit,
        limit=_parse_limit(unit, fields["limit"]),
        window=_choose(fields, "window", Quota.Window.values, ENFORCED_WINDOWS),
        model=model,
        mode=_choose(fields, "mode", Quota.Mode.values, default="enforce"),
        hold=_choose(fields, "hold", Quota.Hold.values, ENFORCED_HOLDS, default="strict"),
        clamp=False,
    )


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
    fields: Mapping[str, object],
    name: str,
    options: Sequence[str],
    enforced: frozenset[str] | None = None,
    default: str | None = None,
) -> str:
    value = fields.get(name, default)
    if value is None:
        raise InvalidField(name, f"is missing; write one of {', '.join(options)}")
    if not isinstance(value, str) or value not in options:
        raise InvalidField(name, f"{value!r} is none of {', '.join(options)}")
    if enforced is not None and value not in enforced:
        raise InvalidField(
            name,
            f"{value} is not enforced by this release, so such a quota is not accepted;"
            f" what is: {', '.join(option for option in options if option in enforced)}",
        )
    return value
