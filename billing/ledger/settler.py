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
from collections.abc import Sequence

import psycopg

from billing.ledger import core, late, settlement
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


class Shared:
    """The windows that finished attempts of one bundle share, by number and as accounts, and what
    those used of each that use the same of all."""

    __slots__ = ("accounts", "used_of_each", "windows")

    def __init__(self, windows: Sequence[int], accounts: Sequence[core.Account]) -> None:
        self.windows = windows
        self.accounts = accounts
        self.used_of_each = 0


class Batch:
    """Finished attempts that are settled together.

    `attempts` are their ids, `events` their UsageEvents as JSON, `shared` their windows by the
    identity of the list that all attempts of a bundle have, `used` what they took beside what
    stands in there, `over` those that came to more than was held for them, `since` when the first
    of them finished, by the monotonic clock.
    """

    __slots__ = ("attempts", "events", "over", "shared", "since", "used")

    def __init__(self) -> None:
        self.attempts: list[str] = []
        self.events: list[bytes] = []
        self.used: core.Used = {}
        self.over: list[UsageEvent] = []
        self.since = time.monotonic()
        self.shared: dict[int, Shared] = {}

    def share(self, windows: Sequence[int], accounts: Sequence[core.Account]) -> Shared:
        """Take in the windows of a bundle."""
        shared = self.shared[id(windows)] = Shared(windows, accounts)
        return shared

    @property
    def is_full(self) -> bool:
        return len(self.events) >= BATCH

    def windows(self) -> list[int]:
        """Return the numbers of all windows, ascending."""
        return sorted({number for shared in self.shared.values() for number in shared.windows})

    def post(self) -> None:
        """It is committed what its attempts used."""
        core.post(self.used)
        for shared in self.shared.values():
            core.post(dict.fromkeys(shared.accounts, shared.used_of_each))


class Settler:
    """Settles the finished attempts of one process, in order, until none are left."""

    def __init__(self, database: Database, *, process: str, spool: Spool) -> None:
        self.database = database
        self._process = process
        self._spool = spool
        self._queue: deque[Batch] = deque()
        self._open: Batch | None = None  # The last one of the queue, while it takes more.
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self.process_ended = False
        self.failing_since: float | None = None

    @property
    def depth(self) -> int:
        return sum(len(batch.events) for batch in self._queue)

    @property
    def lag_seconds(self) -> float:
        """Return how long the first in the queue has waited."""
        return time.monotonic() - self._queue[0].since if self._queue else 0.0

    @property
    def is_late(self) -> bool:
        """Say whether settlement fails, or the database has not answered for a while."""
        return self.failing_since is not None or self.lag_seconds > LATE_SECONDS

    def open_batch(self) -> Batch:
        """Return the batch that takes what finishes now."""
        batch = self._open
        if batch is None or batch.is_full:
            batch = self._open = Batch()
            self._queue.append(batch)
            self._idle.clear()
            self._wake.set()
        return batch

    async def run(self) -> None:
        """Settle for ever; what is full at once. What fails is tried again, before all others."""
        pause = GATHER_SECONDS
        while True:
            await self._wake.wait()
            if self.failing_since is not None or not self._queue[0].is_full:
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
        batch = self._queue[0]
        if batch is self._open:
            self._open = None
        try:
            await self._settle(batch)
        except (psycopg.Error, *AWAY) as error:
            self._fail(error)
            return False
        except Exception:
            self.database.drop()  # Whatever was being said over it; the batch stays the first.
            raise
        self.failing_since = None
        self._queue.popleft()
        batch.post()
        self._spool.settled(batch.attempts)
        return True

    async def _settle(self, batch: Batch) -> None:
        process, events, windows = self._process, batch.events, batch.windows()
        async with self.database.connection() as connection:
            await suspend_routes(connection, batch.over)
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
