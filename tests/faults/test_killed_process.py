"""kill -9 of gateway processes under load: nothing is lost, doubled, or spent above the limit.

What a killed process had sent is charged by whoever finds its spool: its successor here, or, when
its machine is gone, whoever notices, with all that it had drawn, until the machine is back.
"""

import os
import random
import signal
import time
from collections.abc import Callable

import pytest

from billing.ledger.processes import LEASE_SECONDS
from tests.faults.books import OUTPUT_TICKS, assert_books_agree
from tests.faults.load import Load
from tests.faults.world import MIXED, declare
from tests.parts import Gateway, Parts
from tests.processes import count_sockets

CALLS = 200
WORKERS = 2
CAPTURED = "SELECT coalesce(sum(amount), 0)::bigint FROM adjustment WHERE process IS NOT NULL"
FACTS = "SELECT count(*) FROM usage_event"
CHEAPEST_TICKS = min(ask.tokens for ask in MIXED) * OUTPUT_TICKS
Note = Callable[[str], None]


def kill_during(parts: Parts, load: Load, gateway: Gateway, *, kills: int) -> None:
    """`CALLS` at once, and the busiest process killed in their midst, again and again."""
    chance = random.Random(load.seed)

    def progress() -> int:
        return parts.count_received() + len(load.outcomes)

    for _ in range(kills):
        some = progress() + chance.randrange(1, CALLS // 2)
        with load.bursting(CALLS):
            while progress() < some:
                time.sleep(0.02)
            os.kill(max(gateway.worker_pids(), key=count_sockets), signal.SIGKILL)


def test_every_request_that_left_has_one_event_after_a_kill(
    parts: Parts, seed: int, note: Note
) -> None:
    keys = declare(parts, budget_usd="100.00")
    gateway = parts.serve(workers=WORKERS)
    load = Load([gateway.url], list(keys.values()), MIXED, seed)
    kill_during(parts, load, gateway, kills=1)
    parts.until(lambda: len(gateway.worker_pids()) == WORKERS)
    assert load.count()["broken"] > 0
    assert_books_agree(parts, load, note)


@pytest.mark.slow
def test_a_budget_is_kept_to_while_processes_die(parts: Parts, seed: int, note: Note) -> None:
    keys = declare(parts, budget_usd="1.50")
    gateway = parts.serve(workers=WORKERS)
    load = Load([gateway.url], [keys["spender"]], MIXED, seed)
    kill_during(parts, load, gateway, kills=2)
    parts.until(lambda: len(gateway.worker_pids()) == WORKERS)
    load.burst(CALLS)
    assert load.count()["insufficient_quota"] > 0
    assert_books_agree(parts, load, note)


@pytest.mark.slow
def test_a_gateway_that_is_killed_alone_is_settled_by_its_next_start(
    parts: Parts, seed: int, note: Note
) -> None:
    keys = declare(parts, budget_usd="100.00")
    gateway = parts.serve()
    load = Load([gateway.url], list(keys.values()), MIXED, seed)
    kill_during(parts, load, gateway, kills=1)
    assert gateway.process.poll() == -signal.SIGKILL
    parts.serve()
    assert load.count()["broken"] > 0
    assert_books_agree(parts, load, note)


@pytest.mark.slow
def test_a_lost_machine_keeps_what_it_had_drawn_until_it_is_back(
    parts: Parts, seed: int, note: Note
) -> None:
    keys = declare(parts, budget_usd="10.00")
    parts.serve()
    lost = parts.serve(machine="lost")
    load = Load([lost.url], [keys["spender"]], MIXED, seed)
    kill_during(parts, load, lost, kills=1)
    # Others look for such processes every 10 s; the rest is this machine's other work.
    parts.until(lambda: parts.rows(CAPTURED)[0][0] > 0, seconds=LEASE_SECONDS + 10 + 20)
    unknown = parts.count_received() - parts.rows(FACTS)[0][0]
    assert parts.rows(CAPTURED)[0][0] >= unknown * CHEAPEST_TICKS
    assert parts.manage("check_ledger").startswith("Differences: none.")
    parts.serve(machine="lost")
    assert_books_agree(parts, load, note)
    assert parts.rows(CAPTURED) == [(0,)]


@pytest.mark.slow
def test_ten_kills_in_a_row_lose_nothing(parts: Parts, seed: int, note: Note) -> None:
    keys = declare(parts, budget_usd="10.00")
    gateway = parts.serve(workers=4)
    load = Load([gateway.url], list(keys.values()), MIXED, seed)
    kill_during(parts, load, gateway, kills=10)
    assert_books_agree(parts, load, note)
