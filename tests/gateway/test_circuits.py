"""Routes that fail rest, are tried again by one call, and are never left out."""

from __future__ import annotations

from typing import NamedTuple, cast

import pytest

from gateway.circuits import (
    FAILURES,
    FIRST_REST_SECONDS,
    LONGEST_REST_SECONDS,
    TRIAL_SECONDS,
    Circuits,
    is_the_routes_fault,
)
from gateway.errors import (
    UpstreamError,
    UpstreamFailed,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from gateway.lanes import LaneRoute

NOW = 1_000.0


class Numbered(NamedTuple):
    id: int


class Way(NamedTuple):
    """As much of a lane's route as circuits look at."""

    route: Numbered


def ways(*ids: int) -> list[LaneRoute]:
    return cast("list[LaneRoute]", [Way(Numbered(each)) for each in ids])


def order(circuits: Circuits, *ids: int, now: float = NOW) -> list[int]:
    return [each.route.id for each in circuits.arrange(ways(*ids), now=now)]


def fail(circuits: Circuits, route: int, *, times: int = FAILURES, now: float = NOW) -> None:
    for _ in range(times):
        circuits.note_failure(route, UpstreamFailed(), now=now)


def test_a_route_rests_after_several_failures_in_a_row() -> None:
    circuits = Circuits()
    fail(circuits, 1, times=FAILURES - 1)
    assert order(circuits, 1, 2) == [1, 2]
    fail(circuits, 1, times=1)
    assert order(circuits, 1, 2) == [2, 1]
    assert order(circuits, 1, 2, now=NOW + FIRST_REST_SECONDS) == [1, 2]


def test_a_route_fails_until_it_answers() -> None:
    circuits = Circuits()
    fail(circuits, 1, times=FAILURES - 1)
    assert circuits.list_failing() == []
    fail(circuits, 1, times=1)
    assert circuits.list_failing() == [1]
    circuits.note_answer(1)
    assert circuits.list_failing() == []


def test_an_answer_in_between_makes_failures_count_anew() -> None:
    circuits = Circuits()
    fail(circuits, 1, times=FAILURES - 1)
    circuits.note_answer(1)
    fail(circuits, 1, times=FAILURES - 1)
    assert order(circuits, 1, 2) == [1, 2]


def test_a_time_that_the_provider_names_is_kept_to_and_bounded() -> None:
    circuits = Circuits()
    circuits.note_failure(1, UpstreamRefused(status=429, retry_after_seconds=7), now=NOW)
    assert order(circuits, 1, 2, now=NOW + 6.9) == [2, 1]
    assert order(circuits, 1, 2, now=NOW + 7) == [1, 2]
    circuits.note_failure(1, UpstreamRefused(status=429, retry_after_seconds=9_999), now=NOW)
    assert order(circuits, 1, 2, now=NOW + LONGEST_REST_SECONDS) == [1, 2]


def test_one_call_tries_a_route_whose_rest_is_over() -> None:
    circuits = Circuits()
    fail(circuits, 1)
    now = NOW + FIRST_REST_SECONDS
    circuits.note_trial(1, now=now)
    assert order(circuits, 1, 2, now=now) == [2, 1]
    assert order(circuits, 1, 2, now=now + TRIAL_SECONDS) == [1, 2]
    circuits.note_answer(1)
    assert order(circuits, 1, 2, now=now) == [1, 2]


def test_a_failed_trial_makes_the_rest_longer() -> None:
    circuits = Circuits()
    fail(circuits, 1)
    now = NOW + FIRST_REST_SECONDS
    fail(circuits, 1, times=1, now=now)
    assert order(circuits, 1, 2, now=now + 2 * FIRST_REST_SECONDS - 0.1) == [2, 1]
    assert order(circuits, 1, 2, now=now + 2 * FIRST_REST_SECONDS) == [1, 2]


def test_where_all_rest_the_soonest_over_is_tried_first() -> None:
    circuits = Circuits()
    fail(circuits, 1, now=NOW + 1)
    fail(circuits, 2, now=NOW)
    assert order(circuits, 1, 2, now=NOW + 1) == [2, 1]
    assert circuits.count_resting(now=NOW + 1) == 2


@pytest.mark.parametrize(
    ("error", "is_its_fault"),
    [
        (UpstreamFailed(), True),
        (UpstreamTimeout(), True),
        (UpstreamUnreachable(), True),
        (UpstreamRefused(status=429), True),
        (UpstreamRefused(should_retry=False), True),
        (UpstreamRefused(status=400), False),
        (UpstreamRefused(status=404), False),
        (UpstreamRefused(status=422), False),
        (ValueError(), False),
    ],
)
def test_whose_fault_it_was_decides_who_else_is_asked(
    error: UpstreamError, is_its_fault: bool
) -> None:
    assert is_the_routes_fault(error) is is_its_fault
