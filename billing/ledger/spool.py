"""The spool: what a gateway process knows of its attempts, on the local disk.

A record is one line: CRC-32 in hex, a kind, the attempt's UsageEvent as JSON. Every record is
the event as it would stand if nothing more were heard, so the last record of an attempt is what
its fact becomes when the process dies: `sent` (before the first byte leaves), `seen` (what is known
of a long stream), `done` (before the caller gets the end of the answer). `void` takes back a `sent`
of which nothing left. A written line survives the process; fdatasync every 100 ms, off the loop,
lets a power cut lose no more than that.

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
import os
import shutil
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import msgspec

SEGMENT_BYTES = 8 * 2**20
MOST_SEGMENTS = 4
SYNC_SECONDS = 0.1

# Below this much free disk nothing new is admitted: what runs must be able to end.
LEAST_FREE_BYTES = 2 * 2**20

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


class _Record(NamedTuple):
    segment: _Segment
    kind: bytes
    payload: bytes


class Spool:
    """The spool of the process that makes it. Not thread-safe: one event loop writes it."""

    def __init__(self, folder: Path, *, max_bytes: int = 2**30) -> None:
        self.folder = folder
        self.max_bytes = max_bytes
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
        """Record that an attempt is about to leave. Raises SpoolFull, having written nothing."""
        if self._full:
            raise SpoolFull(str(self.folder))
        try:
            self._write(SENT, attempt, payload)
        except OSError as error:
            self._full = True
            raise SpoolFull(f"{self.folder}: {error.strerror}") from error

    def note(self, kind: bytes, attempt: str, payload: bytes) -> bool:
        """Record what became of an attempt; False where the disk would not take it."""
        try:
            self._write(kind, attempt, payload)
        except OSError:
            self._full = True
            return False
        return True

    def settled(self, attempts: Iterable[str]) -> None:
        """Forget attempts whose facts are committed, or that never left."""
        for attempt in attempts:
            record = self._latest.pop(attempt, None)
            if record is not None:
                record.segment.latest -= 1
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

    def close(self, *, remove: bool) -> None:
        """Let go of the folder; remove it when everything in it is settled."""
        os.close(self._fd)
        if remove and not self._latest:
            shutil.rmtree(self.folder, ignore_errors=True)
        os.close(self._lock)

    def _write(self, kind: bytes, attempt: str, payload: bytes) -> None:
        line = b"%08x %b %b\n" % (crc32(payload, kind[0]), kind, payload)
        segment = self._segment
        written = os.write(self._fd, line)
        if written != len(line):
            # The disk filled up in the middle of the line. Take the torn part back, so that
            # the next line does not run on from it.
            os.ftruncate(self._fd, segment.size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        segment.size += written
        segment.latest += 1
        self._dirty = True
        before = self._latest.get(attempt)
        if before is not None:
            before.segment.latest -= 1
        self._latest[attempt] = _Record(segment, kind, payload)
        if segment.size >= SEGMENT_BYTES:
            try:
                self._roll()
            except OSError:
                self._full = True  # The line itself is written; this segment just grows on.

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
        open_still = [item for item in self._latest.items() if item[1].segment is oldest]
        for attempt, record in open_still:
            self._write(record.kind, attempt, record.payload)

    def _drop_settled(self) -> None:
        while len(self._segments) > 1 and self._segments[0].latest == 0:
            self._segments.popleft().path.unlink(missing_ok=True)

    def _is_nearly_full(self) -> bool:
        disk = os.statvfs(self.folder)
        return disk.f_bavail * disk.f_frsize < LEAST_FREE_BYTES or self.size_bytes > self.max_bytes


@dataclass(slots=True)
class Recovered:
    """What a spool says: by attempt the payload that stands, and whether it is final."""

    last: dict[str, bytes] = field(default_factory=dict)
    done: set[str] = field(default_factory=set)
    torn_lines: int = 0

    @property
    def payloads(self) -> list[bytes]:
        return list(self.last.values())


def read_spool(folder: Path) -> Recovered:
    """Read a process's spool, whether it is alive or not.

    A line whose checksum is wrong was being written when the machine stopped: its attempt had
    not left yet, or its end had not been told. `done` stands over anything after it.
    """
    found = Recovered()
    for kind, payload in _lines(folder, found):
        attempt = _id_of(payload)
        if kind == VOID:
            found.last.pop(attempt, None)
        elif kind == DONE:
            found.done.add(attempt)
            found.last[attempt] = payload
        elif attempt not in found.done:
            found.last[attempt] = payload
    return found


def _lines(folder: Path, found: Recovered) -> Iterator[tuple[bytes, bytes]]:
    for path in sorted(folder.glob("*.log")):
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            continue  # Its owner is alive and has just settled all of it.
        for line in data.split(b"\n"):
            if not line:
                continue
            kind, payload = line[9:10], line[11:]
            if len(kind) == 1 and line[:8] == b"%08x" % crc32(payload, kind[0]):
                yield kind, payload
            else:
                found.torn_lines += 1


class _Identified(msgspec.Struct):
    id: str


_decode_id = msgspec.json.Decoder(_Identified).decode


def _id_of(payload: bytes) -> str:
    return _decode_id(payload).id


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
