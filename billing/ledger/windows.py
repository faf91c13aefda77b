"""Periods of quotas, computed in the organization's time zone. Pure.

A window is [starts_at, ends_at) in UTC. Days, weeks and months begin at local midnight, so a day
of a daylight saving change has 23 or 25 hours, as it does on the wall clock.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
END = datetime(9999, 12, 31, tzinfo=UTC)


def period(window: str, at: datetime, time_zone: str) -> tuple[datetime, datetime]:
    """Return the start and end (UTC, end excluded) of the period of `window` that holds `at`.

    Weeks begin on Monday (ISO 8601). `lifetime` and `none` never end. Minutes and hours are
    those of UTC, which in every zone of today fall together with local ones or their quarters.
    """
    if window in {"lifetime", "none"}:
        return BEGINNING, END
    at = at.astimezone(UTC)
    if window == "minute":
        start = at.replace(second=0, microsecond=0)
        return start, start + timedelta(minutes=1)
    if window == "hour":
        start = at.replace(minute=0, second=0, microsecond=0)
        return start, start + timedelta(hours=1)
    zone = ZoneInfo(time_zone)
    day = at.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    first, after = _local_bounds(window, day)
    return _midnight(first, zone), _midnight(after, zone)


def _local_bounds(window: str, day: datetime) -> tuple[datetime, datetime]:
    if window == "day":
        return day, day + timedelta(days=1)
    if window == "week":
        monday = day - timedelta(days=day.weekday())
        return monday, monday + timedelta(days=7)
    if window == "month":
        first = day.replace(day=1)
        return first, (first + timedelta(days=32)).replace(day=1)
    raise ValueError(f"window: {window!r} is not a period")


def _midnight(local: datetime, zone: ZoneInfo) -> datetime:
    """Return the instant at which that local day begins.

    Where clocks skip midnight the arithmetic lands on the first instant after the gap; where
    midnight comes twice the first one counts (fold=0).
    """
    return local.replace(tzinfo=zone).astimezone(UTC)
