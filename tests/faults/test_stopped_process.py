"""A gateway process that stops and goes on, as on a machine that hung: SIGSTOP, then SIGCONT.

While it is stopped its lease may run out; then another process ends it with what its spool says,
and what it knows better when it goes on is appended to those facts.
"""

import time
from collections.abc import Callable

import pytest

from tests.faults.books import assert_books_agree
from tests.faults.load import Load
from tests.faults.world import MIXED, declare
from tests.parts import Parts
from tests.processes import stopped

Note = Callable[[str], None]
CALLS = 200
# Within the lease of 30 s, and long after it; others look for such processes every 10 s.
SHORT_SECONDS = 7.0
LONG_SECONDS = 60.0
IDENTITIES = "SELECT count(*), count(ended_at) FROM gateway_process"


@pytest.mark.parametrize(
    ("seconds", "identities"),
    [
        pytest.param(SHORT_SECONDS, (2, 0), id="for 7 s", marks=pytest.mark.slow),
        pytest.param(LONG_SECONDS, (3, 1), id="for 60 s", marks=pytest.mark.slow),
    ],
)
def test_every_request_that_left_has_one_event_after_a_stop(
    parts: Parts, seed: int, note: Note, seconds: float, identities: tuple[int, int]
) -> None:
    keys = declare(parts, budget_usd="100.00")
    gateway, other = parts.serve(), parts.serve()
    stuck = Load([gateway.url], list(keys.values()), MIXED, seed)
    others = Load([other.url], list(keys.values()), MIXED, seed + 1)
    with others.flowing(8, pause_seconds=0.2), stuck.bursting(CALLS):
        parts.until(lambda: parts.count_received() >= CALLS // 2)
        with stopped(gateway.process.pid):
            time.sleep(seconds)
    stuck.burst(20)
    assert parts.rows(IDENTITIES) == [identities]
    assert gateway.process.poll() is None
    assert others.count().keys() == {"answered"}
    stuck.outcomes += others.outcomes
    assert_books_agree(parts, stuck, note)
