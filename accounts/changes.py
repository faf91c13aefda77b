"""Keeps what a process holds in memory true: reads the change log and refreshes the readers of it.

A Follower listens for notifications and also polls every second. What was read is good until
`fresh_until`, which only a successful read moves; a database that is away, stopped or cut off lets
it pass, and calls are refused from then on. No change is skipped: a log that no longer holds the
last number we saw makes everything load again. Triggers write the log; see triggers.py.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import NamedTuple, Protocol

import psycopg
from django.db import connection as django_connection
from psycopg.sql import SQL, Identifier

from accounts.connections import connect, sever, severed_after

POLL_SECONDS = 1.0
READ_SECONDS = 2.0
REFRESH_SECONDS = 10.0
LOAD_SECONDS = 120.0
BATCH = 1_000
# The row of the last number seen comes along: as long as it is there, none after it is lost.
READ = """
    SELECT seq, kind, object_id, organization FROM change_log
    WHERE seq >= %s ORDER BY seq LIMIT %s
"""
HEAD = "SELECT coalesce(max(seq), 0) FROM change_log"

logger = logging.getLogger(__name__)


class Change(NamedTuple):
    """One row that changed; `kind` is its table."""

    seq: int
    kind: str
    object_id: int
    organization: int | None


class Subscriber(Protocol):
    """Something held in memory. Both methods run on the follower's connection, one at a time."""

    kinds: frozenset[str]

    async def load(self, connection: psycopg.AsyncConnection) -> None:
        """Replace everything by what the database says."""

    async def refresh(self, connection: psycopg.AsyncConnection, changes: Sequence[Change]) -> None:
        """Read again what changed (only `kinds`). May be asked twice for the same change."""


class Follower:
    """Follows the change log for the life of a process: start(), then run() as a task, close()."""

    def __init__(
        self,
        conninfo: str,
        subscribers: Sequence[Subscriber],
        *,
        freshness_seconds: float,
        notices: Mapping[str, Callable[[str], None]] | None = None,
    ) -> None:
        """`notices` are further channels to listen on, with what takes their payloads."""
        self.fresh_until = 0.0
        self._conninfo = conninfo
        self._subscribers = tuple(subscribers)
        self._freshness_seconds = freshness_seconds
        self._notices = dict(notices or {})
        self._connection: psycopg.AsyncConnection | None = None
        self._seq: int | None = None  # The last number applied; None when all has to be loaded.
        self._failures = 0
        self._closing = asyncio.Event()
        self._ended = asyncio.Event()
        self._ended.set()

    async def start(self) -> None:
        """Load everything. Raises psycopg.Error when the database is away."""
        try:
            await self._catch_up(await self._open())
        except BaseException:
            await self._drop_connection()
            raise

    async def run(self) -> None:
        """Apply changes until close(), reconnecting for ever. End it by close(), not cancel()."""
        self._ended.clear()
        try:
            while not self._closing.is_set():
                await self._follow_once()
        finally:
            await self._drop_connection()
            self._ended.set()

    async def close(self) -> None:
        """End run() and the connection; takes as long as one connection attempt at most."""
        self._closing.set()
        if self._connection is not None:
            sever(self._connection)
        await self._ended.wait()
        await self._drop_connection()

    async def _follow_once(self) -> None:
        try:
            connection = self._connection or await self._open()
            await self._catch_up(connection)
            self._note_success()
            await self._wait_for_notice(connection)
        except (psycopg.Error, OSError) as error:
            await self._recover(error)
        except Exception as error:
            # A subscriber is broken. What it holds may be half new, so all is loaded again; until
            # that succeeds nothing is fresh and calls are refused, which is what has to happen.
            logger.exception("A change could not be applied; everything will be loaded again.")
            self._seq = None
            await self._recover(error)

    async def _wait_for_notice(self, connection: psycopg.AsyncConnection) -> None:
        """Wait until something was said, POLL_SECONDS at most; pass on what is not for us. What
        nobody can read, as of another release, is passed over: it says nothing of the log."""
        async for notice in connection.notifies(timeout=POLL_SECONDS, stop_after=1):
            take = self._notices.get(notice.channel)
            if take is not None:
                try:
                    take(notice.payload)
                except Exception:
                    logger.exception("A notice on %s cannot be read.", notice.channel)

    async def _open(self) -> psycopg.AsyncConnection:
        self._connection = await connect(
            self._conninfo,
            application_name="tollgate changes",
            statement_timeout_seconds=int(LOAD_SECONDS),
        )
        with severed_after(self._connection, READ_SECONDS):
            for channel in ("tollgate_changes", *self._notices):
                await self._connection.execute(SQL("LISTEN {}").format(Identifier(channel)))
        if self._closing.is_set():
            sever(self._connection)
        return self._connection

    async def _catch_up(self, connection: psycopg.AsyncConnection) -> None:
        """Apply what was committed before this call, and be fresh from its last read on."""
        more = True
        while more:
            if self._seq is None:
                await self._load(connection)
            started = time.monotonic()
            changes = await self._read(connection)
            more = changes is None or len(changes) >= BATCH - 1
            if changes:
                await self._apply(connection, changes)
        self.fresh_until = started + self._freshness_seconds

    async def _load(self, connection: psycopg.AsyncConnection) -> None:
        with severed_after(connection, LOAD_SECONDS):
            row = await (await connection.execute(HEAD)).fetchone()
            for subscriber in self._subscribers:
                await subscriber.load(connection)
        self._seq = row[0] if row else 0

    async def _read(self, connection: psycopg.AsyncConnection) -> list[Change] | None:
        """Return the changes after the last one, or None when some may be missing."""
        last = self._seq or 0
        with severed_after(connection, READ_SECONDS):
            rows = await (await connection.execute(READ, (last, BATCH))).fetchall()
        if (rows[0][0] if rows else 0) not in (last, last + 1):
            logger.warning("The change log does not reach back to %s; loading everything.", last)
            self._seq = None
            return None
        return [Change(*row) for row in rows if row[0] > last]

    async def _apply(self, connection: psycopg.AsyncConnection, changes: Sequence[Change]) -> None:
        with severed_after(connection, REFRESH_SECONDS):
            for subscriber in self._subscribers:
                concerned = [change for change in changes if change.kind in subscriber.kinds]
                if concerned:
                    await subscriber.refresh(connection, concerned)
        self._seq = changes[-1].seq

    async def _recover(self, error: Exception) -> None:
        await self._drop_connection()
        if self._closing.is_set():
            return
        if not self._failures:
            logger.warning("The change log cannot be read: %s", str(error).strip())
        pause_seconds = min(1.0, 0.05 * 2 ** min(self._failures, 10)) * random.uniform(0.5, 1)  # noqa: S311
        self._failures += 1
        try:
            await asyncio.wait_for(self._closing.wait(), pause_seconds)
        except TimeoutError:
            return

    def _note_success(self) -> None:
        if self._failures:
            logger.warning("The change log is read again, after %d attempts.", self._failures)
        self._failures = 0

    async def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            sever(connection)
            await connection.close()


def wait_for_turn() -> None:
    """Be the only writer of watched tables until this transaction ends.

    For who reads what its writes depend on. Take it before any row lock, as the triggers do.
    """
    with django_connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(8390043843661231205)")


def trim_change_log(keep: timedelta) -> int:
    """Delete rows older than `keep`, though never the newest: followers compare with it.

    Returns how many went.
    """
    with django_connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM change_log WHERE at < now() - make_interval(secs => %s)"
            " AND seq < (SELECT max(seq) FROM change_log)",
            [keep.total_seconds()],
        )
        return int(cursor.rowcount)
