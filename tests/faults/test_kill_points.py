"""kill -9 at named points of the path, under load: nothing is lost, doubled, or over a limit.

A kill from outside (test_killed_process.py) falls anywhere, and nearly always while calls wait for
the provider. Here a process dies between two given steps of its own (killing.py), with other calls
at all stages, beside another gateway that draws from the same windows and goes on.
"""

import random
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from local.children import Child
from tests.faults.books import assert_books_agree
from tests.faults.killing import LAST_WORD, POINTS, find, points_of
from tests.faults.load import Load
from tests.faults.world import LONG_STREAM, MIXED, declare, make_key
from tests.parts import SERVE, Gateway, Parts, Servers, run_parts

Note = Callable[[str], None]
ON_THE_WAY = [*points_of("held, nothing noted", "committed, still in the spool")]
AT_THE_START = [
    *points_of("ended for a dead process, not committed", "replayed, the spool not removed")
]
SEEN = "seen noted"
CALLERS = 24
PAUSE_SECONDS = 0.05
# A third of them are of the key that has a dime, and none costs less than half a cent: it is spent
# by them alone, also where the process died before it had spent anything.
AFTERWARDS = 120


class Place:
    """Parts that all these tests share, each with a key of its own, and a gateway that stays."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        own = [make_key(point, "0.10") for point in POINTS]
        self.keys = declare(parts, budget_usd="1000.00", more_keys=own)
        self.bystander = parts.serve()

    def start_to_die(self, point: str, seed: int) -> Gateway:
        return self.parts.serve(program=killed_at(point, seed))

    @contextmanager
    def serving(self, *, machine: str = "") -> Iterator[Gateway]:
        gateway = self.parts.serve(machine=machine)
        try:
            yield gateway
        finally:
            gateway.stop()

    def load(self, point: str, seed: int, *gateways: Gateway) -> Load:
        """Calls of the keys that have plenty, and of one that will not have enough."""
        urls = [gateway.url for gateway in gateways] * 2 + [self.bystander.url]
        keys = [self.keys[name] for name in ("steady", "spender", point)]
        asks = (*MIXED, LONG_STREAM) if point == SEEN else MIXED
        return Load(urls, keys, asks, seed)

    def assert_killed(self, process: Child, point: str, *, log: str = "web") -> None:
        assert process.poll() == -signal.SIGKILL
        said = f"process {process.pid} {LAST_WORD} {point}"
        assert said in (self.parts.logs / f"{log}.log").read_text()


def killed_at(point: str, seed: int, *program: str) -> tuple[str, ...]:
    times = random.Random(seed).choice(POINTS[point].passings)
    return ("tests.faults.killing", point, str(times), *(program or SERVE))


@pytest.fixture(scope="module")
def place(servers: Servers) -> Iterator[Place]:
    with run_parts(servers) as parts:
        yield Place(parts)


def test_every_point_is_a_function_of_the_product() -> None:
    assert all(callable(find(point)[2]) for point in POINTS.values())


@pytest.mark.slow
@pytest.mark.parametrize("point", ON_THE_WAY)
def test_nothing_is_lost_or_doubled_by_a_kill_when(
    place: Place, seed: int, note: Note, point: str
) -> None:
    victim = place.start_to_die(point, seed)
    load = place.load(point, seed, victim)
    with load.flowing(CALLERS, pause_seconds=PAUSE_SECONDS):
        place.parts.until(lambda: victim.process.poll() is not None, seconds=20)
    place.assert_killed(victim.process, point)
    with place.serving() as next_one:
        after = place.load(point, seed, next_one)
        after.burst(AFTERWARDS)
    assert load.count()["broken"] > 0
    assert after.count()["insufficient_quota"] > 0
    load.outcomes += after.outcomes
    assert_books_agree(place.parts, load, note)


@pytest.mark.slow
def test_nothing_is_lost_or_doubled_by_a_kill_of_a_fold(
    place: Place, seed: int, note: Note
) -> None:
    parts, point = place.parts, "folded, not committed"
    load = place.load(point, seed, place.bystander)
    with load.flowing(CALLERS, pause_seconds=PAUSE_SECONDS):
        parts.until(lambda: load.count()["answered"] >= 100)
        folding = parts.run("fold", *killed_at(point, seed, "manage", "fold_usage"))
        parts.until(lambda: folding.poll() is not None, seconds=20)
        place.assert_killed(folding, point, log="fold")
        assert parts.rows("SELECT count(*) FROM rollup") == [(0,)]
        parts.manage("fold_usage")
    assert_books_agree(parts, load, note)


@pytest.mark.slow
@pytest.mark.parametrize("point", AT_THE_START)
def test_nothing_is_lost_or_doubled_by_a_kill_while_a_start_clears_up_after_another_one_when(
    place: Place, seed: int, note: Note, point: str
) -> None:
    parts, first = place.parts, "the end told"
    victim = parts.serve(program=killed_at(first, seed), machine="apart")
    load = place.load(point, seed, victim)
    with load.flowing(CALLERS, pause_seconds=PAUSE_SECONDS):
        parts.until(lambda: victim.process.poll() is not None, seconds=20)
    place.assert_killed(victim.process, first)
    second = parts.launch(program=killed_at(point, seed), machine="apart")
    parts.until(lambda: second.process.poll() is not None, seconds=20)
    place.assert_killed(second.process, point)
    with place.serving(machine="apart"):
        assert_books_agree(parts, load, note)
