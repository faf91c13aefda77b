"""How the whole installation is, read from the database: for metrics and for the operators' page.

Each figure is one cheap statement by itself, so that one that is slow or fails takes no other with
it. Nothing here locks or writes, but record_check, which keeps what the hourly check found.
"""

# ruff: noqa: S608 - the pieces of every query here are constants.

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec
from django.db.backends.base.base import BaseDatabaseWrapper

from billing.check import check_ledger
from billing.models import LedgerCheck
from billing.rollups import BINS, LATENCY_EDGES

CHECKS_KEPT = timedelta(days=30)
COUNTED_ROWS = 10_000

# Of every process that lives or ended within a day, among the last 10,000 attempts that it says it
# finished: how many there are, and how many of them are events.
_COMPLETENESS = """
SELECT coalesce(sum(least(p.finished, 10000)), 0)::bigint AS finished,
    coalesce(sum(e.stored), 0)::bigint AS stored
FROM gateway_process p CROSS JOIN LATERAL (
    SELECT count(*) AS stored FROM usage_event u
    WHERE u.process = p.id AND u.id > p.id AND u.process_seq > greatest(p.finished - 10000, 0)
        AND u.process_seq <= p.finished
) e
WHERE p.ended_at IS NULL OR p.ended_at > now() - interval '1 day'
"""

# What is counted, by the name of its metric without the prefix. Each gives one number.
FIGURES = {
    "fold_lag_seconds": (
        "Age of the oldest rollup delta that waits to be folded.",
        "SELECT coalesce(extract(epoch FROM clock_timestamp() - (SELECT at FROM rollup_delta"
        " ORDER BY id LIMIT 1)), 0)::float8",
    ),
    "processes_alive": (
        "Gateway processes whose lease runs.",
        "SELECT count(*) FROM gateway_process"
        " WHERE ended_at IS NULL AND lease_until > clock_timestamp()",
    ),
    "attempts_finished_recently": (
        "Attempts that processes say they finished, the last 10000 of each.",
        f"SELECT finished FROM ({_COMPLETENESS}) AS c",
    ),
    "attempts_stored_recently": (
        "How many of attempts_finished_recently are stored as events.",
        f"SELECT stored FROM ({_COMPLETENESS}) AS c",
    ),
    "windows_over_limit": (
        "Current windows of quotas of which more was used than they allow.",
        'SELECT count(*) FROM quota q CROSS JOIN LATERAL (SELECT posted + overrun AS used, "limit"'
        " FROM quota_window WHERE quota_id = q.id AND starts_at <= now()"
        " ORDER BY starts_at DESC LIMIT 1) w"
        ' WHERE w.used > coalesce(w."limit", q."limit")',
    ),
    "routes_suspended": (
        "Routes that strict quotas leave out because an attempt cost more than its bound.",
        "SELECT count(*) FROM route_suspension WHERE acknowledged_at IS NULL",
    ),
    "settlement_conflicts": (
        "Attempts that were settled twice with different figures.",
        f"SELECT count(*) FROM (SELECT 1 FROM settlement_conflict LIMIT {COUNTED_ROWS}) AS c",
    ),
    "rejected_events": (
        "Events that the database would not take, set aside.",
        f"SELECT count(*) FROM (SELECT 1 FROM rejected_event LIMIT {COUNTED_ROWS}) AS c",
    ),
    "default_partition_rows": (
        "Events in no day's partition, counted up to 10000; there should be none.",
        f"SELECT count(*) FROM (SELECT 1 FROM usage_event_default LIMIT {COUNTED_ROWS}) AS c",
    ),
    "ledger_check_age_seconds": (
        "Time since the ledger was last checked against its facts; -1 for never.",
        "SELECT coalesce(extract(epoch FROM clock_timestamp() - max(at)), -1)::float8"
        " FROM ledger_check",
    ),
    "ledger_check_differences": (
        "Differences that the last check of the ledger found.",
        "SELECT coalesce((SELECT cardinality(differences) FROM ledger_check"
        " ORDER BY at DESC LIMIT 1), 0)",
    ),
}


class RouteHealth(NamedTuple):
    """How one provider did for one model; times in milliseconds, None where nothing answered."""

    provider: str
    model: str
    attempts: int
    failed: int
    refused: int
    first_byte_p50: float | None
    first_byte_p95: float | None
    total_p50: float | None
    total_p95: float | None

    @property
    def failed_share(self) -> float:
        return self.failed / self.attempts if self.attempts else 0.0

    @property
    def failed_percent(self) -> str:
        return f"{100 * self.failed_share:.1f} %"


_SUMS = "ARRAY[{}]".format(", ".join(f"sum({{0}}[{n}])::bigint" for n in range(1, BINS + 1)))
_ROUTES = f"""
SELECT provider, model, sum(attempts)::bigint,
    coalesce(sum(attempts) FILTER (WHERE outcome IN
        ('upstream_failed', 'upstream_timeout', 'answered_partial', 'unknown')), 0)::bigint,
    coalesce(sum(attempts) FILTER (WHERE outcome = 'upstream_refused'), 0)::bigint,
    {_SUMS.format("first_byte_hist")}, {_SUMS.format("total_hist")}
FROM rollup WHERE quarter > %s - interval '75 minutes'
GROUP BY provider, model ORDER BY provider, model LIMIT 500
"""


def read_routes(connection: BaseDatabaseWrapper, *, now: datetime) -> list[RouteHealth]:
    """Return how each provider did for each model in the last hour, in whole quarters."""
    with connection.cursor() as cursor:
        cursor.execute(_ROUTES, [now])
        return [
            RouteHealth(
                *row[:5],
                *(quantile(bins, share) for bins in row[5:] for share in (0.5, 0.95)),
            )
            for row in cursor.fetchall()
        ]


def quantile(bins: list[int], share: float) -> float | None:
    """Return about how many milliseconds `share` of the counted stayed below, None for none."""
    wanted = share * sum(bins)
    if not wanted:
        return None
    edges = (0, *LATENCY_EDGES, LATENCY_EDGES[-1])
    below = 0
    for low, high, count in zip(edges, edges[1:], bins, strict=True):
        if count and below + count >= wanted:
            return low + (high - low) * (wanted - below) / count
        below += count
    return float(edges[-1])


def read_figures(connection: BaseDatabaseWrapper) -> dict[str, float]:
    """Return every figure of FIGURES."""
    found = {}
    with connection.cursor() as cursor:
        for name, (_, query) in FIGURES.items():
            cursor.execute(query)
            found[name] = float(cursor.fetchone()[0])
    return found


def record_check(connection: BaseDatabaseWrapper) -> LedgerCheck:
    """Check the ledger, keep what was found, and drop what was found long ago."""
    started = time.monotonic()
    findings = msgspec.structs.asdict(check_ledger(connection))
    check = LedgerCheck(seconds=time.monotonic() - started, **findings)
    check.save(using=connection.alias)
    _drop_old_checks(connection)
    return check


def _drop_old_checks(connection: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM ledger_check WHERE at < now() - %s", [CHECKS_KEPT])
