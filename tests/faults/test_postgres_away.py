"""PostgreSQL stopped, killed or started anew under load, alone or with Redis: refusals at once,
nothing lost, and back by itself."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from tests.faults.books import assert_books_agree
from tests.faults.figures import describe, list_waits, percentile
from tests.faults.load import Load
from tests.faults.probes import read_degraded, read_states
from tests.faults.world import FIXED, MIXED, declare
from tests.parts import Gateway, Parts
from tests.processes import stopped

Note = Callable[[str], None]
CALLERS = 24
PAUSE_SECONDS = 0.1
REFUSAL_MS = 250.0
# What this machine's other work may add to what a caller sees: to nearly all of them, to any.
NOISE_MS, HICCUP_MS = 100.0, 750.0
BACK_SECONDS = 10.0
ALL_AWAY = {"not_fresh", "lease_lost", "redis_away"}
EXPECTED = {"answered", "not_fresh", "ledger_away"}


def break_while(
    load: Load, newcomer: Load, parts: Parts, *, down_seconds: float, how: str
) -> float:
    """Calls before, while and after PostgreSQL is away; returns when it went."""
    with load.flowing(CALLERS, pause_seconds=PAUSE_SECONDS):
        load.until_answered_again(seconds=2, at_most=BACK_SECONDS)
        began = time.monotonic()
        with away(parts, how):
            assert_newcomer_refused(load, newcomer)
            time.sleep(down_seconds)
        load.until_answered_again(seconds=2, at_most=2 + BACK_SECONDS)
    return began


def assert_newcomer_refused(load: Load, newcomer: Load) -> None:
    """When the ledger has just gone, a key for which nothing was drawn is told so: nothing is stale
    yet. Others may have enough in hand until it is, so what they are told proves nothing."""
    newcomer.burst(8)
    assert newcomer.count().keys() == {"ledger_away"}
    load.outcomes += newcomer.outcomes


def away(parts: Parts, how: str) -> AbstractContextManager[object]:
    if how == "stopped":
        return stopped(parts.postgres.pid or 0)
    return killed(parts) if how == "killed" else restarted(parts)


@contextmanager
def restarted(parts: Parts) -> Iterator[None]:
    """PostgreSQL is shut down as for an upgrade, and started again after the block."""
    parts.postgres.stop()
    try:
        yield
    finally:
        parts.postgres.start()


@contextmanager
def killed(parts: Parts) -> Iterator[None]:
    """PostgreSQL dies, and is started again after the block."""
    assert parts.postgres.pid is not None
    os.kill(parts.postgres.pid, signal.SIGKILL)
    try:
        yield
    finally:
        parts.postgres.start()


def assert_promises_kept(
    parts: Parts, gateway: Gateway, load: Load, note: Note, *, since: float
) -> None:
    """No 401, nobody waited, and what was refused is served again by the same processes."""
    refused = load.refused(since=since)
    waits = list_waits(refused)
    last = max(o.began + o.seconds for o in refused) - since
    note(f"refused {len(refused)} in {last:.1f} s: {describe(waits)}")
    assert load.count().keys() == EXPECTED
    assert percentile(waits, 50) < REFUSAL_MS
    assert percentile(waits, 99) < REFUSAL_MS + NOISE_MS
    assert waits[-1] < REFUSAL_MS + HICCUP_MS
    assert gateway.process.poll() is None
    assert_books_agree(parts, load, note)


@pytest.mark.parametrize(
    ("down_seconds", "how"),
    [
        pytest.param(7.0, "stopped", id="stopped for 7 s", marks=pytest.mark.slow),
        pytest.param(20.0, "stopped", id="stopped for 20 s", marks=pytest.mark.slow),
        pytest.param(7.0, "killed", id="killed", marks=pytest.mark.slow),
        pytest.param(7.0, "restarted", id="started anew", marks=pytest.mark.slow),
    ],
)
def test_calls_are_refused_at_once_and_nothing_is_lost(
    parts: Parts, seed: int, note: Note, down_seconds: float, how: str
) -> None:
    keys = declare(parts, budget_usd="1000.00")
    gateway = parts.serve(workers=2)
    workers = gateway.worker_pids()
    load = Load([gateway.url], [keys["steady"], keys["spender"]], MIXED, seed)
    newcomer = Load([gateway.url], [keys["newcomer"]], [FIXED], seed)
    since = break_while(load, newcomer, parts, down_seconds=down_seconds, how=how)
    assert gateway.worker_pids() == workers
    assert_promises_kept(parts, gateway, load, note, since=since)


@pytest.mark.slow
def test_both_servers_may_be_away_for_longer_than_a_lease(
    parts: Parts, seed: int, note: Note
) -> None:
    keys = declare(parts, budget_usd="1000.00")
    gateway = parts.serve()
    load = Load([gateway.url], [keys["steady"], keys["spender"]], MIXED, seed)
    newcomer = Load([gateway.url], [keys["newcomer"]], [FIXED], seed)
    with load.flowing(CALLERS, pause_seconds=PAUSE_SECONDS):
        load.until_answered_again(seconds=2, at_most=BACK_SECONDS)
        since = time.monotonic()
        with stopped(parts.postgres.pid or 0), stopped(parts.valkey.pid or 0):
            assert_newcomer_refused(load, newcomer)
            parts.until(lambda: set(read_degraded(gateway)) >= ALL_AWAY, seconds=40)
            states = read_states(gateway)
        load.until_answered_again(seconds=2, at_most=2 + BACK_SECONDS)
    note(f"named: {', '.join(sorted(states))}")
    assert states >= ALL_AWAY
    assert_promises_kept(parts, gateway, load, note, since=since)
    parts.until(lambda: read_degraded(gateway) == [])
