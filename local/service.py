"""One long-lived program of ours, started again whenever it ends."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from local.children import Child, kill_group, start_child

FIRST_DELAY_SECONDS = 0.5
LONGEST_DELAY_SECONDS = 30.0
# A program that ran this long had no trouble starting; its next restart does not wait longer.
SETTLED_SECONDS = 60.0


class Service:
    """Keeps `argv` running; every end is one line through `report`."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        log: Path,
        report: Callable[[str], None],
    ) -> None:
        self.name = name
        self.log = log
        self.process: Child | None = None
        self._argv = argv
        self._env = env
        self._cwd = cwd
        self._report = report
        self._delay_seconds = FIRST_DELAY_SECONDS
        self._started_at = 0.0
        self._due_at: float | None = None

    def start(self) -> None:
        self.process = start_child(self._argv, log=self.log, env=self._env, cwd=self._cwd)
        self._started_at = time.monotonic()
        self._due_at = None

    def check(self) -> None:
        """Notice an end and, when its delay is over, start again. Call it often."""
        now = time.monotonic()
        if self._due_at is not None:
            if now >= self._due_at:
                self.start()
            return
        if self.process is None or self.process.poll() is None:
            return
        kill_group(self.process)  # Its own children must not work beside their successors.
        if now - self._started_at > SETTLED_SECONDS:
            self._delay_seconds = FIRST_DELAY_SECONDS
        self._report(
            f"{self.name} ended with exit code {self.process.returncode}; it starts again in "
            f"{self._delay_seconds:g} s. Its log is {self.log}."
        )
        self._due_at = now + self._delay_seconds
        self._delay_seconds = min(2 * self._delay_seconds, LONGEST_DELAY_SECONDS)
