"""Drops days of facts that are older than RETENTION_DAYS, one transaction a day, the oldest first.

What a window that is still open has of such a day is carried over as an adjustment, and windows
that ended before go away with their own; the day's rollups stay, and what the facts came to is
noted. So check_ledger holds afterwards as before. A day whose rollups do not agree with its facts
is not dropped: the facts are the only evidence. Reports, statements and limits lose nothing.
"""

from __future__ import annotations

import logging
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from billing.check import compare_rollups
from billing.partitions import MAKING, bounds_of, name_of

log = logging.getLogger(__name__)


def drop_old_days(
    connection: BaseDatabaseWrapper, *, today: date, keep_days: int, most_days: int = 30
) -> list[date]:
    """Drop the days before `today - keep_days`, at most so many at a time; return them.

    Safe to repeat and to run twice at a time. Settlement waits a second at most: where the locks
    cannot be had in that time, OperationalError is raised and the day is still there.
    """
    dropped = []
    for day in _old_days(connection, before=today - timedelta(days=keep_days))[:most_days]:
        with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [MAKING])
            if not _drop(cursor, day):
                break  # Days go in order, so that what is kept has one beginning.
        dropped.append(day)
    return dropped


def _old_days(connection: BaseDatabaseWrapper, *, before: date) -> list[date]:
    """Return the days that have a partition, or rows in the default one, in order."""
    with connection.cursor() as cursor:
        cursor.execute(_OLD_DAYS, [name_of(before), bounds_of(before)[0]])
        return [row[0] for row in cursor.fetchall()]


_OLD_DAYS = """
SELECT to_date(right(inhrelid::regclass::text, 8), 'YYYYMMDD') AS day FROM pg_inherits
WHERE inhparent = 'usage_event'::regclass AND inhrelid::regclass::text < %s
    AND inhrelid::regclass::text ~ '^usage_event_[0-9]{8}$'
UNION
SELECT (to_timestamp(
    (('x' || left(id::text, 8) || substr(id::text, 10, 4))::bit(48)::bigint / 1000)::float8
) AT TIME ZONE 'UTC')::date FROM usage_event_default WHERE id < %s
ORDER BY day
"""


def _drop(cursor: Any, day: date) -> bool:
    """Drop one day; False where its rollups are not what its facts come to.

    What takes long is done first, under a lock that only keeps writers out of that day.
    """
    first, after = bounds_of(day)
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    parameters = {"first": first, "after": after, "day": day, "midnight": midnight}
    cursor.execute("SET LOCAL lock_timeout = '1s'")
    cursor.execute("SELECT to_regclass(%s) IS NOT NULL", [name_of(day)])
    place = name_of(day) if cursor.fetchone()[0] else "usage_event_default"
    cursor.execute(f"LOCK TABLE {place} IN SHARE ROW EXCLUSIVE MODE")
    if not _agrees(cursor, day, midnight):
        return False
    cursor.execute(_CARRY, parameters)
    cursor.execute(_NOTE, parameters)
    # From here on no correction of these facts can come.
    cursor.execute("LOCK TABLE adjustment IN SHARE ROW EXCLUSIVE MODE")
    for statement in _END:
        cursor.execute(statement, parameters)
    if place == "usage_event_default":
        cursor.execute(f"DELETE FROM {place} WHERE id >= %s AND id < %s", [first, after])  # noqa: S608
    else:
        cursor.execute(f"ALTER TABLE usage_event DETACH PARTITION {place}")
        cursor.execute(f"DROP TABLE {place}")
    return True


def _agrees(cursor: Any, day: date, midnight: datetime) -> bool:
    """Compare the day's rollups with its facts, unless it was dropped before: then these are some
    that came after it."""
    cursor.execute("SELECT 1 FROM dropped_day WHERE day = %s", [day])
    if cursor.fetchone():
        return True
    until = midnight + timedelta(days=1)
    differences = list(compare_rollups(cursor, since=midnight, until=until))
    if differences:
        log.error("the facts of %s are not dropped: %s", day, " ".join(differences))
    return not differences


# A window that ended before the day began has no event in it or after it, as an attempt begins
# within minutes of its call: it goes, unless something is still drawn from it.
_IS_OVER = "(w.ends_at <= %(midnight)s AND w.drawn = 0)"
_CARRY = f"""
INSERT INTO adjustment (window_id, amount, usage, reason)
SELECT w.id, sum(c.amount), '{{}}', 'carried'
FROM usage_event e
CROSS JOIN LATERAL unnest(e.windows, e.window_amounts) AS c (window_id, amount)
JOIN quota_window w ON w.id = c.window_id
WHERE e.id >= %(first)s AND e.id < %(after)s AND NOT {_IS_OVER}
GROUP BY w.id
"""  # noqa: S608 - the pieces of every query here are constants.
_NOTE = """
INSERT INTO dropped_day AS d (day, events, cost_ticks)
SELECT %(day)s, count(*), coalesce(sum(cost_ticks), 0)
FROM usage_event WHERE id >= %(first)s AND id < %(after)s
ON CONFLICT (day) DO UPDATE
    SET events = d.events + excluded.events, cost_ticks = d.cost_ticks + excluded.cost_ticks
"""
_END = (
    """
WITH corrections AS (
    DELETE FROM adjustment
    WHERE window_id IS NULL AND event_id >= %(first)s AND event_id < %(after)s
    RETURNING amount
)
UPDATE dropped_day
SET cost_ticks = cost_ticks + (SELECT coalesce(sum(amount), 0) FROM corrections)
WHERE day = %(day)s
""",
    f"DELETE FROM adjustment a USING quota_window w WHERE w.id = a.window_id AND {_IS_OVER}",  # noqa: S608
    f"DELETE FROM allowance a USING quota_window w WHERE w.id = a.window_id AND {_IS_OVER}",  # noqa: S608
    f"DELETE FROM quota_window w WHERE {_IS_OVER}",  # noqa: S608
)
