"""PostgreSQL stopped or killed under load: refusals at once, nothing lost, and back by itself."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from tests.faults.books import assert_books_agree
from tests.faults.figures import describe, list_waits, percentile
from tests.faults.load import Load
from tests.faults.world import MIXED, declare
from tests.parts import Gateway, Parts
from tests.processes import stopped

Note = Callable[[str], None]
CALLERS = 24
PAUSE_SECONDS = 0.1
REFUSAL_MS = 250.0
# What this machine's other work may add to what a caller sees.
NOISE_MS = 100.0
BACK_SECONDS = 10.0
EXPECTED = {"answered", "not_fresh", "ledger_away"}


@asynccontextmanager
async def flowing(load: Load) -> AsyncIterator[None]:
    """Callers who come back again and again, for as long as the block lasts."""
    ended = asyncio.Event()
    flow = asyncio.create_task(load.flow(CALLERS, ended, pause_seconds=PAUSE_SECONDS))
    try:
        yield
    finally:
        ended.set()
        await flow


async def pass_calls(load: Load, *, seconds: float) -> None:
    """Let the load go on until answers have come for so long without a refusal."""
    deadline = time.monotonic() + BACK_SECONDS + seconds
    since = time.monotonic()
    while time.monotonic() - since < seconds:
        await asyncio.sleep(0.05)
        since = max([since, *(o.began for o in load.refused())])
        assert time.monotonic() < deadline, f"refused all the time: {load.describe()}"


async def break_while(load: Load, parts: Parts, *, down_seconds: float, kill: bool) -> float:
    """Calls before, while and after PostgreSQL is away; returns when it went."""
    async with flowing(load):
        await pass_calls(load, seconds=2)
        began = time.monotonic()
        if kill:
            assert parts.postgres.pid is not None
            os.kill(parts.postgres.pid, signal.SIGKILL)
            await asyncio.sleep(down_seconds)
            parts.postgres.start()
        else:
            with stopped(parts.postgres.pid or 0):
                await asyncio.sleep(down_seconds)
        await pass_calls(load, seconds=2)
    return began


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
    assert gateway.process.poll() is None
    assert_books_agree(parts, load, note)


@pytest.mark.parametrize(
    ("down_seconds", "kill"),
    [
        pytest.param(7.0, False, id="stopped for 7 s"),
        pytest.param(20.0, False, id="stopped for 20 s", marks=pytest.mark.slow),
        pytest.param(7.0, True, id="killed", marks=pytest.mark.slow),
    ],
)
async def test_calls_are_refused_at_once_and_nothing_is_lost(
    parts: Parts, seed: int, note: Note, down_seconds: float, kill: bool
) -> None:
    keys = declare(parts, budget_usd="1000.00")
    gateway = parts.serve(workers=2)
    workers = gateway.worker_pids()
    load = Load([gateway.url], list(keys.values()), MIXED, seed)
    since = await break_while(load, parts, down_seconds=down_seconds, kill=kill)
    assert gateway.worker_pids() == workers
    assert_promises_kept(parts, gateway, load, note, since=since)
