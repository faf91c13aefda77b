"""What a refused caller is told about the quota that refused: sentences and a machine's version.

Pure. Amounts of cost are ticks (10^-10 USD) until they are written, and no float touches them.
"""

from __future__ import annotations

import datetime
import zoneinfo

import msgspec

from billing.pricing import format_usd

# Who to ask, by the scope of the quota.
_RAISED_BY = {
    "organization": "the operator of this gateway",
    "project": "an owner or admin of the organization",
    "member": "an owner or admin of the organization",
    "key": "an owner or admin of the organization",
}
_PERIODS = {
    "minute": "minute's",
    "hour": "hourly",
    "day": "daily",
    "week": "weekly",
    "month": "monthly",
    "lifetime": "lifetime",
    "none": "running",
}
_UNITS = {
    "requests": "requests",
    "input_tokens": "input tokens",
    "output_tokens": "output tokens",
    "total_tokens": "tokens",
    "cost": "cost",
    "concurrency": "calls at once",
}


# A strict quota holds the most that a call may use, a bounded one what is expected of it.
_NEEDED = {"strict": "needed at most", "bounded": "expected to need"}
_COULD_USE = {"strict": "could use", "bounded": "is expected to use"}


class QuotaExplanation(msgspec.Struct, frozen=True, kw_only=True):
    """The state of the window that had no room. Amounts are in the quota's unit, cost in ticks.

    `name` is what the scope is called (a project's slug, a key's name), `needed` what this call
    would have held. `resets_at` is unix seconds, None where the window never ends. Without
    `was_read` nobody looked at the window, because the call could never fit: then `used`, `held`
    and `resets_at` are not known.
    """

    quota: int
    scope: str
    name: str
    unit: str
    window: str
    limit: int
    used: int
    held: int
    needed: int
    resets_at: float | None
    time_zone: str = "UTC"
    model: str = ""
    hold: str = "strict"
    ask_at: str = ""  # The page where more can be asked for.
    was_read: bool = True

    @property
    def raised_by(self) -> str:
        return _RAISED_BY.get(self.scope, "an owner or admin of the organization")


def explain(quota: QuotaExplanation) -> str:
    """Say which quota refused, how it stands, when it resets and who can raise it."""
    return (
        f"{_name_quota(quota)} has no room for this call: "
        f"limit {_show(quota, quota.limit)}, used {_show(quota, quota.used)}, "
        f"held by running calls {_show(quota, quota.held)}, "
        f"{_NEEDED[quota.hold]} {_show(quota, quota.needed)}. "
        f"{_show_reset(quota)} It can be raised by {quota.raised_by}.{_show_way(quota)}"
    )


def explain_hold(quota: QuotaExplanation, cap_field: str, largest_cap: int | None) -> str:
    """Say that the call could never pass, and what would."""
    if largest_cap:
        remedy = f"Set {cap_field} to {largest_cap} or less."
    elif quota.unit == "input_tokens":
        remedy = "Shorten the input."
    else:
        remedy = "Not even the shortest answer would fit: shorten the input."
    return (
        f"This call {_COULD_USE[quota.hold]} {_show(quota, quota.needed)}, more than the whole "
        f"{_name_quota(quota, article='')} of {_show(quota, quota.limit)}. {remedy} "
        f"The quota can be raised by {quota.raised_by}.{_show_way(quota)}"
    )


def describe(quota: QuotaExplanation) -> dict[str, object]:
    """The same for programs. Cost is in decimal USD as text, other units are whole numbers."""
    amounts = {name: getattr(quota, name) for name in ("limit", "used", "held", "needed")}
    if quota.unit == "cost":
        amounts = {name: format_usd(ticks) for name, ticks in amounts.items()}
    if not quota.was_read:
        amounts |= {"used": None, "held": None}
    return {
        "scope": quota.scope,
        "name": quota.name,
        "unit": quota.unit,
        "window": quota.window,
        "model": quota.model or None,
        "hold": quota.hold,
        **amounts,
        "resets_at": None if quota.resets_at is None else _in_zone(quota).isoformat(),
        "time_zone": quota.time_zone,
        "raised_by": quota.raised_by,
        "ask_at": quota.ask_at or None,
    }


def _name_quota(quota: QuotaExplanation, *, article: str = "The ") -> str:
    period, unit = _PERIODS.get(quota.window, quota.window), _UNITS.get(quota.unit, quota.unit)
    only = f" for {quota.model}" if quota.model else ""
    return f"{article}{period} {unit} quota{only} of {quota.scope} '{quota.name}'"


def _show(quota: QuotaExplanation, amount: int) -> str:
    return f"${format_usd(amount)}" if quota.unit == "cost" else str(amount)


def _show_way(quota: QuotaExplanation) -> str:
    return f" Ask for more at {quota.ask_at}" if quota.ask_at else ""


def _show_reset(quota: QuotaExplanation) -> str:
    if quota.resets_at is None:
        return "It frees as calls end." if quota.window == "none" else "It does not reset."
    return f"It resets at {_in_zone(quota):%Y-%m-%d %H:%M} {quota.time_zone}."


def _in_zone(quota: QuotaExplanation) -> datetime.datetime:
    zone = zoneinfo.ZoneInfo(quota.time_zone)
    return datetime.datetime.fromtimestamp(quota.resets_at or 0.0, zone)
