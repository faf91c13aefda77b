"""Secrets that were made to be found, and the places where they are looked for."""

from __future__ import annotations

import base64
import secrets
import string
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

# Long enough to be nobody's chance, short enough to find a secret that was cut or masked.
PIECE = 10


@dataclass(frozen=True)
class Canary:
    """A secret; `text` is the part of it that nothing else may hold."""

    name: str
    text: str

    def pieces(self) -> Iterator[bytes]:
        """Every piece of it, as it stands and as it is often written."""
        raw = self.text.encode()
        for at in range(0, len(raw) - PIECE + 1):
            yield raw[at : at + PIECE]
        hexed = raw.hex().encode()
        for at in range(0, len(hexed) - 2 * PIECE + 1, 2):
            yield hexed[at : at + 2 * PIECE]
        for shift in range(3):
            # The first and last characters depend on what stands beside it.
            yield base64.b64encode(raw[shift:])[1:-4][: 2 * PIECE]
            yield base64.urlsafe_b64encode(raw[shift:])[1:-4][-2 * PIECE :]
        yield raw[::-1]


def make_secret(length: int = 40, *, alphabet: str = string.ascii_letters + string.digits) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(length))


@dataclass
class Places:
    """What was written, said or kept, by the name of the place."""

    found: dict[str, bytearray] = field(default_factory=lambda: defaultdict(bytearray))

    def add(self, name: str, data: bytes | str) -> None:
        self.found[name] += data.encode() if isinstance(data, str) else data
        self.found[name] += b"\n"

    def search(self, canaries: list[Canary]) -> list[str]:
        """Return each hit: which secret, where, and what stands around it."""
        hits = []
        for place, data in self.found.items():
            lowered = bytes(data).lower()
            for canary in canaries:
                for piece in canary.pieces():
                    at = lowered.find(piece.lower())
                    if at >= 0:
                        around = bytes(data[max(0, at - 120) : at + 80])
                        hits.append(f"{canary.name} in {place}: {around!r}")
                        break
        return hits
