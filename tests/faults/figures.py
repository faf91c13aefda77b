"""How long callers waited."""

from collections.abc import Iterable, Sequence

from tests.faults.load import Outcome


def list_waits(outcomes: Iterable[Outcome]) -> list[float]:
    """What each waited, the shortest first."""
    return sorted(outcome.seconds * 1000 for outcome in outcomes)


def percentile(waits: Sequence[float], percent: float) -> float:
    """The wait that so many percent did not exceed; 0 where nobody waited."""
    return waits[min(int(len(waits) * percent / 100), len(waits) - 1)] if waits else 0.0


def describe(waits: Sequence[float]) -> str:
    median, most = percentile(waits, 50), percentile(waits, 99)
    longest = waits[-1] if waits else 0.0
    return f"median {median:.0f} ms, 99th percentile {most:.0f} ms, longest {longest:.0f} ms"


def longest_stall(outcomes: Iterable[Outcome]) -> float:
    """The longest time, in seconds, in which calls were under way and not one of them ended."""
    ends = sorted((outcome.began + outcome.seconds, outcome.began) for outcome in outcomes)
    first_began, longest = float("inf"), 0.0
    earlier = [end for end, _ in ends[:-1]]
    for (end, began), before in zip(reversed(ends), [*reversed(earlier), 0.0], strict=False):
        first_began = min(first_began, began)
        longest = max(longest, end - max(before, first_began))
    return longest
