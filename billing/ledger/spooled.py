"""What a spool says: read by whoever settles the attempts of a process that is gone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from zlib import crc32

import msgspec

from billing.ledger.spool import DONE, VOID


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
        attempt = id_of(payload)
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


def id_of(payload: bytes) -> str:
    """Return the attempt of a record, whichever release wrote it."""
    return _decode_id(payload).id
