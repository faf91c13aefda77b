"""Figures as people read them: money, counts, shares. Exact ones stand in titles and CSV."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from django import forms, template
from django.utils import timezone

from billing.pricing import TICKS_PER_USD, format_usd
from billing.quotas import show_amount

register = template.Library()

NEAR_PERCENT = 80
_WORDS = ((10**12, "T"), (10**9, "B"), (10**6, "M"))


@register.filter
def usd(ticks: int) -> str:
    """Write ticks as dollars, to the cent; below a dollar whole, so that the figures of a page
    add up to its sum and are those of the reports."""
    if abs(ticks) < TICKS_PER_USD:
        return exact_usd(ticks)
    return f"${Decimal(ticks) / TICKS_PER_USD:,.2f}"


@register.filter
def exact_usd(ticks: int) -> str:
    return f"${format_usd(ticks)}"


@register.filter
def count(number: int) -> str:
    """Write a count with separators, a very large one in short."""
    for size, word in _WORDS:
        if abs(number) >= size * 10:
            return f"{number / size:,.1f} {word}"
    return f"{number:,}"


@register.filter
def amount(number: int | None, unit: str) -> str:
    """Write an amount of a quota's unit."""
    if number is None:
        return "no limit"
    return usd(number) if unit == "cost" else count(number)


@register.filter
def exact_amount(number: int, unit: str) -> str:
    return show_amount(unit, number)


@register.filter
def percent(part: int, whole: int | None) -> int:
    """Return which part of a whole something is, cut; a whole of nothing is used up."""
    if whole is None:
        return 0
    return 100 if whole <= 0 else min(100 * part // whole, 999)


@register.inclusion_tag("console/parts/meter.html")
def meter(used: int, limit: int | None, label: str) -> dict[str, object]:
    """Draw how much of a limit is used; `label` says the same in words."""
    share = percent(used, limit)
    level = "full" if share >= 100 else "near" if share >= NEAR_PERCENT else ""
    width = min(share, 100) if share or not used or limit is None else 1
    return {"width": width, "level": level, "label": label, "share": share, "limit": limit}


@register.filter
def moment(at: datetime | None, zone: str = "UTC") -> str:
    """Write a time in a zone, to the minute."""
    return f"{move(at, zone):%-d %b %Y, %H:%M}" if at else "never"


def move(at: datetime, zone: str) -> datetime:
    """Return a time in a zone; the last hours that there are stay where they were written."""
    try:
        return at.astimezone(ZoneInfo(zone))
    except OverflowError:
        return at


@register.filter
def is_past(at: datetime | None) -> bool:
    return at is not None and at <= timezone.now()


@register.filter
def words(name: str) -> str:
    """Write what a program calls something as people do: total_tokens, total tokens."""
    return name.replace("_", " ")


@register.filter
def is_checkbox(field: forms.BoundField) -> bool:
    return isinstance(field.field, forms.BooleanField)
