"""Tasks that go on for as long as a process lives, whatever one turn of them runs into.

A loop maps the errors that it expects. Any other would end its task without a word, and the
process would go on half dead: nothing settled, or drawn, or its lease not renewed. So it is logged
with its traceback, named for a while (`task_failing` on /readyz), and the loop runs again. What a
loop has to remember from turn to turn is its owner's; what it was doing is still to be done.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Coroutine

log = logging.getLogger(__name__)

PAUSE_SECONDS = 0.5
NAMED_SECONDS = 60.0


class Loops:
    """The loops of one process, and which of them failed."""

    def __init__(self) -> None:
        self.failures: Counter[str] = Counter()  # By the name of the loop.
        self._failed_at = float("-inf")

    @property
    def have_failed(self) -> bool:
        """Say whether one of them failed within the last minute."""
        return time.monotonic() - self._failed_at < NAMED_SECONDS

    def start(
        self, name: str, run: Callable[[], Coroutine[None, None, None]]
    ) -> asyncio.Task[None]:
        """Run it until it says itself that it is over, or is cancelled."""
        return asyncio.create_task(self._keep(name, run), name=name)

    def note_failure(self, name: str) -> None:
        """Log the exception that is being handled, and name it."""
        log.exception("'%s' ran into what it does not expect; it goes on", name)
        self.failures[name] += 1
        self._failed_at = time.monotonic()

    async def _keep(self, name: str, run: Callable[[], Coroutine[None, None, None]]) -> None:
        while True:
            try:
                await run()
                return
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise
                self.note_failure(name)  # Something that it waited for was cancelled, not it.
            except Exception:
                self.note_failure(name)
            await asyncio.sleep(PAUSE_SECONDS)
