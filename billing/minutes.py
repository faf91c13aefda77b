"""Use by the minute, of a day at most, from facts: rollups know whole quarters of an hour alone.

Corrections count where their event is, as in rollups. For look-ups of the last hours; whatever is
longer is a report's.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from django.db import connection

from accounts.models import Organization
from billing.reports import DIMENSIONS, Group
from billing.rollups import BUCKETS, FIGURES
from billing.usage import Usage, first_id_at

LONGEST = timedelta(days=1)

_MINUTE = "('x' || left(e.id::text, 8) || substr(e.id::text, 10, 4))::bit(48)::bigint / 60000 * 60"
_SUMS = ", ".join(
    [
        "sum((attempt_no = 1)::int)::bigint AS calls",
        "count(*) AS attempts",
        *(f"sum(e.{b} + coalesce((c.usage ->> '{b}')::bigint, 0))::bigint AS {b}" for b in BUCKETS),
        "sum(e.cost_ticks + coalesce(c.amount, 0))::bigint AS cost_ticks",
    ]
)
_CORRECTIONS = f"""
    SELECT sum(amount)::bigint AS amount,
        jsonb_build_object({", ".join(f"'{b}', sum((usage ->> '{b}')::bigint)" for b in BUCKETS)})
        AS usage
    FROM adjustment a WHERE a.event_id = e.id AND a.window_id IS NULL
"""  # noqa: S608 - the names are constants.


def grouped(
    organization: Organization,
    *,
    since: datetime,
    until: datetime,
    by: Sequence[str] = (),
    only: Mapping[str, Collection[object]] | None = None,
) -> list[Group]:
    """Return what reports.grouped() does, for each minute of [since, until) with any use."""
    if until - since > LONGEST:
        raise ValueError(f"until: {until} is more than a day after {since}")
    columns = [name for name in DIMENSIONS if name in by]
    wanted = {name: list(values) for name, values in (only or {}).items()}
    assert wanted.keys() <= set(DIMENSIONS)
    conditions = "".join(f" AND e.{name} = ANY (%s)" for name in wanted)
    groups = ", ".join(["minute", *columns])
    sql = f"""
SELECT {_MINUTE} AS minute, {"".join(f"e.{name}, " for name in columns)}{_SUMS}
FROM usage_event e LEFT JOIN LATERAL ({_CORRECTIONS}) c ON true
WHERE e.organization = %s AND e.id >= %s AND e.id < %s{conditions}
GROUP BY {groups} ORDER BY {groups}
"""  # noqa: S608 - every piece is a constant of this module.
    ids = [first_id_at(round(bound.timestamp() * 1000)) for bound in (since, until)]
    with connection.cursor() as cursor:
        cursor.execute(sql, [organization.pk, *ids, *wanted.values()])
        return [_read(row, columns) for row in cursor.fetchall()]


def _read(row: Sequence[object], columns: Sequence[str]) -> Group:
    minute, *rest = row
    values = dict(zip(columns, rest, strict=False))
    figures = dict(zip(FIGURES, rest[len(columns) :], strict=True))
    usage = Usage(**{name: int(str(figures[name])) for name in BUCKETS})
    return Group(
        datetime.fromtimestamp(int(str(minute)), UTC),
        {name: value for name, value in values.items() if isinstance(value, str | int | None)},
        int(str(figures["calls"])),
        int(str(figures["attempts"])),
        usage,
        int(str(figures["cost_ticks"])),
    )
