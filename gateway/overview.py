"""How the whole installation is, on one page for operators: what is wrong first, then the figures.

Read from the database, where every process says how it is. What is wrong has a stable name;
docs/guides/operating.md says what to do about each.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
from django.conf import settings
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.functions import Now
from redis import Redis
from redis.exceptions import RedisError

from accounts.triggers import find_missing_triggers
from billing.models import GatewayProcess, LedgerCheck
from billing.status import FIGURES, RouteHealth, read_figures, read_routes
from gateway.models import Route

SILENT_SECONDS = 30
LAG_SECONDS = 60
UNCHECKED_SECONDS = 3 * 3600
WAITING_TASKS = 100
SHOWN_CHECKS = 8
SHOWN_ROUTES = 50
PING_SECONDS = 1.0

# Figures that have to be zero, by the name of what is wrong where they are not.
ZEROS = {
    "ledger_differs": ("ledger_check_differences", "The last check found {} differences."),
    "windows_over_limit": (
        "windows_over_limit",
        "{} current windows were used beyond their limit, after a limit was lowered or an answer"
        " cost more than its bound.",
    ),
    "routes_suspended": (
        "routes_suspended",
        "{} routes are left out by strict quotas until somebody acknowledges why.",
    ),
    "settlement_conflicts": (
        "settlement_conflicts",
        "{} attempts were settled twice with different figures.",
    ),
    "rejected_events": ("rejected_events", "{} events would not be taken by the database."),
    "no_partition": ("default_partition_rows", "{} events lie in no day's partition."),
}


class Trouble(NamedTuple):
    """Something that is wrong: its stable name, and a sentence."""

    name: str
    text: str


class ProcessState(msgspec.Struct, frozen=True, kw_only=True):
    """A gateway process whose lease runs, and what it said of itself `silent_seconds` ago."""

    id: str
    host: str
    started_at: datetime
    silent_seconds: float | None
    version: str = ""
    fresh_seconds: float | None = None
    queue: int = 0
    lag_seconds: float = 0.0
    spool_bytes: int = 0
    open_holds: int = 0
    degraded: Sequence[str] = ()
    failing_routes: Sequence[int] = ()

    @property
    def is_silent(self) -> bool:
        return self.silent_seconds is None or self.silent_seconds > SILENT_SECONDS


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    at: datetime
    version: str
    troubles: list[Trouble]
    figures: dict[str, float]
    processes: list[ProcessState]
    checks: list[LedgerCheck]
    routes: list[RouteHealth]
    waiting_tasks: int | None

    @property
    def explained(self) -> list[tuple[str, str, float]]:
        """Each figure with its name and what it says."""
        return [(name, FIGURES[name][0], value) for name, value in self.figures.items()]

    @property
    def stored_percent(self) -> str:
        """Which part of what processes finished is stored; cut, so that 100 % means all."""
        finished = self.figures["attempts_finished_recently"]
        stored = self.figures["attempts_stored_recently"]
        return f"{int(10_000 * stored / finished) / 100:g} %" if finished else "–"

    @property
    def missing(self) -> int:
        return _missing(self.figures)


def read_overview(connection: BaseDatabaseWrapper, *, now: datetime) -> Overview:
    """Read everything; each part is one cheap statement or two."""
    figures = read_figures(connection)
    alive = GatewayProcess.objects.filter(ended_at=None, lease_until__gt=Now())
    processes = [_state(row, now) for row in alive.order_by("host", "id")]
    waiting = count_waiting_tasks()
    troubles = [
        *find_troubles(figures, processes, waiting_tasks=waiting, now=now),
        *find_failing_routes(processes),
        *(
            Trouble("changes_unseen", f"The trigger {each} is missing or disabled.")
            for each in find_missing_triggers(connection)
        ),
    ]
    return Overview(
        at=now,
        version=settings.VERSION,
        troubles=troubles,
        figures=figures,
        processes=processes,
        checks=list(LedgerCheck.objects.order_by("-at")[:SHOWN_CHECKS]),
        routes=read_routes(connection, now=now),
        waiting_tasks=waiting,
    )


def find_troubles(
    figures: Mapping[str, float],
    processes: Sequence[ProcessState],
    *,
    waiting_tasks: int | None,
    now: datetime,
) -> Iterator[Trouble]:
    """Say what is wrong, the gravest first. `waiting_tasks` is None where Redis is away."""
    if not processes:
        yield Trouble("no_process", "No gateway process is alive, so no call can be made.")
    for process in processes:
        yield from _ailments(process)
    if waiting_tasks is None:
        yield Trouble("redis_away", "Redis does not answer, so no background work is done.")
    elif waiting_tasks > WAITING_TASKS:
        yield Trouble("tasks_wait", f"{waiting_tasks} tasks wait for a worker; is one running?")
    yield from _delays(figures, processes)
    yield from _unchecked(figures, processes, now=now)
    for name, (figure, text) in ZEROS.items():
        if figures[figure]:
            yield Trouble(name, text.format(int(figures[figure])))


def find_failing_routes(processes: Sequence[ProcessState]) -> Iterator[Trouble]:
    """Name the routes that failed and have not answered since. A call that reached no provider is
    no attempt, so that reports of routes do not have it."""
    failing = Counter(
        route for process in processes if not process.is_silent for route in process.failing_routes
    )
    routes = Route.objects.filter(
        pk__in=list(failing), enabled=True, model__enabled=True, provider__enabled=True
    )
    for route in routes.select_related("model", "provider").order_by("provider", "model")[
        :SHOWN_ROUTES
    ]:
        told = "1 process" if failing[route.pk] == 1 else f"{failing[route.pk]} processes"
        yield Trouble(
            "route_fails",
            f"Provider {route.provider} failed calls of {route.model} one after another, or asked"
            f" to be left alone, and has not answered since, says {told}.",
        )


def _ailments(process: ProcessState) -> Iterator[Trouble]:
    who = f"Process {process.id[:13]} on {process.host}"
    if process.is_silent:
        yield Trouble("process_silent", f"{who} has not said how it is for {SILENT_SECONDS} s.")
        return
    for name in process.degraded:
        yield Trouble(name, f"{who} says so.")
    if process.lag_seconds > LAG_SECONDS:
        yield Trouble(
            "settlement_waits",
            f"{who} has {process.queue} finished attempts that are not settled, the oldest for"
            f" {process.lag_seconds:.0f} s.",
        )


def _delays(figures: Mapping[str, float], processes: Sequence[ProcessState]) -> Iterator[Trouble]:
    if figures["fold_lag_seconds"] > LAG_SECONDS:
        yield Trouble(
            "fold_waits",
            f"Reports are {figures['fold_lag_seconds']:.0f} s behind; is a worker running?",
        )
    missing = _missing(figures) - sum(process.queue for process in processes)
    if missing > 0:
        yield Trouble(
            "events_missing",
            f"{missing} attempts that processes finished are no events yet. Reload: a number that"
            " stays lies in a spool or is lost.",
        )


def _unchecked(
    figures: Mapping[str, float], processes: Sequence[ProcessState], *, now: datetime
) -> Iterator[Trouble]:
    """A check has to be there once an installation has run for some hours."""
    age = figures["ledger_check_age_seconds"]
    running = max(((now - each.started_at).total_seconds() for each in processes), default=0.0)
    if age < 0 and running > UNCHECKED_SECONDS:
        yield Trouble("ledger_unchecked", "The ledger has not been checked yet.")
    elif age > UNCHECKED_SECONDS:
        yield Trouble(
            "ledger_unchecked", f"The last check of the ledger is {age / 3600:.0f} h old."
        )


def _missing(figures: Mapping[str, float]) -> int:
    finished = figures["attempts_finished_recently"]
    return int(finished - figures["attempts_stored_recently"])


def count_waiting_tasks() -> int | None:
    """Return how many tasks no worker has taken yet; None where Redis is away."""
    redis = Redis.from_url(
        settings.REDIS_URL, socket_connect_timeout=PING_SECONDS, socket_timeout=PING_SECONDS
    )
    try:
        return int(redis.llen("celery"))
    except RedisError:
        return None
    finally:
        redis.close()


def _state(row: GatewayProcess, now: datetime) -> ProcessState:
    """Put what a process said beside what the database knows; an older one may say less."""
    said: dict[str, Any] = row.report or {}
    known = {name: said[name] for name in _SAID if name in said}
    silent = (now - row.reported_at).total_seconds() if row.reported_at else None
    return ProcessState(
        id=str(row.id), host=row.host, started_at=row.started_at, silent_seconds=silent, **known
    )


_SAID = tuple(
    name
    for name in ProcessState.__struct_fields__
    if name not in {"id", "host", "started_at", "silent_seconds"}
)
