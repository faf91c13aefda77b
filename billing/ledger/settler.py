"""The task of a gateway process that hands finished attempts to settlement.py in batches.

An attempt waits here between its `done` in the spool and its commit in the database; while the
database is away the queue keeps them and the spool keeps them safe. Nothing here is on the path
of a call.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import psycopg

from billing.ledger import core, late, settlement
from billing.ledger.allowances import Claim
from billing.ledger.database import AWAY, Database
from billing.ledger.spool import Spool
from billing.suspensions import suspend_routes
from billing.usage import UsageEvent

log = logging.getLogger(__name__)

GATHER_SECONDS = 0.2
BATCH = 1000
LONGEST_PAUSE_SECONDS = 2.0

# A batch takes milliseconds. Whoever has waited for so long waits for a database that is slow.
LATE_SECONDS = 3.0


class Finished(NamedTuple):
    """A finished attempt: its id, its UsageEvent as JSON, the numbers of its windows, its claims
    with what was used, and when it finished by the monotonic clock; `over` is the event once more
    if it came to more than was held for it."""

    attempt: str
    event: bytes
    windows: Sequence[int]
    claims: Sequence[Claim]
    amounts: Sequence[int]
    at: float
    over: UsageEvent | None = None


def _distinct(batch: Sequence[Finished]) -> Iterable[Sequence[int]]:
    """Return the windows of a batch; calls of one bundle share one list of them."""
    return {id(finished.windows): finished.windows for finished in batch}.values()


class Settler:
    """Settles the finished attempts of one process, in order, until none are left."""

    def __init__(self, database: Database, *, process: str, spool: Spool) -> None:
        self.database = database
        self._process = process
        self._spool = spool
        self._queue: deque[Finished] = deque()
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self.process_ended = False
        self.failing_since: float | None = None

    @property
    def depth(self) -> int:
        return len(self._queue)

    @property
    def lag_seconds(self) -> float:
        """Return how long the first in the queue has waited."""
        return time.monotonic() - self._queue[0].at if self._queue else 0.0

    @property
    def is_late(self) -> bool:
        """Say whether settlement fails, or the database has not answered for a while."""
        return self.failing_since is not None or self.lag_seconds > LATE_SECONDS

    def add(self, finished: Finished) -> None:
        self._queue.append(finished)
        self._idle.clear()
        self._wake.set()

    async def run(self) -> None:
        """Settle for ever."""
        pause = GATHER_SECONDS
        while True:
            await self._wake.wait()
            await asyncio.sleep(pause)
            if await self._settle_some():
                pause = GATHER_SECONDS
            else:
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
            if not self._queue:
                self._wake.clear()
                self._idle.set()

    async def drained(self) -> None:
        """Wait until everything that was added is settled."""
        await self._idle.wait()

    async def _settle_some(self) -> bool:
        """Settle the oldest batch; False where the database would not."""
        batch = [self._queue[i] for i in range(min(len(self._queue), BATCH))]
        try:
            await self._settle(batch)
        except AWAY as error:
            self._fail(error)
            return False
        except psycopg.Error as error:
            self._fail(error)
            return False
        self.failing_since = None
        for finished in batch:
            self._queue.popleft()
            core.post(finished.claims, finished.amounts)
        self._spool.settled(finished.attempt for finished in batch)
        return True

    async def _settle(self, batch: Sequence[Finished]) -> None:
        events = [finished.event for finished in batch]
        windows = sorted({number for numbers in _distinct(batch) for number in numbers})
        process = self._process
        over = [finished.over for finished in batch if finished.over is not None]
        async with self.database.connection() as connection:
            await suspend_routes(connection, over)
            if not self.process_ended:
                try:
                    await settlement.settle(
                        connection, process=process, events=events, windows=windows
                    )
                    return
                except settlement.ProcessEnded:
                    self.process_ended = True
            await late.settle_late(connection, process=process, events=events)

    def _fail(self, error: Exception) -> None:
        if self.failing_since is None:
            self.failing_since = asyncio.get_running_loop().time()
            log.warning("settlement waits for the database: %s", error)
        self.database.drop()
