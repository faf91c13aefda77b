"""The task that draws from windows for the calls that wait, and gives back what lies idle.

It is the only one here that talks to the database, one statement for all who wait, and it is
never cancelled in the middle: what it learns too late is free for the next call. After an error
nobody knows whether a statement was committed, or still will be, so each account it touched is in
doubt until a fence is put up, behind which it comes too late, and `granted` has been read again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Any

import psycopg

from billing.ledger import core
from billing.ledger.allowances import (
    Allowances,
    Claim,
    Unavailable,
    Waiter,
    Window,
    spent,
    watch,
)
from billing.ledger.core import NOT_DRAWN, Want
from billing.ledger.database import AWAY, Database
from billing.ledger.idle import Idle
from billing.ledger.loops import Loops
from billing.ledger.opening import open_windows
from billing.ledger.rates import Rates
from billing.ledger.recalls import CHANNEL, Recalls
from billing.ledger.rounds import have_enough, refuse_all, stored_windows, wish

log = logging.getLogger(__name__)

SPENT_SECONDS = 1.0
AHEAD_SECONDS = 2.0
AT_A_STRETCH_SECONDS = 1.0

# Others are given so long to give back what a call lacks, and it tries so often.
ANSWER_SECONDS = 0.05
MOST_ROUNDS = 3

# The SQLSTATE that ledger_draw raises when the process has ended or its lease has.
PROCESS_ENDED = "TG001"

Connection = psycopg.AsyncConnection[Any]

_DRAW = (
    "SELECT granted, refused_by, limits, used, held"
    " FROM ledger_draw(%s, %s, %s, %s, %s, %s, %s, %s, %s)"
)


class DrawTask:
    """Serves the queue of one process's allowances."""

    def __init__(
        self,
        database: Database,
        rates: Rates,
        allowances: Allowances,
        *,
        process: str,
        loops: Loops,
    ) -> None:
        self.recalls = Recalls(allowances, process=process)
        self._database = database
        self._rates = rates
        self._allowances = allowances
        self._process = process
        self._loops = loops
        self._idle = Idle()
        self._asked: list[tuple[Waiter, Window]] = []
        self._fence = 0
        self.process_ended = False
        self.processes = 1  # How many gateway processes are alive; renewals tell.
        self.draws = 0
        self.failing = False  # The last round could not be had from the database.

    async def serve(self) -> None:
        """Draw until nobody waits, or for a while: the lease is renewed in between. A database that
        is away refuses the callers, not the task, and so does what nobody expects: the accounts of
        that round are in doubt then, as ever."""
        allowances = self._allowances
        ends = time.monotonic() + AT_A_STRETCH_SECONDS
        while allowances.queue and time.monotonic() < ends:
            batch = list(allowances.queue)
            allowances.queue.clear()
            allowances.round_started = asyncio.get_running_loop().time()
            try:
                batch = await self._draw_rates(batch)
                if batch:
                    async with self._database.connection() as connection:
                        await self._round(connection, batch)
                    self.failing = False
            except (psycopg.Error, *AWAY) as error:
                self._fail(batch, error)
            except Exception as error:
                self._fail(batch, error)
                self._loops.note_failure("draw")
            except asyncio.CancelledError:
                refuse_all(batch, "the draw was broken off")
                raise
            finally:
                allowances.round_started = None
            await self._ask_others()

    async def give_back(self, *, everything: bool = False) -> None:
        """Return what lies idle, and find out about returns and draws that are in doubt."""
        self._allowances.is_recalled = False
        in_use = [window for window in self._allowances.in_use if not window.is_rate]
        idle = self._idle.find(in_use, everything=everything)
        doubtful = [window for window in in_use if window.doubtful]
        if doubtful:
            async with self._database.connection() as connection:
                await self._clear_doubts(connection, doubtful)
        await self._return(idle)

    async def give_back_lacked(self) -> None:
        """Return what other processes lack and lies idle here, and tell them."""
        found = self.recalls.find()
        if not found:
            return
        rates = [window for window in found if window.is_rate]
        if rates:
            await self._rates.tend([], rates)
        await self._return([window for window in found if not window.is_rate])
        await self._say(self.recalls.freed(found))

    async def _return(self, idle: list[Window]) -> None:
        if not idle:
            return
        idle.sort(key=lambda window: window.window)
        amounts = [window.free for window in idle]
        for window, amount in zip(idle, amounts, strict=True):
            core.credit(window, window.granted - amount)
            window.doubtful = True
        async with self._database.connection() as connection:
            await connection.execute(
                "SELECT ledger_give_back(%s, %s, %s, %s)",
                [self._process, [window.window for window in idle], amounts, self._fence],
            )
        for window in idle:
            window.doubtful = window.recall = False

    async def _say(self, payload: str) -> None:
        async with self._database.connection() as connection:
            await connection.execute("SELECT pg_notify(%s, %s)", [CHANNEL, payload])

    async def _draw_rates(self, batch: list[Waiter]) -> list[Waiter]:
        """Draw from rate windows first; return the calls that need windows in PostgreSQL too."""
        claims = [[c for c in w.claims if c[0].is_rate and c[1] >= 0] for w in batch]
        windows = list(dict.fromkeys(window for some in claims for window, _ in some))
        if not windows:
            return batch
        if have_enough(batch, claims):
            return self._conclude_rates(batch, {}, windows)
        places = {window: position for position, window in enumerate(windows)}
        limited = [(waiter, some) for waiter, some in zip(batch, claims, strict=True) if some]
        wants = [[Want(places[w], need, wish(w, need)) for w, need in some] for _, some in limited]
        refused = dict(
            zip((id(w) for w, _ in limited), await self._rates.draw(windows, wants), strict=True)
        )
        return self._conclude_rates(batch, refused, windows)

    def _conclude_rates(
        self, batch: list[Waiter], refused: dict[int, int | None], windows: Sequence[Window]
    ) -> list[Waiter]:
        """Let go whom a rate refused, and who needs nothing else; return the others."""
        rest = []
        for waiter in batch:
            position = refused.get(id(waiter))
            if position is not None:
                self._conclude(waiter, windows[position])
            elif all(window.is_rate for window, _ in waiter.claims):
                self._conclude(waiter, None)
            else:
                rest.append(waiter)
        return rest

    async def _round(self, connection: Connection, batch: Sequence[Waiter]) -> None:
        """Serve a batch of waiting calls: open their windows, draw, and let them go in order."""
        windows = stored_windows(batch)
        gone = await open_windows(connection, [window for window in windows if not window.window])
        if gone:
            batch = self._refuse_those_of(gone, batch)
            windows = stored_windows(batch)
        await self._clear_doubts(connection, [window for window in windows if window.doubtful])
        claims = [
            [
                (window, need)
                for window, need in w.claims
                if need != NOT_DRAWN and not window.is_rate
            ]
            for w in batch
        ]
        drawn_from = {window for some in claims for window, _ in some}
        ordered = sorted(drawn_from, key=lambda window: window.window)
        refused_by = [0] * len(batch)
        if not have_enough(batch, claims):
            refused_by = await self._draw(connection, ordered, claims)
        for waiter, position in zip(batch, refused_by, strict=True):
            self._conclude(waiter, ordered[position - 1] if position else None)

    def _refuse_those_of(self, gone: list[Window], batch: Sequence[Waiter]) -> list[Waiter]:
        """Refuse the calls of deleted quotas until the change log is read, and return the others.

        To admit them without would be to go by half of a change: another quota may have taken the
        place of the one that is gone.
        """
        rest = []
        for waiter in batch:
            quotas = [window.rule.id for window, _ in waiter.claims if window in gone]
            if not quotas:
                rest.append(waiter)
            elif waiter.leave():
                waiter.refuse(Unavailable(f"quota {quotas[0]} does not exist any more"))
        return rest

    async def draw_ahead(self) -> None:
        """Shortly before a busy window ends, open the one after it and draw a little from it."""
        now_unix = time.time()
        busy = [
            window
            for window in self._allowances.in_use
            if 0 < window.ends_at_unix - now_unix < AHEAD_SECONDS
            and not window.is_rate
            and self._idle.is_busy(window)
        ]
        made = [self._allowances.prepare(window, time_zone=window.time_zone) for window in busy]
        pairs = [(before, window) for before, window in zip(busy, made, strict=True) if window]
        if not pairs:
            return
        async with self._database.connection() as connection:
            gone = await open_windows(connection, [window for _, window in pairs])
            for before, window in pairs:
                if window not in gone:
                    await self._draw(connection, [window], [[(window, before.largest_need)]])

    async def _clear_doubts(self, connection: Connection, windows: Sequence[Window]) -> None:
        """Read what was granted in all; what a lost answer had said comes to light here.

        A return that is still on its way must not be carried out after it was read as not done, so
        nothing that was said before is done any more. The update waits for what is being done.
        """
        if not windows:
            return
        self._fence += 1
        await connection.execute(
            "UPDATE gateway_process SET fence = %s WHERE id = %s AND fence < %s",
            [self._fence, self._process, self._fence],
        )
        cursor = await connection.execute(
            "SELECT window_id, granted FROM allowance"
            " WHERE process_id = %s AND window_id = ANY (%s)",
            [self._process, [window.window for window in windows]],
        )
        granted: dict[int, int] = dict(await cursor.fetchall())
        for window in windows:
            core.credit(window, granted.get(window.window, 0))
            window.doubtful = False

    async def _draw(
        self, connection: Connection, ordered: Sequence[Window], waiters: Sequence[list[Claim]]
    ) -> list[int]:
        """Draw for waiters' claims on these windows and credit the grants. Returns by waiter 0, or
        the position that refused it."""
        positions = {window: i for i, window in enumerate(ordered, start=1)}
        claims = [
            (number, window, need)
            for number, some in enumerate(waiters, start=1)
            for window, need in some
        ]
        parameters = [
            self._process,
            [window.window for window in ordered],
            [window.free for window in ordered],
            [number for number, _, _ in claims],
            [positions[window] for _, window, _ in claims],
            [need for _, _, need in claims],
            [wish(window, need) for _, window, need in claims],
            self.processes,
            self._fence,
        ]
        for window in ordered:
            window.doubtful = True
        cursor = await connection.execute(_DRAW, parameters, prepare=True)
        row = await cursor.fetchone()
        assert row is not None
        self.draws += 1
        # Of a waiter whose windows only count nothing was asked, and nothing is said.
        refused_by = iter(self._credit(ordered, row))
        return [next(refused_by) if some else 0 for some in waiters]

    def _credit(self, ordered: Sequence[Window], row: tuple[Any, ...]) -> list[int]:
        granted, refused_by, limits, used, held = row
        now = time.time()
        for i, window in enumerate(ordered):
            core.credit(window, window.granted + granted[i])
            window.doubtful = False
            window.used = used[i]
            window.drawn = held[i] + granted[i]
            window.known_at = now
            window.limit = limits[i]
            limit = core.UNLIMITED if limits[i] is None else limits[i]
            window.left = max(limit - window.used - window.drawn, 0)
            watch(window, granted[i])
        refused: list[int] = refused_by
        return refused

    def _conclude(self, waiter: Waiter, refusing: Window | None) -> None:
        """Hold what the round allows. What was freed meanwhile may serve one that it refused."""
        is_held = not waiter.future.done() and core.hold(waiter.claims)
        if not is_held and refusing is not None:
            need = next(need for window, need in waiter.claims if window is refusing)
            waiter.refusal = spent(refusing, need)
            if self._may_ask(waiter, refusing):
                waiter.asked += 1
                self._asked.append((waiter, refusing))
                return
            self.recalls.note_spent(refusing, time.monotonic() + SPENT_SECONDS)
        elif not is_held and not waiter.future.done():
            # One that was refused took what was drawn for it, with what was freed meanwhile.
            self._allowances.queue.append(waiter)
            self._allowances.wake.set()
            return
        if not waiter.leave():
            return
        if is_held:
            waiter.future.set_result(None)
        else:
            waiter.give_up()

    def _may_ask(self, waiter: Waiter, refusing: Window) -> bool:
        """Say whether other processes may have drawn something that they would give back."""
        others = self.processes > 1 if refusing.is_rate else refusing.drawn > refusing.amount
        return (
            others
            and waiter.asked < MOST_ROUNDS
            and not waiter.future.done()
            and time.monotonic() >= refusing.spent_until
        )

    async def _ask_others(self) -> None:
        """Ask for what lies idle elsewhere, and let those who wait for it try once more."""
        if not self._asked:
            return
        asked, self._asked = self._asked, []
        waiters = [waiter for waiter, _ in asked]
        asyncio.get_running_loop().call_later(ANSWER_SECONDS, self._queue_again, waiters)
        said = self.recalls.lacks(window for _, window in asked)
        if said is not None:
            try:
                await self._say(said)
            except (psycopg.Error, *AWAY) as error:
                log.warning("other processes could not be asked: %s", error)
                self._database.drop()

    def _queue_again(self, asked: Sequence[Waiter]) -> None:
        self._allowances.queue.extendleft(reversed(asked))
        self._allowances.wake.set()

    def _fail(self, batch: Sequence[Waiter], error: Exception) -> None:
        if getattr(error, "sqlstate", None) == PROCESS_ENDED:
            self.process_ended = True
        else:
            self.failing = True
            log.warning("a draw failed: %s", error)
            self._database.drop()
        refuse_all(batch, str(error))
