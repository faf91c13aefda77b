"""How often a network address may be wrong about a secret before it has to wait. Pure.

A key has 190 random bits, so this is no wall around keys: it bounds what guessing costs us, and
tells of it. Only who is wrong is counted and made to wait. Who presents a good key passes whatever
others do from the same address, and who was right here before is known again without a look-up.
"""

from __future__ import annotations

import hmac
import math
import secrets
import threading
from ipaddress import IPv6Address, ip_network

from accounts.addresses import parse_address

# An IPv6 customer has at least a /64: its addresses are one guesser's.
_ONE_CUSTOMER = 64
MOST_PLACES = 20_000
MOST_PROVEN = 20_000


class Guesses:
    """Wrong guesses by place: a bucket of `most` that fills again in `per_seconds`.

    A place is a network address, or anything else that is guessed at. Memory is bounded: where
    there are too many places, the one that was wrong the longest ago is forgotten.
    """

    def __init__(self, *, most: int, per_seconds: float) -> None:
        self._most = most
        self._refill_per_second = most / per_seconds
        self._places: dict[str, tuple[float, float]] = {}  # What is left, and when that was so.
        self._lock = threading.Lock()

    def wait_seconds(self, place: str, now: float) -> float:
        """Return how long this place has to wait; 0 when it may guess. `now` is monotonic."""
        left = self._left(place, now)
        return 0.0 if left >= 1 else (1 - left) / self._refill_per_second

    def note(self, place: str, now: float) -> bool:
        """Count a wrong guess. Return whether it is the one after which this place has to wait."""
        with self._lock:
            left = self._left(place, now)
            if left < 1:
                return False
            self._places.pop(place, None)
            self._places[place] = (left - 1, now)
            if len(self._places) > MOST_PLACES:
                del self._places[next(iter(self._places))]
        return left < 2

    def forget(self) -> None:
        """Begin anew."""
        with self._lock:
            self._places.clear()

    def _left(self, place: str, now: float) -> float:
        left, at = self._places.get(place, (float(self._most), now))
        return min(self._most, left + (now - at) * self._refill_per_second)


class Proven:
    """What was right here before, as digests under a key that nobody else has."""

    def __init__(self) -> None:
        self._pepper = secrets.token_bytes(32)
        self._digests: dict[bytes, None] = {}
        self._lock = threading.Lock()

    def __contains__(self, text: str) -> bool:
        return self._digest(text) in self._digests

    def add(self, text: str) -> None:
        digest = self._digest(text)
        with self._lock:
            self._digests.pop(digest, None)
            self._digests[digest] = None
            if len(self._digests) > MOST_PROVEN:
                del self._digests[next(iter(self._digests))]

    def forget(self) -> None:
        with self._lock:
            self._digests.clear()

    def _digest(self, text: str) -> bytes:
        return hmac.digest(self._pepper, text.encode(errors="replace"), "sha256")


def find_place(address: str | None) -> str:
    """Return what counts as one guesser: an IPv4 address, an IPv6 network, or all whose address
    is not known."""
    parsed = parse_address(address)
    if isinstance(parsed, IPv6Address):
        return str(ip_network((parsed, _ONE_CUSTOMER), strict=False))
    return str(parsed or "unknown")


def whole_seconds(seconds: float) -> int:
    """Return what to say in Retry-After."""
    return max(1, math.ceil(seconds))
