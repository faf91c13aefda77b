"""What a gateway process does beside its calls so that people can see: a task, once a second.

It writes samples of refusals and, less often, how the process is; and it asks whether Redis is
there and whether migrations wait to be run. It has a connection of its own, waits for nobody's call
and nobody's call waits for it: when the database is away, what it had is dropped.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import msgspec
import psycopg
from psycopg.types.json import Jsonb
from redis.asyncio import Redis
from redis.exceptions import RedisError

from billing.ledger.database import AWAY, Database
from billing.ledger.loops import Loops
from billing.refusals import Sample, store_refusals
from gateway.refusals import Refusals
from gateway.schema import find_missing_migrations

if TYPE_CHECKING:
    from gateway.process import Configuration

log = logging.getLogger(__name__)

WRITE_SECONDS = 1.0
REPORT_SECONDS = 5.0
PING_SECONDS = 1.0


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """How a process is, in its own words: a column of its row, for the operators' page."""

    process: str
    version: str
    fresh_seconds: float
    queue: int
    lag_seconds: float
    spool_bytes: int
    open_holds: int
    degraded: list[str]
    failing_routes: list[int]


class Reporter:
    """Reports for one process, from start() to close()."""

    def __init__(
        self,
        configuration: Configuration,
        refusals: Refusals,
        report: Callable[[], Report],
        *,
        loops: Loops,
    ) -> None:
        self.redis_is_away = False
        self.missing_migrations: frozenset[str] = frozenset()
        self.lost = 0  # Refusals that could not be written.
        self._refusals = refusals
        self._report = report
        self._loops = loops
        self._database = Database(configuration.conninfo, name="tollgate reports")
        self._redis: Redis | None = None
        if configuration.redis_url:
            self._redis = Redis.from_url(
                configuration.redis_url,
                socket_connect_timeout=PING_SECONDS,
                socket_timeout=PING_SECONDS,
            )
        self._tasks: list[asyncio.Task[None]] = []

    async def check_schema(self) -> None:
        """See whether migrations wait to be run. Raises SchemaMissing for a database without
        tables, or one of AWAY."""
        async with self._database.connection() as connection:
            self.missing_migrations = await find_missing_migrations(connection)
        if self.missing_migrations:
            missing = ", ".join(sorted(self.missing_migrations))
            log.warning("the database lacks %s: run `manage.py migrate`", missing)

    def start(self) -> None:
        self._tasks = [
            self._loops.start("report", self._run),
            self._loops.start("watch Redis", self._watch_redis),
        ]

    async def close(self) -> None:
        """Write what is left if that is quick, and end."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        writing = asyncio.create_task(self._write(self._refusals.take(), None))
        await asyncio.wait([writing], timeout=WRITE_SECONDS)
        self._database.drop()
        await writing
        if self._redis is not None:
            await self._redis.aclose()

    async def _run(self) -> None:
        next_report = 0.0
        while True:
            samples, now = self._refusals.take(), time.monotonic()
            report = self._report() if now >= next_report else None
            if samples or report is not None:
                # Shielded: a statement is never cancelled in the middle.
                await asyncio.shield(self._write(samples, report))
            if report is not None:
                next_report = now + REPORT_SECONDS
            await asyncio.sleep(WRITE_SECONDS)

    async def _write(self, samples: Sequence[Sample], report: Report | None) -> None:
        if not samples and report is None:
            return
        try:
            async with self._database.connection() as connection:
                if samples:
                    await store_refusals(connection, samples)
                if self.missing_migrations:
                    self.missing_migrations = await find_missing_migrations(connection)
                if report is not None:
                    await connection.execute(
                        "UPDATE gateway_process SET report = %s, reported_at = clock_timestamp()"
                        " WHERE id = %s",
                        [Jsonb(msgspec.to_builtins(report)), report.process],
                    )
        except (psycopg.Error, *AWAY) as error:
            self.lost += sum(sample.sampled for sample in samples)
            log.debug("a report was dropped: %s", error)
            self._database.drop()

    async def _watch_redis(self) -> None:
        """Background work waits while Redis is away; calls do not."""
        while self._redis is not None:
            why: Exception | None = None
            try:
                await self._redis.ping()
            except (RedisError, OSError, TimeoutError) as error:
                why = error
            if why is not None and not self.redis_is_away:
                log.warning("Redis is away: %r", why)
            elif why is None and self.redis_is_away:
                log.warning("Redis is back")
            self.redis_is_away = why is not None
            await asyncio.sleep(REPORT_SECONDS)
