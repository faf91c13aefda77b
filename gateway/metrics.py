"""What one process counts while calls go by: plain integers and bins that are made ahead.

Written on the path of a call, so nothing here formats, locks or allocates more than a tuple or two
when a call has ended. exposition.py turns the figures into Prometheus' text when somebody asks.
Labels come from our own words and from providers' names, never from a caller.
"""

from __future__ import annotations

import logging
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from math import inf
from typing import TYPE_CHECKING

from gateway.errors import GatewayError, UpstreamError, UpstreamUnreachable

if TYPE_CHECKING:
    from gateway.calls import Call

log = logging.getLogger(__name__)

# Upper bounds in seconds; what is above the last one lands in a bin of its own.
ADDED_EDGES = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
UPSTREAM_EDGES = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0)


# So many calls may have ended and not be counted yet.
MOST_UNCOUNTED = 500


class Histogram:
    """Counts of values by the bin they fall into, and their sum.

    `add` takes a value in one step; values are sorted into bins all together, by count().
    """

    __slots__ = ("_values", "add", "bins", "edges", "total")

    def __init__(self, edges: Sequence[float]) -> None:
        self.edges = edges
        self.bins = [0] * (len(edges) + 1)
        self.total = 0.0
        self._values: list[float] = []
        self.add = self._values.append

    def count(self) -> None:
        """Sort what was added into the bins: each holds what is up to its edge."""
        values, before = self._values, 0
        values.sort()
        for place, edge in enumerate((*self.edges, inf)):
            up_to = bisect_right(values, edge)
            self.bins[place] += up_to - before
            before = up_to
        self.total += sum(values)
        values.clear()


class UpstreamTimes:
    """How long one provider took: to the head of its answers, and to their ends."""

    __slots__ = ("first_byte", "total")

    def __init__(self) -> None:
        self.first_byte = Histogram(UPSTREAM_EDGES)
        self.total = Histogram(UPSTREAM_EDGES)


class Meter:
    """The counters of one process. One event loop writes them; a scrape in the same loop reads.

    A call only leaves its figures behind. They are counted a few hundred at a time, when all that
    counts them is at hand in the processor's cache, or when somebody asks.
    """

    def __init__(self, *, logs_calls: bool = False) -> None:
        self.refusals: dict[tuple[str, int], int] = {}
        self._calls: Counter[tuple[str, str, str]] = Counter()
        self._attempts: Counter[tuple[str, str]] = Counter()
        self._added = Histogram(ADDED_EDGES)
        self._upstream: dict[str, UpstreamTimes] = {}
        # Not counted yet: endpoint, protocol, outcome and seconds added; provider, outcome and
        # seconds to the head, where there was one, and to the end.
        self._ended_calls: list[tuple[str, str, str, float]] = []
        self._ended_attempts: list[tuple[str, str, float | None, float]] = []
        self._logs_calls = logs_calls

    def note_call(self, call: Call) -> None:
        """Count a call that has ended. One of which nothing was sent is a refusal instead."""
        if not call.ended:
            return
        total = added = time.monotonic() - call.received
        for each in call.ended:
            event, sent_at = each.event, each.sent_at
            took = each.ended_at - sent_at
            added -= took
            first_byte = each.head_at - sent_at if each.head_at else None
            self._ended_attempts.append((event.provider, event.outcome, first_byte, took))
        added = added if added > 0.0 else 0.0
        lane, ended = call.lane, self._ended_calls
        ended.append((lane.endpoint, lane.protocol, event.outcome, added))
        if len(ended) >= MOST_UNCOUNTED:
            self._count()
        if self._logs_calls:
            log_call(call, added_seconds=added, total_seconds=total)

    def note_refusal(self, error: GatewayError) -> bool:
        """Count an error that kept a call from being forwarded; False where it had been."""
        if isinstance(error, UpstreamError) and not isinstance(error, UpstreamUnreachable):
            return False
        place = (error.code, error.status)
        self.refusals[place] = self.refusals.get(place, 0) + 1
        return True

    @property
    def calls(self) -> Mapping[tuple[str, str, str], int]:
        """Calls by endpoint, protocol and outcome."""
        self._count()
        return self._calls

    @property
    def attempts(self) -> Mapping[tuple[str, str], int]:
        """Attempts by provider and outcome."""
        self._count()
        return self._attempts

    @property
    def added(self) -> Histogram:
        """The seconds that calls took beside their providers' time."""
        self._count()
        return self._added

    @property
    def upstream(self) -> Mapping[str, UpstreamTimes]:
        """The seconds that attempts took, by provider."""
        self._count()
        return self._upstream

    def _meet(self, provider: str) -> UpstreamTimes:
        times = self._upstream[provider] = UpstreamTimes()
        return times

    def _count(self) -> None:
        calls, self._ended_calls = self._ended_calls, []
        attempts, self._ended_attempts = self._ended_attempts, []
        for endpoint, protocol, outcome, added in calls:
            self._calls[endpoint, protocol, outcome] += 1
            self._added.add(added)
        for provider, outcome, first_byte, took in attempts:
            self._attempts[provider, outcome] += 1
            times = self._upstream.get(provider) or self._meet(provider)
            if first_byte is not None:
                times.first_byte.add(first_byte)
            times.total.add(took)
        self._added.count()
        for times in self._upstream.values():
            times.first_byte.count()
            times.total.count()


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
