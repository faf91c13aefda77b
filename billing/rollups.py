"""Sums of facts by quarter of an hour: appended as deltas, folded into rollups, made again at will.

The one SQL text that groups facts is used by settlement (for deltas) and by `rebuild_rollups`, so
the two agree by construction. A fact belongs to the quarter of the time inside its id, however
late it comes; a correction belongs to the quarter of its event. Nothing here writes a fact.

How the two stay exact beside each other: an event and its delta are committed together, and only
a fold removes deltas. A rebuild locks folds out before it takes its snapshot, then replaces
rollups and removes deltas as that one snapshot shows them; what is settled meanwhile is in
neither and its deltas are folded later.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import psycopg
from django.db import OperationalError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from billing.partitions import read_kept_since
from billing.usage import first_id_at

log = logging.getLogger(__name__)

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
QUARTER = timedelta(minutes=15)
BUCKETS = (
    "uncached_input",
    "cache_read",
    "cache_write_5m",
    "cache_write_1h",
    "audio_input",
    "image_input",
    "output",
    "reasoning",
    "audio_output",
)
FIGURES = ("calls", "attempts", *BUCKETS, "cost_ticks")

# Milliseconds, each 1.75 times the one before: bin 0 is below the first, bin 23 from the last on.
# fmt: off
LATENCY_EDGES = (
    10, 18, 31, 54, 94, 164, 287, 503, 880, 1539, 2694, 4714, 8250, 14438, 25266, 44215, 77376,
    135409, 236965, 414689, 725706, 1269986, 2222476,
)
# fmt: on
BINS = len(LATENCY_EDGES) + 1


class Shape(NamedTuple):
    """A rollup table: what its rows are by, and the figures and histograms they add up."""

    table: str
    dimensions: tuple[str, ...]
    histograms: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        return (*self.dimensions, *FIGURES, *self.histograms)


ROLLUP = Shape(
    "rollup",
    ("organization", "quarter", "project", "key", "member", "model", "provider", "outcome"),
    ("first_byte_hist", "total_hist"),
)
ROLLUP_TAG = Shape("rollup_tag", ("organization", "quarter", "project", "tag", "value"))
COLUMNS = ROLLUP.columns


def insert_deltas_sql(source: str) -> str:
    """Return an INSERT of one rollup_delta for each group of `source`, a relation of new events."""
    return _insert(f"{ROLLUP.table}_delta", ROLLUP, event_moves_sql(source))


def insert_tag_deltas_sql(source: str) -> str:
    """Return an INSERT of one rollup_tag_delta for each group of `source` and its tags."""
    return _insert(
        f"{ROLLUP_TAG.table}_delta", ROLLUP_TAG, spread_tags_sql(event_moves_sql(source))
    )


def insert_correction_delta_sql(source: str) -> str:
    """Return an INSERT of a rollup_delta for each group of `source`, a relation of new adjustments.

    Those of a window are passed over: they move a quota, not an event's figures.
    """
    return _insert(f"{ROLLUP.table}_delta", ROLLUP, correction_moves_sql(source))


def insert_correction_tag_delta_sql(source: str) -> str:
    """Return the like of insert_correction_delta_sql for the tags of the corrected events."""
    moves = spread_tags_sql(correction_moves_sql(source))
    return _insert(f"{ROLLUP_TAG.table}_delta", ROLLUP_TAG, moves)


def event_moves_sql(source: str) -> str:
    """Return a SELECT of what each event of `source` adds to rollups.

    A call is counted where its first attempt is, an attempt where it is itself.
    """
    return f"""
SELECT {_DIMENSIONS}, (attempt_no = 1)::int AS calls, 1 AS attempts,
    {", ".join(BUCKETS)}, cost_ticks,
    width_bucket(first_byte_ms, {_EDGES}) AS first_byte_bin,
    width_bucket(total_ms, {_EDGES}) AS total_bin
