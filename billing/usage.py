"""The facts: what an attempt used, how it ended and how we know.

Pure values, shared by the gateway that makes them and the ledger that keeps them. The JSON of a
UsageEvent is at once a spool record and the row that the database takes, so a field here is a
column there under the same name. Nothing here knows a wire format or a database.
"""

from __future__ import annotations

import enum
import os
import random
import time
import uuid
from functools import lru_cache

import msgspec

INT64_MAX = 2**63 - 1


class _Word(enum.StrEnum):
    """A word of our own. Enum hashes its members by name in Python; text is faster, and they are
    counted by these on every call."""

    __hash__ = str.__hash__


class Outcome(_Word):
    """How an attempt ended; exactly one of these, and never another one later.

    answered           the whole answer went by
    answered_partial   the upstream broke off in the middle
    client_cancelled   the caller hung up first
    upstream_refused   the provider answered 4xx
    upstream_failed    the provider answered 5xx, nonsense, or dropped the connection
    upstream_timeout   the provider was slower than the route allows
    unknown            the process ended before it could know
    """

    ANSWERED = "answered"
    ANSWERED_PARTIAL = "answered_partial"
    CLIENT_CANCELLED = "client_cancelled"
    UPSTREAM_REFUSED = "upstream_refused"
    UPSTREAM_FAILED = "upstream_failed"
    UPSTREAM_TIMEOUT = "upstream_timeout"
    UNKNOWN = "unknown"


class UsageSource(_Word):
    """How an event's figures are known, from best to worst; `none` where nothing was used."""

    REPORTED = "reported"
    PARTIAL = "partial"
    ESTIMATED = "estimated"
    HELD = "held"
    NONE = "none"


class Usage(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Tokens of one attempt in disjoint buckets: every token is counted in exactly one.

    `output` is visible text, `reasoning` what was thought and not shown; providers that report
    reasoning inside their completion tokens have it taken out here.
    """

    uncached_input: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    audio_input: int = 0
    image_input: int = 0
    output: int = 0
    reasoning: int = 0
    audio_output: int = 0

    @property
    def input_tokens(self) -> int:
        return (
            self.uncached_input
            + self.cache_read
            + self.cache_write_5m
            + self.cache_write_1h
            + self.audio_input
            + self.image_input
        )

    @property
    def output_tokens(self) -> int:
        return self.output + self.reasoning + self.audio_output

    @property
    def total_tokens(self) -> int:
        return self.input_tokens + self.output_tokens


# In the order of UsageEvent.figures().
_UNITS = ("cost", "input_tokens", "output_tokens", "total_tokens", "requests")


class UsageEvent(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """One attempt, as the table usage_event keeps it. Its JSON leaves out what has its default.

    `id` is the attempt's UUIDv7 and decides the day it belongs to. `cost_ticks` and `held_ticks`
    are 10^-10 USD. `windows`, `window_amounts` and `window_holds` run in parallel: the windows it
    was held in, what it comes to in each (in the quota's unit) and what had been held there.
    `process_seq` counts a process's attempts from 1 without gaps.
    """

    id: str
    call_id: str
    attempt_no: int
    organization: int
    project: int
    key: int
    member: int | None = None
    model: str
    provider: str
    upstream_model: str
    upstream_id: str = ""
    protocol: str
    endpoint: str
    outcome: Outcome
    http_status: int | None = None
    uncached_input: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    audio_input: int = 0
    image_input: int = 0
    output: int = 0
    reasoning: int = 0
    audio_output: int = 0
    cost_ticks: int = 0
    price_version: int | None = None
    usage_source: UsageSource
    held_ticks: int = 0
    first_byte_ms: int | None = None
    total_ms: int = 0
    tags: dict[str, str] = {}
    process: str
    process_seq: int = 0
    windows: list[int] = []
    window_amounts: list[int] = []
    window_holds: list[int] = []

    def figures(self) -> tuple[int, int, int, int, int]:
        """Return what this attempt comes to: ticks, input, output and total tokens, and itself."""
        output = self.output + self.reasoning + self.audio_output
        fresh = self.uncached_input + self.audio_input + self.image_input
        tokens = fresh + self.cache_read + self.cache_write_5m + self.cache_write_1h
        return self.cost_ticks, tokens, output, tokens + output, 1

    def amount_in(self, unit: str) -> int:
        """Return what this attempt comes to in a quota's unit."""
        try:
            return self.figures()[_UNITS.index(unit)]
        except ValueError:
            raise ValueError(f"unit: {unit!r} is not counted by events") from None


def new_id() -> str:
    """Return a UUIDv7 (RFC 9562) in its text form: 48 bits of milliseconds, then 72 of chance, of
    which 24 are the same for all that this process makes in a millisecond."""
    return _begin_id(time.time_ns() // 1_000_000) + "%012x" % _draw_bits(48)  # noqa: UP031 - faster.


def new_attempt_id(call_id: str) -> str:
    """Return a UUIDv7 for an attempt of a call: the call's milliseconds, 48 random bits of its own
    behind 24 of the call's."""
    return call_id[:24] + "%012x" % _draw_bits(48)  # noqa: UP031


@lru_cache(maxsize=2)
def _begin_id(milliseconds: int) -> str:
    """Return how the ids of a millisecond begin: all but their own 48 bits."""
    chance = f"{_draw_bits(24):06x}"
    moment = f"{milliseconds >> 16:08x}-{milliseconds & 0xFFFF:04x}"
    return f"{moment}-7{chance[:3]}-8{chance[3:]}-"


def first_id_at(unix_ms: int) -> uuid.UUID:
    """Return the smallest UUID of that millisecond: where a day's partition begins."""
    return uuid.UUID(int=unix_ms << 80)


# Ids need to be unique, not secret; the generator is seeded anew in a forked child.
_random = random.Random(os.urandom(16))  # noqa: S311
_draw_bits = _random.getrandbits
os.register_at_fork(after_in_child=lambda: _random.seed(os.urandom(16)))
