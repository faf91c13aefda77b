"""The database's side of the ledger as plain Python: what its SQL has to come to.

test_model.py holds the SQL against this, statement by statement; simulation.py runs processes, and
everything that can go wrong between them and the database, on it. Whatever happens, `check` holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from billing.ledger.core import NOT_DRAWN, Draws, Want, WindowState, decide_draws

LOST, FOUND, LATE = "spool_lost", "spool_found", "late"


class ProcessEnded(Exception):
    """The process has ended, or its lease has, or what it says is out of date."""


class Fact(NamedTuple):
    """An attempt as an event tells it: by window the amount and what was held."""

    attempt: int
    process: int
    windows: tuple[int, ...]
    amounts: tuple[int, ...]
    holds: tuple[int, ...]
    is_known: bool


@dataclass(slots=True)
class Window(WindowState):
    ceiling: int | None = None


@dataclass(slots=True)
class Allowance:
    amount: int = 0
    granted: int = 0


class Adjustment(NamedTuple):
    window: int
    amount: int
    reason: str
    process: int | None = None
    attempt: int | None = None


@dataclass(slots=True, eq=False)
class Model:
    """The tables, and the functions that write them. `touched` are windows since the last check.

    `sums` is kept from facts and adjustments alone, beside what the functions do to windows.
    """

    windows: dict[int, Window] = field(default_factory=dict)
    allowances: dict[int, dict[int, Allowance]] = field(default_factory=dict)
    alive: dict[int, int] = field(default_factory=dict)  # By process its fence.
    ended: set[int] = field(default_factory=set)
    facts: dict[int, Fact] = field(default_factory=dict)
    adjustments: list[Adjustment] = field(default_factory=list)
    captured: dict[tuple[int, int], int] = field(default_factory=dict)
    corrected: dict[int, Fact] = field(default_factory=dict)
    conflicts: set[Fact] = field(default_factory=set)
    sums: dict[int, int] = field(default_factory=dict)
    touched: set[int] = field(default_factory=set)

    def open_window(self, window: int, limit: int | None) -> None:
        if window not in self.windows:
            self.windows[window] = Window(limit)
            self.allowances[window] = {}
            self.sums[window] = 0

    def set_limit(self, window: int, limit: int | None) -> None:
        self.windows[window].limit = limit

    def register(self, process: int) -> None:
        self.alive[process] = 0

    def fence(self, process: int, fence: int) -> dict[int, int]:
        """Let nothing that the process said before be done any more; return what was granted."""
        if process not in self.alive:
            raise ProcessEnded
        self.alive[process] = max(fence, self.alive[process])
        return {
            window: mine[process].granted
            for window, mine in self.allowances.items()
            if process in mine
        }

    def draw(
        self,
        process: int,
        windows: Sequence[int],
        spare: Sequence[int],
        waiters: Sequence[Sequence[Want]],
        *,
        processes: int,
        fence: int = 0,
    ) -> Draws:
        if process not in self.alive or self.alive[process] > fence:
            raise ProcessEnded
        states = [self.windows[window] for window in windows]
        draws = decide_draws(states, spare, waiters, processes=processes)
        for number, row, granted in zip(windows, states, draws.granted, strict=True):
            if granted == 0:
                continue
            assert granted > 0
            row.drawn += granted
            row.ceiling = row.limit
            # The promise itself: no draw above the limit at its commit.
            assert row.limit is None or row.posted + row.overrun + row.drawn <= row.limit
            mine = self.allowances[number].setdefault(process, Allowance())
            mine.amount += granted
            mine.granted += granted
            self.touched.add(number)
        return draws

    def give_back(
        self, process: int, windows: Sequence[int], amounts: Sequence[int], *, fence: int = 0
    ) -> None:
        if process not in self.alive or self.alive[process] > fence:
            return
        for window, amount in zip(windows, amounts, strict=True):
            mine = self.allowances[window].get(process)
            if mine is None:
                continue
            mine.amount -= amount
            mine.granted -= amount
            assert mine.amount >= 0
            self.windows[window].drawn -= amount
            self.touched.add(window)

    def settle(self, process: int, facts: Sequence[Fact]) -> None:
        if process not in self.alive:
            raise ProcessEnded
        for fact in self._settle(process, facts):
            self._compare(fact)

    def _settle(self, process: int, facts: Sequence[Fact]) -> list[Fact]:
        """Post what is new; return the others."""
        known = []
        for fact in facts:
            if not self._insert(fact):
                known.append(fact)
                continue
            for window, amount, hold in zip(fact.windows, fact.amounts, fact.holds, strict=True):
                row = self.windows[window]
                if hold == NOT_DRAWN:
                    self._count(row, amount)
                    continue
                within = min(amount, hold)
                row.posted += within
                row.overrun += amount - within
                if within:
                    row.drawn -= within
                    self.allowances[window][process].amount -= within
                    assert self.allowances[window][process].amount >= 0
        return known

    def reap(self, process: int, spool: Sequence[Fact] | None) -> None:
        """End a process with what its spool says; None where that is out of reach."""
        if process not in self.alive:
            return
        del self.alive[process]
        self.ended.add(process)
        self._settle(process, spool or ())
        for window, mine in self.allowances.items():
            left = mine.pop(process, None)
            if left is None:
                continue
            row = self.windows[window]
            row.drawn -= left.amount
            if spool is None and left.amount:
                row.posted += left.amount
                self._adjust(Adjustment(window, left.amount, LOST, process=process))
            self.touched.add(window)

    def late(self, process: int, facts: Sequence[Fact]) -> None:
        """Settle attempts of a process that has ended."""
        for fact in facts:
            if not self._insert(fact):
                self._compare(fact)
                continue
            for window, amount, hold in zip(fact.windows, fact.amounts, fact.holds, strict=True):
                row = self.windows[window]
                if hold == NOT_DRAWN:
                    self._count(row, amount)
                    continue
                paid = min(amount, self.captured.get((process, window), 0))
                self._credit(process, window, paid, attempt=fact.attempt)
                row.overrun += amount - paid

    def credit_captured(self, process: int) -> None:
        """The spool of an ended process is read: what is left of its capture is free."""
        for (whose, window), amount in list(self.captured.items()):
            if whose == process and amount > 0:
                self._credit(process, window, amount)
                self.windows[window].posted -= amount

    def _insert(self, fact: Fact) -> bool:
        if fact.attempt in self.facts:
            return False
        self.facts[fact.attempt] = fact
        for window, amount in zip(fact.windows, fact.amounts, strict=True):
            self.sums[window] += amount
            self.touched.add(window)
        return True

    def _count(self, row: Window, amount: int) -> None:
        row.posted += amount
        if row.ceiling is not None and amount:
            row.ceiling = max(row.ceiling, row.posted + row.drawn)

    def _compare(self, fact: Fact) -> None:
        """A guess never contradicts a fact, and a truth corrects a guess once."""
        if not fact.is_known:
            return
        before = self.facts[fact.attempt]
        known = before if before.is_known else self.corrected.get(fact.attempt)
        if known is not None:
            if known != fact:
                self.conflicts.add(fact)
        else:
            self.corrected[fact.attempt] = fact
            for window, was, now in zip(fact.windows, before.amounts, fact.amounts, strict=True):
                row = self.windows[window]
                less, more = max(was - now, 0), max(now - was, 0)
                taken = min(less, row.posted)
                row.posted -= taken
                row.overrun += more - (less - taken)
                self._adjust(Adjustment(window, now - was, LATE, attempt=fact.attempt))

    def _credit(
        self, process: int, window: int, amount: int, *, attempt: int | None = None
    ) -> None:
        if amount:
            self._adjust(Adjustment(window, -amount, FOUND, process=process, attempt=attempt))

    def _adjust(self, adjustment: Adjustment) -> None:
        self.adjustments.append(adjustment)
        self.sums[adjustment.window] += adjustment.amount
        self.touched.add(adjustment.window)
        if adjustment.process is not None:
            place = (adjustment.process, adjustment.window)
            self.captured[place] = self.captured.get(place, 0) + adjustment.amount

    def check(self) -> None:
        """Hold every window that was touched against what is promised of it."""
        for window in self.touched:
            row = self.windows[window]
            assert min(row.posted, row.overrun, row.drawn) >= 0, (window, row)
            assert row.ceiling is None or row.posted + row.drawn <= row.ceiling, (window, row)
            lying = sum(each.amount for each in self.allowances[window].values())
            assert row.drawn == lying, (window, row, lying)
            assert row.posted + row.overrun == self.sums[window], (window, row, self.sums[window])
        self.touched.clear()

    def check_all(self) -> None:
        """The same of every window, with sums made anew from all facts and adjustments."""
        sums = dict.fromkeys(self.windows, 0)
        for fact in self.facts.values():
            for window, amount in zip(fact.windows, fact.amounts, strict=True):
                sums[window] += amount
        for adjustment in self.adjustments:
            sums[adjustment.window] += adjustment.amount
        assert sums == self.sums
        self.touched.update(self.windows)
        self.check()
