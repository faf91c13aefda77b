"""Which routes rest because they failed, in the memory of one gateway process.

A route that fails several times in a row rests, and so does one that says when it can be asked
again. When its rest is over one call tries it, and what becomes of that call ends the rest or
makes it longer. A resting route is tried last, never left out: where all of a model's routes rest
a call is better tried than refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from gateway.errors import UpstreamError, UpstreamFailed, UpstreamTimeout, UpstreamUnreachable
from gateway.lanes import LaneRoute

T = TypeVar("T")

FAILURES = 3
FIRST_REST_SECONDS = 2.0
LONGEST_REST_SECONDS = 60.0
# A trial that has not ended by then does not keep others from trying.
TRIAL_SECONDS = 30.0


@dataclass(slots=True)
class Circuit:
    """A route that failed lately. Times are monotonic."""

    failures: int = 0
    rests: int = 0
    rests_until: float = 0.0
    tried_until: float = 0.0

    def is_resting(self, now: float) -> bool:
        """Say whether it is to be tried last: in its rest, or while another call tries it."""
        return now < self.rests_until or (self.rests > 0 and now < self.tried_until)


class Circuits:
    """The routes that failed since they last answered, by their id."""

    def __init__(self) -> None:
        self.troubled: dict[int, Circuit] = {}

    def arrange(self, ways: Sequence[LaneRoute], *, now: float) -> Sequence[LaneRoute]:
        """Return the routes in the order given, those that rest last, the soonest over first."""
        if not self.troubled or len(ways) < 2:
            return ways
        resting = [each for each in ways if self.is_resting(each.route.id, now=now)]
        if not resting:
            return ways
        resting.sort(key=lambda each: self.troubled[each.route.id].rests_until)
        return [each for each in ways if each not in resting] + resting

    def is_resting(self, route: int, *, now: float) -> bool:
        circuit = self.troubled.get(route)
        return circuit is not None and circuit.is_resting(now)

    def count_resting(self, *, now: float) -> int:
        return sum(circuit.is_resting(now) for circuit in self.troubled.values())

    def list_failing(self) -> list[int]:
        """Return the routes that came to a rest and have not answered since."""
        return [route for route, circuit in self.troubled.items() if circuit.rests]

    def note_trial(self, route: int, *, now: float) -> None:
        """A call is sent there: until it ends nobody else needs to find out how the route is."""
        circuit = self.troubled.get(route)
        if circuit is not None:
            circuit.tried_until = now + TRIAL_SECONDS

    def note_answer(self, route: int) -> None:
        """The route answers."""
        self.troubled.pop(route, None)

    def note_failure(self, route: int, error: UpstreamError, *, now: float) -> None:
        """The route failed, or refused for reasons of its own: see is_the_routes_fault()."""
        circuit = self.troubled.setdefault(route, Circuit())
        circuit.failures += 1
        circuit.tried_until = 0.0
        named = error.retry_after_seconds
        if named is None and circuit.failures < FAILURES and not circuit.rests:
            return
        seconds = FIRST_REST_SECONDS * 2 ** min(circuit.rests, 10) if named is None else named
        circuit.rests += 1
        circuit.rests_until = now + min(seconds, LONGEST_REST_SECONDS)


def is_the_routes_fault(error: Exception) -> bool:
    """Say whether another route may answer what this one did not.

    A provider that fails, is too slow, has no room (429) or does not take our credential (which
    callers see as 502) says nothing about the request; any other refusal is about the request.
    """
    if isinstance(error, UpstreamFailed | UpstreamTimeout | UpstreamUnreachable):
        return True
    return isinstance(error, UpstreamError) and error.status in {429, 502}
