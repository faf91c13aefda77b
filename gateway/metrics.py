"""What one process counts while calls go by: plain integers and bins that are made ahead.

Written on the path of a call, so nothing here formats, locks or allocates more than a tuple; the
whole of a call's counting happens once, when it has ended. exposition.py turns the figures into
Prometheus' text when somebody asks. Labels come from our own words and from providers' names,
never from a caller.
"""

from __future__ import annotations

import logging
import time
from bisect import bisect_left
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gateway.errors import GatewayError, UpstreamError, UpstreamUnreachable

if TYPE_CHECKING:
    from gateway.calls import Call, Ended

log = logging.getLogger(__name__)

# Upper bounds in seconds; what is above the last one lands in a bin of its own.
ADDED_EDGES = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
UPSTREAM_EDGES = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0)


class Histogram:
    """Counts of values by the bin they fall into, and their sum."""

    __slots__ = ("bins", "edges", "total")

    def __init__(self, edges: Sequence[float]) -> None:
        self.edges = edges
        self.bins = [0] * (len(edges) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        self.bins[bisect_left(self.edges, value)] += 1
        self.total += value

    @property
    def count(self) -> int:
        return sum(self.bins)


class UpstreamTimes:
    """How long one provider took: to the head of its answers, and to their ends."""

    __slots__ = ("first_byte", "total")

    def __init__(self) -> None:
        self.first_byte = Histogram(UPSTREAM_EDGES)
        self.total = Histogram(UPSTREAM_EDGES)


class Meter:
    """The counters of one process. One event loop writes them; a scrape in the same loop reads."""

    def __init__(self, *, logs_calls: bool = False) -> None:
        self.calls: dict[tuple[str, str, str], int] = {}
        self.attempts: dict[tuple[str, str], int] = {}
        self.refusals: dict[tuple[str, int], int] = {}
        self.added = Histogram(ADDED_EDGES)
        self.upstream: dict[str, UpstreamTimes] = {}
        self._logs_calls = logs_calls

    def note_call(self, call: Call) -> None:
        """Count a call that has ended. One of which nothing was sent is a refusal instead."""
        if not call.ended:
            return
        now = time.monotonic()
        added = now - call.received
        for ended in call.ended:
            added -= ended.ended_at - ended.sent_at
            self._note_attempt(ended)
        self.added.add(max(added, 0.0))
        place = (call.endpoint, call.protocol, call.ended[-1].event.outcome)
        self.calls[place] = self.calls.get(place, 0) + 1
        if self._logs_calls:
            log_call(call, added_seconds=added, total_seconds=now - call.received)

    def note_refusal(self, error: GatewayError) -> bool:
        """Count an error that kept a call from being forwarded; False where it had been."""
        if isinstance(error, UpstreamError) and not isinstance(error, UpstreamUnreachable):
            return False
        place = (error.code, error.status)
        self.refusals[place] = self.refusals.get(place, 0) + 1
        return True

    def _note_attempt(self, ended: Ended) -> None:
        event, sent_at = ended.event, ended.sent_at
        place = (event.provider, event.outcome)
        self.attempts[place] = self.attempts.get(place, 0) + 1
        times = self.upstream.get(event.provider)
        if times is None:
            times = self.upstream[event.provider] = UpstreamTimes()
        if ended.head_at:
            times.first_byte.add(ended.head_at - sent_at)
        times.total.add(ended.ended_at - sent_at)


def log_call(call: Call, *, added_seconds: float, total_seconds: float) -> None:
    """Write the one line of a finished call, for whoever set LOG_CALLS."""
    event = call.ended[-1].event
    figures = {
        "organization": event.organization,
        "key": event.key,
        "model": event.model,
        "provider": event.provider,
        "endpoint": event.endpoint,
        "outcome": str(event.outcome),
        "http_status": event.http_status,
        "attempts": len(call.ended),
        "input_tokens": event.amount_in("input_tokens"),
        "output_tokens": event.amount_in("output_tokens"),
        "cost_ticks": event.cost_ticks,
        "added_ms": round(added_seconds * 1000, 3),
        "total_ms": round(total_seconds * 1000, 3),
    }
    words = " ".join(f"{name}={value}" for name, value in figures.items())
    log.info("call %s ended: %s", call.id, words, extra={"figures": figures})
