"""The spool: what a gateway process knows of its attempts, on the local disk.

A record is one line: CRC-32 in hex, a kind, the attempt's UsageEvent as JSON. Every record is
the event as it would stand if nothing more were heard, so the last record of an attempt is what
its fact becomes when the process dies: `sent` (before the first byte leaves), `seen` (what is known
of a long stream), `done` (before the caller gets the end of the answer). `void` takes back a `sent`
of which nothing left. A written line survives the process; fdatasync every 100 ms, off the loop,
lets a power cut lose no more than that.

All records of one turn of the event loop are one write, at its end; whoever must not go on before
that says so with when_written(). Without a loop every record is written at once.

Lines go to numbered segments in a folder of the process's own, which it keeps locked while it
lives. Segments go away oldest first, so a record never outlives a later one of its attempt: the
oldest goes when its attempts are settled, or when they have been carried forward because there
are too many segments behind a long stream.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import logging
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

log = logging.getLogger(__name__)

SEGMENT_BYTES = 8 * 2**20
MOST_SEGMENTS = 4
SYNC_SECONDS = 0.1

# Below this much free disk nothing new is admitted: what runs must be able to end.
LEAST_FREE_BYTES = 2 * 2**20

# On a full disk what is settled goes at once where that brings so much, and so few attempts have to
# be moved for it that nobody waits.
WORTHWHILE_BYTES = 2**16
FEW_ATTEMPTS = 1000

SENT, SEEN, DONE, VOID = b"s", b"p", b"d", b"v"


class SpoolFull(Exception):
    """The disk, or the spool's share of it, is nearly full: no new attempts."""


class SpoolLocked(Exception):
    """The spool's folder belongs to a process that is alive."""


@dataclass(slots=True, eq=False)
class _Segment:
    """`latest` counts the unsettled attempts whose latest record is in here."""

    path: Path
    number: int
    size: int = 0
    latest: int = 0


# Two of each a call: plain tuples, which cost a fifth of named ones.
# A record that is not written yet: attempt, kind, payload.
_Line = tuple[str, bytes, bytes]
# A record that is: where, kind, payload.
_Record = tuple[_Segment, bytes, bytes]


