"""Day partitions of usage_event, made ahead of time.

A day is UTC, and its partition holds the ids whose first 48 bits fall into it. What no day takes
lies in usage_event_default, so no event is ever refused for want of a partition; making the day
later moves such rows into it. Nothing here drops anything; retention.py does.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from billing.usage import first_id_at

# Any number that only makers of partitions lock: "parts" read as an integer.
MAKING = 0x7061727473


def make_partitions(
    connection: BaseDatabaseWrapper, *, today: date, days_ahead: int = 7
) -> list[str]:
    """Make the partitions of yesterday up to `today + days_ahead` that are missing; return them.

    Safe to repeat and to run twice at a time. Settlement waits while rows are moved, for a second
    at most: where the locks cannot be had in that time, OperationalError is raised, nothing has
    changed, and the default partition takes the rows until the next attempt.
    """
    days = [today + timedelta(days=n) for n in range(-1, days_ahead + 1)]
    if not _missing(connection, days):
        return []
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [MAKING])
        missing = _missing(connection, days)
        if missing:
            cursor.execute("SET LOCAL lock_timeout = '1s'")
            # Without writers, no row is on its way into the default partition.
            cursor.execute("LOCK TABLE ONLY usage_event IN SHARE ROW EXCLUSIVE MODE")
            for day in missing:
                cursor.execute(_make_sql(day))
    return [name_of(day) for day in missing]


def read_kept_since(cursor: Any) -> datetime | None:
    """Return the midnight (UTC) since which facts are kept; None where none were ever dropped."""
    cursor.execute("SELECT (max(day) + 1)::timestamp AT TIME ZONE 'UTC' FROM dropped_day")
    found: datetime | None = cursor.fetchone()[0]
    return found


def name_of(day: date) -> str:
    return f"usage_event_{day:%Y%m%d}"


def _missing(connection: BaseDatabaseWrapper, days: Sequence[date]) -> list[date]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits"
            " WHERE inhparent = 'usage_event'::regclass"
        )
        there = {row[0] for row in cursor.fetchall()}
    return [day for day in days if name_of(day) not in there]


def _make_sql(day: date) -> str:
    """Return the statements that make a day: a table, its rows from the default, then attached.

    ATTACH locks the parent less than PARTITION OF would, and builds the indexes.
    """
    first, after = bounds_of(day)
    name = name_of(day)
    return f"""
CREATE TABLE {name} (LIKE usage_event INCLUDING DEFAULTS INCLUDING CONSTRAINTS);
WITH moved AS (
    DELETE FROM usage_event_default WHERE id >= '{first}' AND id < '{after}' RETURNING *
)
INSERT INTO {name} SELECT * FROM moved;
ALTER TABLE usage_event ATTACH PARTITION {name} FOR VALUES FROM ('{first}') TO ('{after}');
"""  # noqa: S608 - made of dates alone.


def bounds_of(day: date) -> tuple[str, str]:
    """Return the first id of the day and the first after it."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    milliseconds = round(midnight.timestamp() * 1000)
    return str(first_id_at(milliseconds)), str(first_id_at(milliseconds + 86_400_000))