FROM {source} AS e
"""  # noqa: S608 - every piece is a constant of this module or a relation named by a caller.


def correction_moves_sql(source: str) -> str:
    """Return a SELECT of what each correction among the adjustments `source` adds to rollups.

    It has its event's place; it counts no call and no attempt, and no latency.
    """
    differences = ", ".join(f"coalesce((a.usage ->> '{b}')::bigint, 0) AS {b}" for b in BUCKETS)
    return f"""
SELECT {_DIMENSIONS}, 0 AS calls, 0 AS attempts,
    {differences}, a.amount AS cost_ticks,
    NULL::int AS first_byte_bin, NULL::int AS total_bin
FROM {source} AS a JOIN usage_event AS e ON e.id = a.event_id
WHERE a.window_id IS NULL
"""  # noqa: S608 - as above.


def grouped_sql(shape: Shape, moves: str) -> str:
    """Return a SELECT of `shape.columns`, grouped, over a SELECT of moves.

    OFFSET 0 keeps the bins from being computed again for each element of a histogram.
    """
    sums = [f"sum({figure})::bigint" for figure in FIGURES]
    histograms = [_histogram_of(name.replace("_hist", "_bin")) for name in shape.histograms]
    by = ", ".join(shape.dimensions)
    columns = ", ".join([*shape.dimensions, *sums, *histograms])
    return f"SELECT {columns} FROM ({moves} OFFSET 0) AS moves GROUP BY {by}"  # noqa: S608


def _insert(table: str, shape: Shape, moves: str) -> str:
    return f"INSERT INTO {table} ({', '.join(shape.columns)}) {grouped_sql(shape, moves)}"


def spread_tags_sql(moves: str) -> str:
    """Spread moves over their tags. Long values are cut, as an index row has a limit."""
    return f"""
SELECT moves.*, left(pair.key, 200) AS tag, left(pair.value, 200) AS value
FROM ({moves}) AS moves CROSS JOIN LATERAL jsonb_each_text(moves.tags) AS pair
WHERE pair.value IS NOT NULL
"""  # noqa: S608 - as above.


def _histogram_of(bin_column: str) -> str:
    counts = (f"count(*) FILTER (WHERE {bin_column} = {n})" for n in range(BINS))
    return f"ARRAY[{', '.join(counts)}]"


# The first 48 bits of a UUIDv7 are milliseconds; partitions are bounded by the same bits.
_MILLISECONDS = "('x' || left(e.id::text, 8) || substr(e.id::text, 10, 4))::bit(48)::bigint"
_DIMENSIONS = f"""e.organization,
    to_timestamp(({_MILLISECONDS} / 900000 * 900)::double precision) AS quarter,
    e.project, e.key, e.member, left(e.model, 200) AS model, left(e.provider, 200) AS provider,
    e.outcome, e.tags"""
_EDGES = f"'{{{', '.join(map(str, LATENCY_EDGES))}}}'::int[]"

# For one adjustment, by its id.
INSERT_CORRECTION_DELTA = f"""
WITH corrections AS (SELECT * FROM adjustment WHERE id = %s),
tag_deltas AS ({insert_correction_tag_delta_sql("corrections")})
{insert_correction_delta_sql("corrections")}
"""  # noqa: S608 - as above.


def fold_usage(
    connection: BaseDatabaseWrapper, *, limit_rows: int = 20_000, batches: int = 50
) -> int:
    """Add waiting deltas to rollups, each exactly once; return how many were folded.

    Any number of folds may run at a time. While rollups are rebuilt nothing is folded.
    """
    folded = 0
    for _ in range(batches):
        counts = _fold_batch(connection, limit_rows)
        folded += sum(counts)
        if max(counts) < limit_rows:
            break
    return folded


def _fold_batch(connection: BaseDatabaseWrapper, limit_rows: int) -> list[int]:
    try:
        with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
            cursor.execute("LOCK TABLE rollup IN ROW EXCLUSIVE MODE NOWAIT")
            counts = []
            for shape in (ROLLUP, ROLLUP_TAG):
                cursor.execute(_fold_sql(shape), [limit_rows])
                counts.append(int(cursor.fetchone()[0]))
            return counts
    except OperationalError as error:
        if isinstance(error.__cause__, psycopg.errors.LockNotAvailable):
            log.info("deltas wait: rollups are being rebuilt")
            return [0]
        raise


def _fold_sql(shape: Shape) -> str:
    """Return a statement that moves up to %s deltas into their rollups and counts them.

    Rows are written in the order of their dimensions: two folds cannot wait for each other.
    """
    table, by = shape.table, ", ".join(shape.dimensions)
    sums = [f"sum({name})::bigint AS {name}" for name in FIGURES]
    adds = [f"{name} = r.{name} + excluded.{name}" for name in FIGURES]
    for name in shape.histograms:
        elements = [f"sum({name}[{n}])::bigint" for n in range(1, BINS + 1)]
        sums.append(f"ARRAY[{', '.join(elements)}] AS {name}")
        elements = [f"r.{name}[{n}] + excluded.{name}[{n}]" for n in range(1, BINS + 1)]
        adds.append(f"{name} = ARRAY[{', '.join(elements)}]")
    return f"""