class Spool:
    """The spool of the process that makes it. Not thread-safe: one event loop writes it.

    `soon` is the loop's call_soon().
    """

    def __init__(
        self,
        folder: Path,
        *,
        max_bytes: int = 2**30,
        soon: Callable[[Callable[[], None]], object] | None = None,
    ) -> None:
        self.folder = folder
        self.max_bytes = max_bytes
        self._soon = soon
        self._lines: list[_Line] = []
        self._waiting: list[tuple[str, Callable[[bool], None]]] = []
        self._lock = _make_locked(folder)
        self._segments: deque[_Segment] = deque()
        self._latest: dict[str, _Record] = {}
        self._fd = -1
        self._full = False
        self._dirty = False
        self._roll()

    @property
    def size_bytes(self) -> int:
        return sum(segment.size for segment in self._segments)

    @property
    def unsettled(self) -> int:
        """Return how many attempts are in the spool and not settled."""
        return len(self._latest)

    @property
    def oldest(self) -> str | None:
        """Return the attempt that has been in here for longest; its id says since when."""
        return next(iter(self._latest), None)

    @property
    def is_full(self) -> bool:
        return self._full

    def sent(self, attempt: str, payload: bytes) -> None:
        """Record that an attempt is about to leave. Raises SpoolFull, having recorded nothing."""
        if self._full:
            raise SpoolFull(str(self.folder))
        self.note(SENT, attempt, payload)
        if self._soon is None and attempt not in self._latest:
            raise SpoolFull(str(self.folder))

    def note(self, kind: bytes, attempt: str, payload: bytes) -> None:
        """Record what became of an attempt, as far as the disk takes it."""
        lines = self._lines
        lines.append((attempt, kind, payload))
        if self._soon is None:
            self.flush()
        elif len(lines) == 1:
            self._soon(self.flush)

    def when_written(self, attempt: str, call: Callable[[bool], None]) -> None:
        """Call `call` when all records so far are written, at once where they are. It is told
        whether the attempt stands in the spool."""
        if self._lines:
            self._waiting.append((attempt, call))
        else:
            call(attempt in self._latest)

    def flush(self) -> None:
        """Write what has been recorded, and let go on who waited for it."""
        lines, self._lines = self._lines, []
        waiting, self._waiting = self._waiting, []
        if lines:
            self._write(lines)
        for attempt, call in waiting:
            try:
                call(attempt in self._latest)
            except Exception:
                log.exception("attempt %s could not go on after its record", attempt)

    def settled(self, attempts: Iterable[str]) -> None:
        """Forget attempts whose facts are committed, or that never left."""
        if self._lines:
            self.flush()
        latest = self._latest
        for attempt in attempts:
            record = latest.pop(attempt, None)
            if record is not None:
                record[0].latest -= 1
        self._drop_settled()

    async def keep_synced(self) -> None:
        """Sync to the disk every 100 ms while there is something new, and watch its room."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(SYNC_SECONDS)
            if self._dirty:
                self._dirty = False
                with contextlib.suppress(OSError):
                    await loop.run_in_executor(None, os.fdatasync, self._fd)
                self._full = self._is_nearly_full()
            elif self._full:
                self._full = self._is_nearly_full()
            if self._full:
                self._make_room()

    def close(self, *, remove: bool) -> None:
        """Let go of the folder; remove it when everything in it is settled. Nothing is written
        after that: the numbers of its descriptors may be somebody else's by then."""
        if self._fd < 0:
            return
        self.flush()
        fd, self._fd, self._full = self._fd, -1, True
        os.close(fd)
        if remove and not self._latest:
            shutil.rmtree(self.folder, ignore_errors=True)
        os.close(self._lock)

    def _write(self, lines: list[_Line]) -> None:
        """Write lines in one step. Where the disk does not take them, no attempt may leave; what
        became of others is written as far as it fits."""
        try:
            self._append(lines)
            return
        except OSError as error:
            log.error("the spool %s takes nothing more: %s", self.folder, error)
            self._full = True
        for line in lines:
            if line[1] != SENT:
                with contextlib.suppress(OSError):
                    self._append([line])

    def _append(self, lines: list[_Line]) -> None:
        """Write lines, all or none of them. Raises OSError."""
        segment = self._segment
        data = b"".join(
            [
                b"%08x %b %b\n" % (crc32(payload, kind[0]), kind, payload)
                for _, kind, payload in lines
            ]
        )
        written = os.write(self._fd, data)
        if written != len(data):
            # The disk filled up in the middle. Take the torn part back, so that the next line does
            # not run on from it.
            os.ftruncate(self._fd, segment.size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        segment.size += written
        self._dirty = True
        latest = self._latest
        for attempt, kind, payload in lines:
            if kind == VOID:
                self._forget(attempt)
                continue
            before = latest.get(attempt)
            if before is None:
                segment.latest += 1
            elif before[0] is not segment:
                before[0].latest -= 1
                segment.latest += 1
            latest[attempt] = segment, kind, payload
        if segment.size >= SEGMENT_BYTES:
            try:
                self._roll()
            except OSError:
                self._full = True  # The lines themselves are written; this segment just grows on.

    def _forget(self, attempt: str) -> None:
        record = self._latest.pop(attempt, None)
        if record is not None:
            record[0].latest -= 1

    def _roll(self) -> None:
        """Begin a new segment, and keep their number in bounds."""
        number = self._segments[-1].number + 1 if self._segments else 1
        path = self.folder / f"{number:08d}.log"
        fd = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o600)
        if self._fd >= 0:
            os.fdatasync(self._fd)
            os.close(self._fd)
        self._fd = fd
        self._segment = _Segment(path, number)
        self._segments.append(self._segment)
        if len(self._segments) > MOST_SEGMENTS:
            self._carry_forward(self._segments[0])
        self._drop_settled()

    def _carry_forward(self, oldest: _Segment) -> None:
        """Write again what is still open in the oldest segment, so that it can go."""
        lines = [
            (attempt, kind, payload)
            for attempt, (segment, kind, payload) in self._latest.items()
            if segment is oldest
        ]
        if lines:
            self._append(lines)

    def _make_room(self) -> None:
        """Let go of what is settled, though it lies in the segment that is being written."""
        if len(self._latest) > FEW_ATTEMPTS:
            return
        open_bytes = sum(len(payload) for _, _, payload in self._latest.values())
        if self.size_bytes - 2 * open_bytes < WORTHWHILE_BYTES:
            return
        with contextlib.suppress(OSError):  # There is no room even to move it.
            if self._segment.size:
                self._roll()
            while len(self._segments) > 1:
                self._carry_forward(self._segments[0])
                self._drop_settled()

    def _drop_settled(self) -> None:
        while len(self._segments) > 1 and self._segments[0].latest == 0:
            self._segments.popleft().path.unlink(missing_ok=True)

    def _is_nearly_full(self) -> bool:
        disk = os.statvfs(self.folder)
        return disk.f_bavail * disk.f_frsize < LEAST_FREE_BYTES or self.size_bytes > self.max_bytes


def is_abandoned(folder: Path) -> bool:
    """Say whether the process that owns the folder is gone: its lock went with it."""
    try:
        os.close(_lock(folder))
    except (SpoolLocked, FileNotFoundError):
        return False
    return True


def _make_locked(folder: Path) -> int:
    """Make a folder that nobody ever sees unlocked: it gets its name when it is locked."""
    unnamed = folder.with_name(f".{folder.name}")
    unnamed.mkdir(parents=True, mode=0o700)
    lock = _lock(unnamed)
    unnamed.rename(folder)
    return lock


def _lock(folder: Path) -> int:
    """Lock the folder for this process, until it closes the descriptor or dies."""
    fd = os.open(folder / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(fd)
        raise SpoolLocked(str(folder)) from error
    return fd
