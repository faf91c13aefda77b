"""One identity of a gateway process: its row, lease, allowances, spool and tasks, as one thing.

It lives until the server stops or the database ends it. In the second case another identity takes
its place (ledger.py), and this one settles what it had under way by the late path.
"""

from __future__ import annotations

import asyncio
import logging
import time
from functools import partial
from pathlib import Path

import psycopg

from billing.ledger import late, processes
from billing.ledger.allowances import Allowances
from billing.ledger.database import AWAY, Database
from billing.ledger.draws import DrawTask
from billing.ledger.idle import Idle
from billing.ledger.loops import Loops
from billing.ledger.rates import Rates, connect
from billing.ledger.recalls import LACKED_LOOK_SECONDS
from billing.ledger.settler import Settler
from billing.ledger.spool import Spool
from billing.ledger.standing import Readings, read_windows
from billing.usage import new_id

log = logging.getLogger(__name__)


class Process:
    """Named by a UUIDv7 of its own. `open_holds` counts the attempts that have not ended."""

    def __init__(
        self,
        conninfo: str,
        *,
        redis_url: str,
        spool_root: Path,
        spool_max_bytes: int,
        loops: Loops,
    ) -> None:
        self.id = new_id()
        self.spool = Spool(
            spool_root / self.id,
            max_bytes=spool_max_bytes,
            soon=asyncio.get_running_loop().call_soon,
        )
        self.allowances = Allowances()
        self.database = Database(conninfo, name="tollgate draws")
        self.rates = Rates(connect(redis_url), process=self.id)
        self.draws = DrawTask(
            self.database, self.rates, self.allowances, process=self.id, loops=loops
        )
        self.settler = Settler(
            Database(conninfo, name="tollgate settlement"), process=self.id, spool=self.spool
        )
        self._reads = Database(conninfo, name="tollgate reads")
        self.stored_readings = Readings(partial(read_windows, self._reads), loops=loops)
        self.rate_readings = Readings(self.rates.standing, loops=loops)
        self._idle_rates = Idle()
        self.finished = 0
        self.open_holds = 0
        self.lease_ends = 0.0  # time.monotonic() until which this process may let calls go.
        self._next_look = self._next_renewal = 0.0
        self._loops = loops
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Register with the database and begin to work. Raises when the database is away."""
        started = time.monotonic()
        async with self.database.connection() as connection:
            await processes.register(connection, self.id)
            self.draws.processes = await processes.count_alive(connection)
        self.rates.processes = self.draws.processes
        self._extend_lease(started)
        self._next_renewal = time.monotonic() + processes.RENEW_SECONDS
        self._tasks = [
            self._loops.start("settle", self.settler.run),
            self._loops.start("sync the spool", self.spool.keep_synced),
            self._loops.start("tend rates", self._tend_rates),
            self._loops.start("draw", self._work),
        ]

    @property
    def has_ended(self) -> bool:
        return self.draws.process_ended or self.settler.process_ended

    async def finish(self, *, timeout_seconds: float) -> None:
        """Settle what is finished, give everything back and go, within the time given."""
        try:
            async with asyncio.timeout(timeout_seconds):
                await self.settler.drained()
                self._tasks[-1].cancel()
                await self._give_back_rates(everything=True)
                # What has finished since is settled from the spool, while all of it is drawn still.
                if not self.open_holds and not self.settler.depth:
                    await self._end()
        except (TimeoutError, psycopg.Error, *AWAY) as error:
            log.warning("process %s leaves its spool for the next one: %r", self.id, error)
        finally:
            for task in self._tasks:
                task.cancel()
            self.database.drop()
            self.settler.database.drop()
            self._reads.drop()
            self.spool.close(remove=True)
            await self.rates.close()

    async def _end(self) -> None:
        """End the row, also one whose lease ran out without anybody's having reaped it yet: whoever
        reaps it after its spool is gone would capture all that it had drawn."""
        async with self.database.connection() as connection:
            await processes.end_cleanly(connection, self.id, finished=self.finished)
            if self.has_ended:
                await late.credit_captured(connection, process=self.id)

    async def _work(self) -> None:
        """Draw when somebody waits; every few seconds renew the lease, every second give back."""
        while not self.has_ended:
            recalls = self.draws.recalls
            await self._until_wanted(LACKED_LOOK_SECONDS if recalls.is_wanted else 1.0)
            await self.draws.serve()
            now = time.monotonic()
            try:
                # The lease comes first: what goes wrong with the others must not end it.
                if now >= self._next_renewal:
                    await self._renew()
                    self._next_renewal = now + processes.RENEW_SECONDS
                if recalls.is_wanted:
                    await self.draws.give_back_lacked()
                if now >= self._next_look or self.allowances.is_recalled:
                    self._next_look = now + 1.0
                    await self.draws.give_back()
                    await self.draws.draw_ahead()
            except (psycopg.Error, *AWAY) as error:
                log.warning("process %s cannot reach the database: %s", self.id, error)
                self.database.drop()
                self._next_look = now + 1.0
            except Exception:
                self.database.drop()
                raise
        self.lease_ends = 0.0  # What it had drawn is not its own any more.

    async def _tend_rates(self) -> None:
        """Every second, whatever the database does: its calls at once go on being counted."""
        while True:
            await asyncio.sleep(1.0)
            await self._give_back_rates()

    async def _give_back_rates(self, *, everything: bool = False) -> None:
        in_use = [window for window in self.allowances.in_use if window.is_rate]
        await self.rates.tend(in_use, self._idle_rates.find(in_use, everything=everything))

    async def _until_wanted(self, timeout_seconds: float) -> None:
        wake = self.allowances.wake
        if not wake.is_set():
            timer = asyncio.get_running_loop().call_later(timeout_seconds, wake.set)
            await wake.wait()
            timer.cancel()
        wake.clear()

    async def _renew(self) -> None:
        started = time.monotonic()
        unused = self.allowances.unused()
        held = {w.window: w.taken for w in self.allowances.in_use if w.window > 0}
        async with self.database.connection() as connection:
            alive = await processes.renew(connection, self.id, finished=self.finished, held=held)
            self.draws.processes = max(await processes.count_alive(connection), 1)
            self.rates.processes = self.draws.processes
        self.allowances.forget(unused)
        self.draws.failing = False
        if alive:
            self._extend_lease(started)
        else:
            self.draws.process_ended = True

    def _extend_lease(self, started: float) -> None:
        self.lease_ends = started + processes.LEASE_SECONDS - processes.LEASE_MARGIN_SECONDS
