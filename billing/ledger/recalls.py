"""What gateway processes tell each other about windows that have run out.

A process that lacks something of a window says so. For LACKED_SECONDS the others give back what
lies idle there, at once and as it becomes free, and say so; whoever remembers the window as spent
forgets that then. All of it goes over one channel of the database: `PROCESS lacks 1,2` or
`PROCESS freed 1,2`, with the numbers of windows.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from billing.ledger.allowances import Allowances, Window

CHANNEL = "tollgate_recall"

LACKED_SECONDS = 1.5
LACKED_LOOK_SECONDS = 0.1

# Others are told at most so often that a window is lacking.
ASK_SECONDS = 0.25

# PostgreSQL takes 8,000 bytes at a time. What is not said now is asked for once more, or waits for
# SPENT_SECONDS.
MOST_NUMBERS = 300


class Recalls:
    """What one process was told and what it has told."""

    def __init__(self, allowances: Allowances, *, process: str) -> None:
        self._allowances = allowances
        self._process = process
        self._lacked: dict[int, tuple[float, bool]] = {}
        self._told_at: dict[int, float] = {}
        self._spent: dict[int, Window] = {}

    def hear(self, payload: str) -> None:
        """Take in what a process has said."""
        process, what, rest = payload.split(" ")
        if process == self._process:
            return
        numbers = [int(number) for number in rest.split(",")]
        if what == "lacks":
            # Of two that lack the same, one has to give way, or both keep what is too little.
            lacked = time.monotonic() + LACKED_SECONDS, process > self._process
            self._lacked.update(dict.fromkeys(numbers, lacked))
            self._allowances.wake.set()
        else:
            for number in numbers:
                window = self._spent.pop(number, None)
                if window is not None:
                    window.spent_until = 0.0

    @property
    def is_wanted(self) -> bool:
        """Say whether another process lacks something now."""
        return bool(self._lacked)

    def find(self) -> list[Window]:
        """Return the windows that others lack and of which something lies idle here."""
        now = time.monotonic()
        self._lacked = {n: lacked for n, lacked in self._lacked.items() if lacked[0] > now}
        return [
            window
            for window in self._allowances.in_use
            if window.window in self._lacked
            and window.free > 0
            and not (window.doubtful or window.is_observed)
            and (not window.waiting or self._lacked[window.window][1])
        ]

    def lacks(self, windows: Iterable[Window]) -> str | None:
        """Return what to say about lacking these, unless all of it was said just now."""
        now = time.monotonic()
        self._told_at = {n: at for n, at in self._told_at.items() if now - at < ASK_SECONDS}
        lacking = {window.window for window in windows} - self._told_at.keys()
        numbers = set(sorted(lacking)[:MOST_NUMBERS])
        self._told_at.update(dict.fromkeys(numbers, now))
        return self._say("lacks", numbers) if numbers else None

    def freed(self, windows: Iterable[Window]) -> str:
        numbers = sorted({window.window for window in windows})
        return self._say("freed", set(numbers[:MOST_NUMBERS]))

    def note_spent(self, window: Window, until: float) -> None:
        """Refuse from memory until then, or until somebody gives something back."""
        window.spent_until = until
        now = time.monotonic()
        self._spent = {n: w for n, w in self._spent.items() if w.spent_until > now}
        self._spent[window.window] = window

    def _say(self, what: str, numbers: set[int]) -> str:
        return f"{self._process} {what} {','.join(map(str, sorted(numbers)))}"
