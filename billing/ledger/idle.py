"""Which windows lie idle: something of them is free, and nothing moved for a while.

Of a window that has plenty left nobody misses what lies idle here, and a key that calls every few
seconds need not draw each time; whoever lacks something asks for it (recalls.py).
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from billing.ledger.allowances import Window

IDLE_SECONDS = 2.0
PLENTY_IDLE_SECONDS = 20.0

# A window has plenty where this many times what lies idle is left in it.
PLENTY = 16

_State = tuple[int, int]


class Idle:
    """Remembers since when each window has been as it is; asked about once a second or so."""

    def __init__(self) -> None:
        self._quiet: dict[Window, tuple[_State, float]] = {}

    def find(self, windows: Iterable[Window], *, everything: bool = False) -> list[Window]:
        """Return those of which something may go back.

        Of ended and recalled windows all that is free goes at once. So does a free place among the
        calls at once: it is of use elsewhere right now.
        """
        now, now_unix = time.monotonic(), time.time()
        quiet: dict[Window, tuple[_State, float]] = {}
        idle = []
        for window in windows:
            state = (window.amount, window.free)
            before, since = self._quiet.get(window, (state, now))
            quiet[window] = (state, since if before == state else now)
            is_over = everything or window.recall or window.ends_at_unix <= now_unix
            has_plenty = window.left > PLENTY * window.free
            longest = PLENTY_IDLE_SECONDS if has_plenty else IDLE_SECONDS
            is_quiet = is_over or window.is_concurrency or now - quiet[window][1] >= longest
            can_go = window.free > 0 and not window.waiting and not window.doubtful
            if is_quiet and can_go and not window.is_observed:
                idle.append(window)
        self._quiet = quiet
        return idle

    def is_busy(self, window: Window) -> bool:
        """Say whether calls have drawn from the window lately."""
        now = time.monotonic()
        _, since = self._quiet.get(window, (None, now))
        return bool(window.largest_need) and now - since < IDLE_SECONDS
