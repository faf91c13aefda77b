"""Recomputes what the ledger keeps from what it was made of, and says where the two differ.

Windows from facts and adjustments, allowances from windows, rollups and waiting deltas from facts
and corrections, those of dropped days from what was noted when they were dropped: all in one
read-only snapshot, so a running system is no difference. Nothing here repairs anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from billing.partitions import read_kept_since
from billing.pricing import format_usd
from billing.rollups import (
    BEGINNING,
    FIGURES,
    ROLLUP,
    ROLLUP_TAG,
    Shape,
    correction_moves_sql,
    event_moves_sql,
    spread_tags_sql,
)
from billing.usage import first_id_at

END = datetime(9999, 1, 1, tzinfo=UTC)


class Findings(msgspec.Struct, frozen=True):
    """Each difference as a sentence, and what was looked at."""

    differences: list[str]
    windows: int
    events: int
    adjustments: int
    conflicts: int
    rejected: int

    @property
    def summary(self) -> str:
        return (
            f"Differences: {len(self.differences) or 'none'}. Checked: windows {self.windows},"
            f" events {self.events}, adjustments {self.adjustments}. For a person to look at:"
            f" conflicts {self.conflicts}, rejected events {self.rejected}."
        )


def check_ledger(connection: BaseDatabaseWrapper) -> Findings:
    """Compare everything. Not to be called within a transaction."""
    with transaction.atomic(using=connection.alias, durable=True), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        checks = (_windows, _strangers, _drawn, _ceilings, _dead_allowances, _rollups, _frozen)
        differences = [sentence for check in checks for sentence in check(cursor)]
        cursor.execute(_COUNTS)
        return Findings(differences, *cursor.fetchone())


def _rows(cursor: Any, query: str) -> Iterator[tuple[Any, ...]]:
    cursor.execute(query)
    yield from cursor.fetchall()


def _windows(cursor: Any) -> Iterator[str]:
    """What was posted of a window is what its facts and adjustments come to."""
    for *window, kept, found in _rows(cursor, _WINDOWS):
        yield (
            f"{_name(window)} has {_amount(window, kept)} posted, overruns included, but its"
            f" facts and adjustments come to {_amount(window, found)}."
        )


def _strangers(cursor: Any) -> Iterator[str]:
    """Every window that a fact names exists."""
    for window, amount in _rows(cursor, _STRANGERS):
        yield f"Facts come to {amount} in window {window}, which does not exist."


def _drawn(cursor: Any) -> Iterator[str]:
    """What is drawn from a window lies in allowances."""
    for *window, kept, found in _rows(cursor, _DRAWN):
        yield (
            f"{_name(window)} has {_amount(window, kept)} drawn, but its allowances come to"
            f" {_amount(window, found)}."
        )


def _ceilings(cursor: Any) -> Iterator[str]:
    """No window was ever drawn above its limit."""
    for *window, kept, ceiling in _rows(cursor, _CEILINGS):
        yield (
            f"{_name(window)} has {_amount(window, kept)} posted and drawn, more than the"
            f" {_amount(window, ceiling)} that its limit allowed."
        )


def _dead_allowances(cursor: Any) -> Iterator[str]:
    """A process that has ended has nothing drawn any more."""
    for process, window, amount in _rows(cursor, _DEAD_ALLOWANCES):
        yield f"Process {process} has ended but has {amount} drawn from window {window}."


def _rollups(cursor: Any) -> Iterator[str]:
    """Rollups and waiting deltas are the sums of facts and corrections, day by day."""
    yield from compare_rollups(cursor, since=read_kept_since(cursor) or BEGINNING, until=END)


def _frozen(cursor: Any) -> Iterator[str]:
    """The rollups of days whose facts are dropped still come to what those did."""
    for day, attempts, ticks, events, cost in _rows(cursor, _FROZEN):
        yield (
            f"rollups on {day} (UTC) come to {attempts} attempts and {ticks} ticks, but the facts"
            f" that were dropped came to {events} and {cost}."
        )


def compare_rollups(cursor: Any, *, since: datetime, until: datetime) -> Iterator[str]:
    """Compare the days of [since, until), whole days in UTC, and say where they differ."""
    bounds = {"since": since, "until": until}
    ids = [first_id_at(round(bound.timestamp() * 1000)) for bound in (since, until)]
    for shape in (ROLLUP, ROLLUP_TAG):
        cursor.execute(_rollups_sql(shape), {**bounds, "first": ids[0], "after": ids[1]})
        for organization, day, *sums in cursor.fetchall():
            kept, found = sums[: len(FIGURES)], sums[len(FIGURES) :]
            wrong = ", ".join(
                f"{figure} {has} instead of {should}"
                for figure, has, should in zip(FIGURES, kept, found, strict=True)
                if has != should
            )
            yield f"{shape.table} of organization {organization} on {day} (UTC) has {wrong}."


def _name(window: list[Any]) -> str:
    id_, unit, kind, scope, scope_id, starts_at = window
    since = "" if kind == "lifetime" else f" since {starts_at:%Y-%m-%d %H:%M} UTC"
    return f"Window {id_} ({unit} per {kind} of {scope} {scope_id}{since})"


def _amount(window: list[Any], amount: int) -> str:
    return f"{format_usd(int(amount))} USD" if window[1] == "cost" else str(amount)


_WINDOW = 'w.id, q.unit, q."window", q.scope, q.scope_id, w.starts_at'
_OF = "FROM quota_window w JOIN quota q ON q.id = w.quota_id"

_FACTS = """
facts AS (
    SELECT c.window_id, sum(c.amount) AS amount
    FROM usage_event e
    CROSS JOIN LATERAL unnest(e.windows, e.window_amounts) AS c (window_id, amount)
    GROUP BY c.window_id
)
"""
_WINDOWS = f"""
WITH {_FACTS},
adjusted AS (
    SELECT window_id, sum(amount) AS amount FROM adjustment
    WHERE window_id IS NOT NULL GROUP BY window_id
)
SELECT {_WINDOW}, w.posted + w.overrun, coalesce(f.amount, 0) + coalesce(a.amount, 0)
{_OF} LEFT JOIN facts f ON f.window_id = w.id LEFT JOIN adjusted a ON a.window_id = w.id
WHERE w.posted + w.overrun <> coalesce(f.amount, 0) + coalesce(a.amount, 0)
ORDER BY w.id
"""  # noqa: S608 - the pieces of every query here are constants.
_STRANGERS = f"""
WITH {_FACTS}
SELECT f.window_id, f.amount FROM facts f
WHERE NOT EXISTS (SELECT 1 FROM quota_window w WHERE w.id = f.window_id) ORDER BY f.window_id
"""  # noqa: S608
_DRAWN = f"""
WITH lying AS (SELECT window_id, sum(amount) AS amount FROM allowance GROUP BY window_id)
SELECT {_WINDOW}, w.drawn, coalesce(l.amount, 0)
{_OF} LEFT JOIN lying l ON l.window_id = w.id
WHERE w.drawn <> coalesce(l.amount, 0) ORDER BY w.id
"""  # noqa: S608
_CEILINGS = f"""
SELECT {_WINDOW}, w.posted + w.drawn, w.ceiling {_OF}
WHERE w.posted + w.drawn > w.ceiling ORDER BY w.id
"""
_DEAD_ALLOWANCES = """
SELECT a.process_id, a.window_id, a.amount
FROM allowance a JOIN gateway_process p ON p.id = a.process_id
WHERE p.ended_at IS NOT NULL ORDER BY a.process_id, a.window_id
"""
_COUNTS = """
SELECT (SELECT count(*) FROM quota_window), (SELECT count(*) FROM usage_event),
    (SELECT count(*) FROM adjustment), (SELECT count(*) FROM settlement_conflict),
    (SELECT count(*) FROM rejected_event)
