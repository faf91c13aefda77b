"""What repeats ask of PostgreSQL, over one connection that a task of its own uses.

A call waits for its claim at most WAIT_SECONDS and is refused after that; if the claim is made all
the same, it is let go of again. Jobs that have to be done sooner or later stay in the queue while
the database is away.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from billing.ledger.database import AWAY, Database
from billing.ledger.loops import Loops

log = logging.getLogger(__name__)

WAIT_SECONDS = 0.2
PAUSE_SECONDS = 0.5
MOST_JOBS = 2_000


class DatabaseAway(Exception):
    """The database did not answer in time; what was asked may be done or not."""


@dataclass(slots=True, eq=False)
class Job:
    """One statement. `undo` is what makes up for it where nobody waited to the end."""

    query: str
    values: Sequence[object]
    future: asyncio.Future[list[tuple[Any, ...]]]
    has_to_be_done: bool = False
    undo: Callable[[], None] | None = None

    def refuse(self, error: Exception) -> None:
        if not self.future.done():
            self.future.set_exception(DatabaseAway(str(error)))
            self.future.exception()  # It is looked at, also where nobody waits for it.


class Jobs:
    """The queue of one gateway process, from start() to close()."""

    def __init__(self, conninfo: str, *, loops: Loops) -> None:
        self._database = Database(conninfo, name="tollgate repeats")
        self._loops = loops
        self._queue: deque[Job] = deque()
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, with a connection that is open before the first call waits for it."""
        self._task = self._loops.start("keep repeats", self._run)
        self._add(Job("SELECT 1", [], _future()))

    async def close(self, *, timeout_seconds: float) -> None:
        """Do what has to be done if that is quick, and end."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await self._idle.wait()
        if self._task is not None:
            self._task.cancel()
        self._database.drop()

    @property
    def kept_bytes(self) -> int:
        """Return how much of what has to be done lies in memory."""
        values = (value for job in self._queue for value in job.values)
        return sum(len(value) for value in values if isinstance(value, bytes))

    async def ask(
        self, query: str, values: Sequence[object], *, undo: Callable[[], None]
    ) -> list[tuple[Any, ...]]:
        """Return the rows. Raises DatabaseAway within WAIT_SECONDS; then `undo` is called once it
        is known, or as good as known, that the statement has been carried out."""
        if len(self._queue) >= MOST_JOBS:
            raise DatabaseAway("too many calls wait for it")
        job = self._add(Job(query, values, _future(), undo=undo))
        return await self._wait(job)

    async def do(self, query: str, values: Sequence[object], *, waits: bool) -> None:
        """Carry a statement out, sooner or later; `waits` says to wait a moment for it."""
        job = self._add(Job(query, values, _future(), has_to_be_done=True))
        if waits:
            with contextlib.suppress(DatabaseAway):
                await self._wait(job)

    def do_later(self, query: str, values: Sequence[object]) -> None:
        self._add(Job(query, values, _future(), has_to_be_done=True))

    def _add(self, job: Job) -> Job:
        self._queue.append(job)
        self._idle.clear()
        self._wake.set()
        return job

    async def _wait(self, job: Job) -> list[tuple[Any, ...]]:
        late = DatabaseAway("it did not answer in time")
        timer = asyncio.get_running_loop().call_later(WAIT_SECONDS, job.refuse, late)
        try:
            return await job.future
        finally:
            timer.cancel()

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            while self._queue:
                if not await self._do_first():
                    await asyncio.sleep(PAUSE_SECONDS)
            self._wake.clear()
            self._idle.set()

    async def _do_first(self) -> bool:
        """Carry out the first job; False where the database is away."""
        job = self._queue[0]
        if job.future.done() and not job.has_to_be_done:  # Its call has given up already.
            self._queue.popleft()
            return True
        try:
            async with self._database.connection() as connection:
                cursor = await connection.execute(job.query.encode(), job.values)
                rows = await cursor.fetchall() if cursor.description else []
        except AWAY as error:
            self._database.drop()
            self._refuse_all(error)
            return False
        except psycopg.Error as error:
            log.error("repeats: %s", error)
            self._queue.popleft()
            job.refuse(error)
            return True
        except Exception as error:
            self._database.drop()
            self._queue.popleft()
            job.refuse(error)
            if job.undo is not None:  # It may have been carried out.
                job.undo()
            raise
        self._queue.popleft()
        if not job.future.done():
            job.future.set_result(rows)
        elif job.undo is not None:
            job.undo()
        return True

    def _refuse_all(self, error: Exception) -> None:
        """Refuse who waits, keep what has to be done. The first may have been done after all."""
        waiting, self._queue = self._queue, deque()
        for job in waiting:
            job.refuse(error)
            if job.has_to_be_done:
                self._queue.append(job)
        if waiting[0].undo is not None:
            waiting[0].undo()


def _future() -> asyncio.Future[list[tuple[Any, ...]]]:
    return asyncio.get_running_loop().create_future()
