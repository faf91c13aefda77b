"""The ledger's door: hold before a call, record what leaves, finish it once.

    hold = ledger.take(bundle, needs, ...)    # every quota of the call, or none: at once
    hold = await ledger.hold(bundle, needs, ...)   # or after a draw
    ledger.send(hold, event)                  # recorded, and
    ledger.let_leave(hold, leave)             # in the spool before the first byte leaves
    ledger.see(hold, event)                   # what is known of a stream under way
    ledger.finish(hold, event)                # recorded, and
    ledger.when_recorded(hold, end)           # in the spool before the caller sees the end
    ledger.forget(hold)                       # instead, when nothing left this machine

finish() and forget() end the hold, whichever comes first; a second one is a mistake and raises.
take_back() keeps it open for another attempt. `event` is always the UsageEvent as it would stand
if nothing more were heard.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import msgspec
import psycopg

from billing.ledger import core, processes
from billing.ledger.allowances import Standing, Unavailable
from billing.ledger.bundles import Bundle
from billing.ledger.database import AWAY
from billing.ledger.holds import Hold
from billing.ledger.identity import Process
from billing.ledger.loops import Loops
from billing.ledger.spool import DONE, SEEN, VOID, SpoolFull
from billing.quotas import QuotaRule
from billing.usage import UsageEvent

log = logging.getLogger(__name__)

SWEEP_SECONDS = 10.0

_encode = msgspec.json.Encoder().encode

# Called with None when an attempt may leave, else with SpoolFull or Unavailable.
Leave = Callable[[Exception | None], None]


class Ledger:
    """The ledger as one gateway process uses it."""

    def __init__(
        self, conninfo: str, *, redis_url: str, spool_root: Path, spool_max_bytes: int = 2**30
    ) -> None:
        self._conninfo = conninfo
        self._redis_url = redis_url
        self._spool_root = spool_root
        self._spool_max_bytes = spool_max_bytes
        self.loops = Loops()
        self._tending: list[asyncio.Task[None]] = []
        self._leaving: set[asyncio.Task[None]] = set()
        self._closing = asyncio.Event()
        self.process: Process

    async def start(self) -> None:
        """Settle what earlier processes left here, then begin. Raises when the database is away."""
        self._spool_root.mkdir(parents=True, exist_ok=True, mode=0o700)
        await self._sweep()
        await self._be_born()
        self._tending = [
            self.loops.start("replace what has ended", self._replace_ended),
            self.loops.start("end the dead", self._sweep_for_ever),
        ]

    async def hold(self, bundle: Bundle, needs: list[int], *, now: float, time_zone: str) -> Hold:
        """Hold what a call needs of every window of the bundle, in its order, or nothing.

        `now` is in Unix seconds and decides the windows. Raises Spent with the refusing window's
        figures, or Unavailable within a quarter of a second when the database does not answer.
        """
        held = self.take(bundle, needs, now=now, time_zone=time_zone)
        if held is not None:
            return held
        process = self.process
        if time.monotonic() > process.lease_ends:
            raise Unavailable("this process has lost its lease")
        allowances = process.allowances
        windows = allowances.find(bundle, now=now, time_zone=time_zone)
        edition = allowances.edition
        await allowances.wait(list(zip(windows, needs, strict=True)))
        bundle.keep(windows, edition)
        process.open_holds += 1
        return Hold(process, bundle, windows, needs)

    def take(self, bundle: Bundle, needs: list[int], *, now: float, time_zone: str) -> Hold | None:
        """Hold it at once; None where hold() has to wait for it, or says why it cannot be had."""
        process = self.process
        allowances = process.allowances
        windows = allowances.find(bundle, now=now, time_zone=time_zone)
        if time.monotonic() > process.lease_ends or not allowances.take(bundle, windows, needs):
            return None
        for place in bundle.watched:
            window = windows[place]
            if window.low > window.free:
                allowances.refill(list(zip(windows, needs, strict=True)))
        process.open_holds += 1
        return Hold(process, bundle, windows, needs)

    def send(self, hold: Hold, event: UsageEvent) -> None:
        """Record that the attempt is about to leave. Raises SpoolFull, the hold ended."""
        process = hold.process
        hold.attempt = event.id
        event.process = process.id
        event.windows = hold.windows
        bundle = hold.bundle
        event.window_holds = hold.needs[: bundle.stored] if bundle.has_rates else hold.needs
        hold.count(event)
        try:
            process.spool.sent(event.id, _encode(event))
        except BaseException:
            self._release(hold)
            raise

    def let_leave(self, hold: Hold, leave: Leave) -> None:
        """Have `leave` called when the attempt may leave, or with what forbids it.

        The record is written first and the lease looked at second: a reaper that did not see the
        record has ended the lease, and then nothing leaves.
        """
        process = hold.process
        process.spool.when_written(hold.attempt, partial(_permit, process, leave))

    def see(self, hold: Hold, event: UsageEvent) -> None:
        """Record what is known so far of an attempt under way."""
        hold.count(event)
        hold.process.spool.note(SEEN, event.id, _encode(event))

    def finish(self, hold: Hold, event: UsageEvent) -> None:
        """Record how the attempt ended, end its hold and hand it to settlement."""
        process = hold.process
        self._close(hold)
        process.finished += 1
        event.process_seq = process.finished
        amounts = hold.count(event)
        payload = _encode(event)
        process.spool.note(DONE, event.id, payload)
        batch = process.settler.open_batch()
        batch.attempts.append(event.id)
        batch.events.append(payload)
        shared = batch.shared.get(id(hold.windows)) or batch.share(hold.windows, hold.accounts)
        bundle = hold.bundle
        if bundle.alike:
            shared.used_of_each += core.use_alike(hold.accounts, hold.needs[0], amounts[0])
        else:
            core.use(hold.claims, event.window_amounts, batch.used)
            if bundle.has_rates:
                self._use_rates(hold, amounts[bundle.stored :])
        if hold.is_outdone_by(event):
            batch.over.append(event)

    def when_recorded(self, hold: Hold, end: Callable[[], None]) -> None:
        """Have `end` called when all that is known of the attempt is in the spool."""
        hold.process.spool.when_written(hold.attempt, lambda _: end())

    def record(self, hold: Hold) -> None:
        """See to it that what is known of the attempt is in the spool, now."""
        hold.process.spool.flush()

    def take_back(self, hold: Hold) -> None:
        """Nothing of the attempt left this machine; the hold stays open for another one."""
        spool = hold.process.spool
        spool.note(VOID, hold.attempt, _encode({"id": hold.attempt}))
        spool.settled([hold.attempt])
        hold.attempt = ""

    def forget(self, hold: Hold) -> None:
        """End a hold of which nothing left this machine."""
        if hold.attempt:
            self.take_back(hold)
        self._release(hold)

    def hear(self, payload: str) -> None:
        """Another process has said something on recalls.CHANNEL."""
        self.process.draws.recalls.hear(payload)

    async def standing(
        self, rules: Sequence[QuotaRule], *, now: float, time_zone: str
    ) -> list[Standing]:
        """Return how the current windows of `rules` stand in the database, in that order.

        Raises Unavailable within WAIT_SECONDS when the database does not answer.
        """
        process = self.process
        windows = process.allowances.find(Bundle(rules), now=now, time_zone=time_zone)
        stored = [window for window in windows if not window.is_rate]
        rates = [window for window in windows if window.is_rate]
        found = {
            standing.rule.id: standing
            for standings in await asyncio.gather(
                process.stored_readings.ask(stored), process.rate_readings.ask(rates)
            )
            for standing in standings
        }
        return [found[rule.id] for rule in rules]

    async def close(self, *, timeout_seconds: float) -> None:
        """Settle and give back everything; what cannot be settled in time stays in the spool."""
        for task in self._tending:
            task.cancel()
        self._closing.set()
        await self.process.finish(timeout_seconds=timeout_seconds)
        if self._leaving:
            await asyncio.wait(self._leaving, timeout=timeout_seconds)
        for task in self._leaving:
            task.cancel()

    async def _be_born(self) -> None:
        process = Process(
            self._conninfo,
            redis_url=self._redis_url,
            spool_root=self._spool_root,
            spool_max_bytes=self._spool_max_bytes,
            loops=self.loops,
        )
        try:
            await process.start()
        except BaseException:
            process.spool.close(remove=True)
            raise
        self.process = process

    async def _replace_ended(self) -> None:
        """Take a new identity when the database has ended this one."""
        while True:
            await asyncio.sleep(0.5)
            if self.process.has_ended:
                try:
                    await self._replace()
                except (psycopg.Error, *AWAY) as error:
                    log.warning("no new process can be begun: %s", error)

    async def _sweep_for_ever(self) -> None:
        """End those whose lease ran out. It may wait for locks, so it is a task of its own."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            try:
                await self._sweep()
            except (psycopg.Error, *AWAY) as error:
                log.warning("the dead cannot be ended: %s", error)

    async def _sweep(self) -> None:
        await processes.reap_ended_processes(
            self._conninfo, self._spool_root, note_failure=self.loops.note_failure
        )

    async def _replace(self) -> None:
        before = self.process
        log.warning("process %s was ended by the database; a new one takes its place", before.id)
        await self._be_born()
        task = asyncio.create_task(_see_off(before, self._closing))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    def _use_rates(self, hold: Hold, amounts: Sequence[int]) -> None:
        """End the claims on rates at once: nothing of theirs waits for a settlement."""
        rates = hold.rates
        core.spend(rates, amounts)
        for (window, need), amount in zip(rates, amounts, strict=True):
            if amount > need:
                hold.process.rates.note_extra(window, amount - max(need, 0))

    def _release(self, hold: Hold) -> None:
        self._close(hold)
        core.release(hold.claims)
        core.release(hold.rates)

    def _close(self, hold: Hold) -> None:
        if not hold.is_open:
            raise RuntimeError(f"the hold of attempt {hold.attempt} has ended already")
        hold.is_open = False
        hold.process.open_holds -= 1


def _permit(process: Process, leave: Leave, is_recorded: bool) -> None:
    if not is_recorded:
        leave(SpoolFull(str(process.spool.folder)))
    elif time.monotonic() > process.lease_ends:
        leave(Unavailable("this process has lost its lease"))
    else:
        leave(None)


async def _see_off(process: Process, closing: asyncio.Event) -> None:
    """Let a process that was ended finish its calls and settle them late."""
    while process.open_holds and not closing.is_set():  # noqa: ASYNC110 - rare.
        await asyncio.sleep(0.1)
    await process.finish(timeout_seconds=3600)
