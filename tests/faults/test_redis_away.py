"""Redis emptied, stopped, killed, or back with what it knew ten minutes ago, under load.

It keeps no money: a budget is kept to whatever becomes of it, and a revoked key stays revoked.
Rates a minute start again from what Redis says, or from a share of their limit without it.
"""

import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis

from tests.faults.books import assert_books_agree
from tests.faults.figures import list_waits, percentile
from tests.faults.load import Load
from tests.faults.probes import read_degraded, read_states
from tests.faults.world import MIXED, declare, make_key
from tests.parts import Parts, Servers, run_parts
from tests.processes import stopped

pytestmark = pytest.mark.slow
Note = Callable[[str], None]
CALLERS = 24
PAUSE_SECONDS = 0.1
PER_MINUTE = 100
AT_ONCE = 4
GATEWAYS = 2
TESTS = ("flushed", "old", "minute", "killed")
REVOKE = (
    "UPDATE api_key SET status = 'revoked', revoked_at = now() WHERE name ~ '^gone' RETURNING id"
)
REFUSALS = {"insufficient_quota", "rate_limit_exceeded"}
# Of so many a busy machine may let PostgreSQL answer later than calls wait.
LATE = 0.05
# A call waits for Redis a tenth of a second once a second; the rest is this machine's other work.
REFUSED_MS = 250.0 + 750.0


class World:
    """Two gateways for all tests, and for each test a key for each kind of limit that Redis keeps,
    which has a budget too, and one that was revoked."""

    def __init__(self, parts: Parts) -> None:
        rate = {"unit": "requests", "limit": PER_MINUTE, "window": "minute"}
        places = {"unit": "concurrency", "limit": AT_ONCE, "window": "none"}
        more = []
        for test in TESTS:
            more += [make_key(f"spender {test}", "0.60"), make_key(f"gone {test}", "1.00")]
            more += [make_key(f"rated {test}", "100.00", rate)]
            more += [make_key(f"{name} {test}", "100.00", places) for name in ("narrow", "sudden")]
        self.parts = parts
        self.keys = declare(parts, budget_usd="1.00", more_keys=more)
        self.gateways = [parts.serve() for _ in range(GATEWAYS)]
        parts.rows(REVOKE)

    def load(self, seed: int, *names: str) -> Load:
        keys = [self.keys[name] for name in names]
        return Load([gateway.url for gateway in self.gateways], keys, MIXED, seed)

    def loads(self, test: str, seed: int) -> tuple[Load, Load]:
        """Calls of the keys with limits, and of the one that was revoked."""
        limited = [f"{name} {test}" for name in ("spender", "rated", "narrow")]
        return self.load(seed, *limited), self.load(seed, f"gone {test}")

    @contextmanager
    def calling(self, load: Load, gone: Load) -> Iterator[None]:
        """Both kinds of calls, for a while before and after what the block does too, and until the
        budget is spent: how soon that is depends on this machine."""
        with (
            load.flowing(CALLERS, pause_seconds=PAUSE_SECONDS),
            gone.flowing(2, pause_seconds=PAUSE_SECONDS),
        ):
            time.sleep(1.5)
            yield
            time.sleep(2)
            self.parts.until(lambda: load.count()["insufficient_quota"] > 0)

    def assert_kept(self, load: Load, gone: Load, note: Note) -> None:
        """Nobody was refused for Redis' sake, no limit of money gave way, and all is well again."""
        count = load.count()
        assert count.keys() <= {"answered", "ledger_away", *REFUSALS}
        assert count["ledger_away"] <= count.total() * LATE
        assert gone.count().keys() == {"invalid_api_key"}
        waits = list_waits(load.refused())
        assert percentile(waits, 99) < REFUSED_MS
        self.parts.until(lambda: [read_degraded(each) for each in self.gateways] == [[]] * GATEWAYS)
        assert_books_agree(self.parts, load, note)


@pytest.fixture(scope="module")
def world(servers: Servers) -> Iterator[World]:
    with run_parts(servers) as parts:
        yield World(parts)


def connect(parts: Parts) -> Any:
    return redis.Redis.from_url(parts.valkey.url)


def test_no_money_comes_of_flushing_it_again_and_again(world: World, seed: int, note: Note) -> None:
    load, gone = world.loads("flushed", seed)
    with world.calling(load, gone), connect(world.parts) as client:
        for _ in range(24):
            client.flushall()
            time.sleep(0.25)
    assert load.count()["insufficient_quota"] > 0
    world.assert_kept(load, gone, note)


def test_no_money_comes_of_an_old_dump(world: World, seed: int, note: Note) -> None:
    parts, (load, gone) = world.parts, world.loads("old", seed)
    files = parts.valkey.folder / "appendonlydir"
    with world.calling(load, gone):
        subprocess.run(["cp", "-a", files, parts.folder / "old"], check=True)
        time.sleep(4)
        parts.valkey.stop()
        shutil.rmtree(files)
        subprocess.run(["cp", "-a", parts.folder / "old", files], check=True)
        parts.valkey.start()
        time.sleep(2)
    assert load.count()["insufficient_quota"] > 0
    world.assert_kept(load, gone, note)


def test_calls_go_on_while_it_is_stopped_for_a_minute(world: World, seed: int, note: Note) -> None:
    parts, (load, gone) = world.parts, world.loads("minute", seed)
    parts.work()
    with world.calling(load, gone), stopped(parts.valkey.pid or 0):
        time.sleep(30)
        names = [read_degraded(gateway) for gateway in world.gateways]
        states = [read_states(gateway) for gateway in world.gateways]
        time.sleep(30)
    assert names == [["redis_away"]] * GATEWAYS
    assert states == [{"redis_away"}] * GATEWAYS
    assert load.count()["rate_limit_exceeded"] > 0
    world.assert_kept(load, gone, note)
    note(f"calls a minute of at most {PER_MINUTE}: {count_by_minute(world, load)}")
    # Background work comes back by itself as well: reports are whole again.
    parts.until(lambda: parts.rows("SELECT count(*) FROM rollup_delta") == [(0,)], seconds=60)


def count_by_minute(world: World, load: Load) -> dict[int, int]:
    """The calls of the rated key that were let in, by minute; no more than is promised."""
    found = Counter(
        minute
        for (minute,) in world.parts.rows(
            "SELECT (extract(epoch FROM to_timestamp(('x' || left(e.call_id::text, 8)"
            " || substr(e.call_id::text, 10, 4))::bit(48)::bigint / 1000.0))::bigint / 60)::int"
            " FROM usage_event e JOIN api_key k ON k.id = e.key WHERE k.name = 'rated minute'"
        )
    )
    # What all shares come to, beside what Redis had given away or gives away afterwards.
    assert max(found.values()) <= 2 * PER_MINUTE
    return dict(sorted(found.items()))


def test_each_process_has_its_share_while_it_is_killed(world: World, seed: int, note: Note) -> None:
    parts = world.parts
    load, gone = world.loads("killed", seed)
    sudden = world.load(seed, "sudden killed")
    with world.calling(load, gone):
        parts.valkey.stop()
        time.sleep(2)
        sudden.burst(40)
        time.sleep(4)
        parts.valkey.start()
    assert sudden.count()["answered"] >= GATEWAYS
    assert sudden.count()["rate_limit_exceeded"] > 0
    load.outcomes += sudden.outcomes
    world.assert_kept(load, gone, note)
