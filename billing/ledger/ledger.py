"""The ledger's door: hold before a call, record what leaves, finish it once.

    hold = await ledger.hold(needs, ...)      # every quota of the call, or none
    ledger.send(hold, event)                  # in the spool before the first byte leaves
    ledger.see(hold, event)                   # a stream's figures so far
    ledger.finish(hold, event)                # in the spool before the caller sees the end
    ledger.forget(hold)                       # instead, when nothing left this machine

Each of the last two ends the hold, whichever comes first; a second one is a mistake and raises.
`event` is always the UsageEvent as it would stand if nothing more were heard.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import psycopg

from billing.ledger import core, late, processes
from billing.ledger.allowances import Allowances, Claim, Need, Standing, Unavailable
from billing.ledger.database import AWAY, Database
from billing.ledger.draws import DrawTask
from billing.ledger.settler import Finished, Settler
from billing.ledger.spool import DONE, SEEN, VOID, Spool
from billing.quotas import QuotaRule
from billing.usage import UsageEvent, new_id

log = logging.getLogger(__name__)

SWEEP_SECONDS = 10.0

_encode = msgspec.json.Encoder().encode


class Hold:
    """What an attempt may use, taken from the allowances of one process. Ends once."""

    __slots__ = ("attempt", "claims", "is_open", "process")

    def __init__(self, process: Process, claims: Sequence[Claim]) -> None:
        self.process = process
        self.claims = claims
        self.attempt = ""
        self.is_open = True


class Process:
    """One identity of this gateway process, with its allowances, spool and tasks.

    A new one takes its place when the database has ended it; it then settles what it had under
    way by the late path and disappears.
    """

    def __init__(self, conninfo: str, *, spool_root: Path, spool_max_bytes: int) -> None:
        self.id = new_id()
        self.spool = Spool(spool_root / self.id, max_bytes=spool_max_bytes)
        self.allowances = Allowances()
        self.database = Database(conninfo, name="tollgate draws")
        self.draws = DrawTask(self.database, self.allowances, process=self.id)
        self.settler = Settler(
            Database(conninfo, name="tollgate settlement"), process=self.id, spool=self.spool
        )
        self.finished = 0
        self.open_holds = 0
        self.lease_ends = 0.0  # time.monotonic() until which this process may let calls go.
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Register with the database and begin to work. Raises when the database is away."""
        started = time.monotonic()
        async with self.database.connection() as connection:
            await processes.register(connection, self.id)
        self._extend_lease(started)
        self._tasks = [
            asyncio.create_task(self.settler.run(), name="settle"),
            asyncio.create_task(self.spool.keep_synced(), name="sync the spool"),
            asyncio.create_task(self._work(), name="draw"),
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
                if not self.open_holds:
                    await self._end()
        except (TimeoutError, psycopg.Error, *AWAY) as error:
            log.warning("process %s leaves its spool for the next one: %r", self.id, error)
        for task in self._tasks:
            task.cancel()
        self.spool.close(remove=True)

    async def _end(self) -> None:
        async with self.database.connection() as connection:
            if self.has_ended:
                await late.credit_captured(connection, process=self.id)
            else:
                await processes.end_cleanly(connection, self.id, finished=self.finished)

    async def _work(self) -> None:
        """Draw when somebody waits; every second give back, every few renew the lease."""
        next_look = 0.0
        next_renewal = time.monotonic() + processes.RENEW_SECONDS
        while not self.has_ended:
            await self._until_wanted(1.0)
            await self.draws.serve()
            now = time.monotonic()
            try:
                if now >= next_renewal:
                    await self._renew()
                    next_renewal = now + processes.RENEW_SECONDS
                if now >= next_look:
                    await self.draws.give_back()
                    next_look = now + 1.0
            except (psycopg.Error, *AWAY) as error:
                log.warning("process %s cannot reach the database: %s", self.id, error)
                self.database.drop()
                next_look = now + 1.0

    async def _until_wanted(self, timeout_seconds: float) -> None:
        wake = self.allowances.wake
        if not wake.is_set():
            timer = asyncio.get_running_loop().call_later(timeout_seconds, wake.set)
            await wake.wait()
            timer.cancel()
        wake.clear()

    async def _renew(self) -> None:
        started = time.monotonic()
        held = {w.window: w.held + w.pending for w in self.allowances.all() if w.window}
        async with self.database.connection() as connection:
            alive = await processes.renew(connection, self.id, finished=self.finished, held=held)
        if alive:
            self._extend_lease(started)
        else:
            self.draws.process_ended = True

    def _extend_lease(self, started: float) -> None:
        self.lease_ends = started + processes.LEASE_SECONDS - processes.LEASE_MARGIN_SECONDS


class Ledger:
    """The ledger as one gateway process uses it."""

    def __init__(self, conninfo: str, *, spool_root: Path, spool_max_bytes: int = 2**30) -> None:
        self._conninfo = conninfo
        self._spool_root = spool_root
        self._spool_max_bytes = spool_max_bytes
        self._tending: asyncio.Task[None] | None = None
        self._leaving: set[asyncio.Task[None]] = set()
        self.process: Process

    async def start(self) -> None:
        """Settle what earlier processes left here, then begin. Raises when the database is away."""
        self._spool_root.mkdir(parents=True, exist_ok=True, mode=0o700)
        await processes.reap_ended_processes(self._conninfo, self._spool_root)
        await self._be_born()
        self._tending = asyncio.create_task(self._tend(), name="tend the ledger")

    async def hold(self, needs: Sequence[Need], *, now: float, time_zone: str) -> Hold:
        """Hold what a call needs of every quota, or nothing.

        `now` is in Unix seconds and decides the windows. Raises Spent with the refusing window's
        figures, or Unavailable within a quarter of a second when the database does not answer.
        """
        process = self.process
        if time.monotonic() > process.lease_ends:
            raise Unavailable("this process has lost its lease")
        claims = process.allowances.claims(needs, now=now, time_zone=time_zone)
        if not process.allowances.take(claims):
            await process.allowances.wait(claims)
        process.open_holds += 1
        return Hold(process, claims)

    def send(self, hold: Hold, event: UsageEvent) -> None:
        """Record that the attempt leaves now. Raises SpoolFull or Unavailable, the hold ended.

        The record is written first and the lease looked at second: a reaper that did not see the
        record has ended the lease, and then nothing leaves.
        """
        process = hold.process
        hold.attempt = event.id
        self._fill(hold, event)
        try:
            process.spool.sent(event.id, _encode(event))
        except BaseException:
            self._release(hold)
            raise
        if time.monotonic() > process.lease_ends:
            self.forget(hold)
            raise Unavailable("this process has lost its lease")

    def see(self, hold: Hold, event: UsageEvent) -> None:
        """Record a stream's figures so far."""
        self._fill(hold, event)
        hold.process.spool.note(SEEN, event.id, _encode(event))

    def finish(self, hold: Hold, event: UsageEvent) -> None:
        """Record how the attempt ended, end its hold and hand it to settlement."""
        process = hold.process
        self._close(hold)
        process.finished += 1
        event.process_seq = process.finished
        self._fill(hold, event)
        payload = _encode(event)
        process.spool.note(DONE, event.id, payload)
        core.use(hold.claims, event.window_amounts)
        process.settler.add(Finished(event.id, payload, hold.claims, event.window_amounts))

    def forget(self, hold: Hold) -> None:
        """End the hold of an attempt of which nothing left this machine."""
        if hold.attempt:
            spool = hold.process.spool
            spool.note(VOID, hold.attempt, _encode({"id": hold.attempt}))
            spool.settled([hold.attempt])
        self._release(hold)

    def standing(self, rules: Sequence[QuotaRule]) -> dict[int, Standing]:
        """Return what this process knows of the current windows of `rules`, by quota id."""
        return self.process.allowances.standing(rules)

    async def close(self, *, timeout_seconds: float) -> None:
        """Settle and give back everything; what cannot be settled in time stays in the spool."""
        if self._tending is not None:
            self._tending.cancel()
        await self.process.finish(timeout_seconds=timeout_seconds)
        for task in self._leaving:
            task.cancel()

    async def _be_born(self) -> None:
        process = Process(
            self._conninfo, spool_root=self._spool_root, spool_max_bytes=self._spool_max_bytes
        )
        try:
            await process.start()
        except BaseException:
            process.spool.close(remove=True)
            raise
        self.process = process

    async def _tend(self) -> None:
        """Take a new identity when the database has ended this one; sweep up after the dead."""
        next_sweep = time.monotonic() + SWEEP_SECONDS
        while True:
            await asyncio.sleep(0.5)
            try:
                if self.process.has_ended:
                    await self._replace()
                if time.monotonic() >= next_sweep:
                    next_sweep = time.monotonic() + SWEEP_SECONDS
                    await processes.reap_ended_processes(self._conninfo, self._spool_root)
            except (psycopg.Error, *AWAY) as error:
                log.warning("the ledger cannot reach the database: %s", error)

    async def _replace(self) -> None:
        before = self.process
        log.warning("process %s was ended by the database; a new one takes its place", before.id)
        await self._be_born()
        task = asyncio.create_task(_see_off(before))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    def _fill(self, hold: Hold, event: UsageEvent) -> None:
        """Say in the event which windows it is held in, and what it comes to in each."""
        event.process = hold.process.id
        event.windows = [claim.account.window for claim in hold.claims]
        event.window_holds = [claim.need for claim in hold.claims]
        event.window_amounts = [event.amount_in(claim.account.rule.unit) for claim in hold.claims]

    def _release(self, hold: Hold) -> None:
        self._close(hold)
        core.release(hold.claims)

    def _close(self, hold: Hold) -> None:
        if not hold.is_open:
            raise RuntimeError(f"the hold of attempt {hold.attempt} has ended already")
        hold.is_open = False
        hold.process.open_holds -= 1


async def _see_off(process: Process) -> None:
    """Let a process that was ended finish its calls and settle them late."""
    while process.open_holds:  # noqa: ASYNC110 - rare, and nobody waits for it.
        await asyncio.sleep(0.5)
    await process.finish(timeout_seconds=3600)