WITH taken AS (
    DELETE FROM {table}_delta WHERE id = ANY (ARRAY(
        SELECT id FROM {table}_delta ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED
    ))
    RETURNING *
),
folded AS (
    INSERT INTO {table} AS r ({", ".join(shape.columns)})
    SELECT {by}, {", ".join(sums)} FROM taken GROUP BY {by} ORDER BY {by}
    ON CONFLICT ({by}) DO UPDATE SET {", ".join(adds)}
)
SELECT count(*) FROM taken
"""  # noqa: S608 - as above.


def rebuild_rollups(
    connection: BaseDatabaseWrapper,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
) -> int:
    """Make the rollups of [since, until) again from facts and corrections; return their number.

    Both bounds are whole quarters of an hour. Settlement goes on meanwhile; folds and retention
    wait. Days whose facts are dropped keep what they have; to ask for one is a ValueError. Not to
    be called within a transaction.
    """
    until = until or datetime(9999, 1, 1, tzinfo=UTC)
    for name, bound in (("since", since or BEGINNING), ("until", until)):
        if (bound - BEGINNING) % QUARTER:
            raise ValueError(f"{name}: {bound} is not a whole quarter of an hour")
    with transaction.atomic(using=connection.alias, durable=True), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        # LOCK takes no snapshot, so the one that follows shows every fold that was before us, and
        # no day of facts goes away that it shows.
        cursor.execute("LOCK TABLE rollup IN SHARE ROW EXCLUSIVE MODE")
        cursor.execute("LOCK TABLE usage_event IN ACCESS SHARE MODE")
        since = _clamp(since, read_kept_since(cursor))
        ids = [first_id_at(round(bound.timestamp() * 1000)) for bound in (since, until)]
        for shape in (ROLLUP_TAG, ROLLUP):
            for table in (f"{shape.table}_delta", shape.table):
                cursor.execute(
                    f"DELETE FROM {table} WHERE quarter >= %s AND quarter < %s",  # noqa: S608
                    [since, until],
                )
            cursor.execute(_rebuild_sql(shape), [*ids, *ids])
        return int(cursor.rowcount)


def _clamp(since: datetime | None, kept_since: datetime | None) -> datetime:
    if kept_since is None:
        return since or BEGINNING
    if since is not None and since < kept_since:
        raise ValueError(f"since: the facts of days before {kept_since:%Y-%m-%d} are dropped")
    return since or kept_since


def _rebuild_sql(shape: Shape) -> str:
    moves = f"{event_moves_sql('facts')} UNION ALL {correction_moves_sql('corrections')}"
    if shape is ROLLUP_TAG:
        moves = spread_tags_sql(moves)
    return f"""
WITH facts AS (SELECT * FROM usage_event WHERE id >= %s AND id < %s),
corrections AS (
    SELECT * FROM adjustment WHERE window_id IS NULL AND event_id >= %s AND event_id < %s
)
{_insert(shape.table, shape, moves)}
"""  # noqa: S608 - as above.