"""

_FROZEN = """
WITH kept AS (
    SELECT (quarter AT TIME ZONE 'UTC')::date AS day, sum(attempts) AS attempts,
        sum(cost_ticks) AS cost_ticks
    FROM (
        SELECT quarter, attempts, cost_ticks FROM rollup
        UNION ALL SELECT quarter, attempts, cost_ticks FROM rollup_delta
    ) AS rows
    WHERE quarter < (SELECT max(day) + 1 FROM dropped_day)::timestamp AT TIME ZONE 'UTC'
    GROUP BY 1
)
SELECT day, coalesce(k.attempts, 0), coalesce(k.cost_ticks, 0), coalesce(d.events, 0),
    coalesce(d.cost_ticks, 0)
FROM kept k FULL JOIN dropped_day d USING (day)
WHERE coalesce(k.attempts, 0) <> coalesce(d.events, 0)
    OR coalesce(k.cost_ticks, 0) <> coalesce(d.cost_ticks, 0)
ORDER BY day
"""


def _rollups_sql(shape: Shape) -> str:
    """Return a SELECT of the days where the sums differ: organization, day, kept, found."""
    moves = f"{event_moves_sql('facts')} UNION ALL {correction_moves_sql('corrections')}"
    if shape is ROLLUP_TAG:
        moves = spread_tags_sql(moves)
    day = "organization, (quarter AT TIME ZONE 'UTC')::date AS day"
    sums = ", ".join(f"sum({figure}) AS {figure}" for figure in FIGURES)
    both = ", ".join(
        f"coalesce({side}.{figure}, 0)" for side in ("kept", "found") for figure in FIGURES
    )
    differs = " OR ".join(f"coalesce(kept.{f}, 0) <> coalesce(found.{f}, 0)" for f in FIGURES)
    columns = ", ".join(["organization", "quarter", *FIGURES])
    return f"""
WITH facts AS (SELECT * FROM usage_event WHERE id >= %(first)s AND id < %(after)s),
corrections AS (
    SELECT * FROM adjustment
    WHERE window_id IS NULL AND event_id >= %(first)s AND event_id < %(after)s
),
kept AS (
    SELECT {day}, {sums} FROM (
        SELECT {columns} FROM {shape.table} UNION ALL SELECT {columns} FROM {shape.table}_delta
    ) AS rows WHERE quarter >= %(since)s AND quarter < %(until)s GROUP BY 1, 2
),
found AS (SELECT {day}, {sums} FROM ({moves}) AS moves GROUP BY 1, 2)
SELECT organization, day, {both} FROM kept FULL JOIN found USING (organization, day)
WHERE {differs} ORDER BY 1, 2
"""  # noqa: S608
