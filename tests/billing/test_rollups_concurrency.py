"""Settling, folding and rebuilding at the same time: every event is counted exactly once."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection, transaction

from billing.models import Rollup, RollupDelta, RollupTagDelta
from billing.rollups import fold_usage, rebuild_rollups
from tests.billing.facts import NOON, make_event, rows_of, store

pytestmark = pytest.mark.django_db(transaction=True)


def run_beside(*works: Callable[[], object]) -> list[BaseException]:
    """Run each in a thread with a connection of its own; return what they raised."""
    raised: list[BaseException] = []

    def run(work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as error:
            raised.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=[work]) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    return raised


def settle_in_pieces(seed: int) -> None:
    choose = random.Random(seed)
    for _ in range(40):
        at = NOON + timedelta(minutes=choose.randrange(120))
        store([make_event(at, key=choose.randrange(5), tags={"k": "v"}) for _ in range(10)])


def total_attempts() -> int:
    return sum(Rollup.objects.values_list("attempts", flat=True))


def test_folds_and_rebuilds_beside_settlement_count_everything_once() -> None:
    settling = threading.Event()
    settling.set()

    def while_settling(work: Callable[[], object]) -> Callable[[], None]:
        def repeat() -> None:
            while settling.is_set():
                work()
                time.sleep(0.01)

        return repeat

    def settle_all() -> None:
        try:
            assert run_beside(*(lambda n=n: settle_in_pieces(n) for n in range(3))) == []
        finally:
            settling.clear()

    raised = run_beside(
        settle_all,
        while_settling(lambda: fold_usage(connection, limit_rows=7)),
        while_settling(lambda: fold_usage(connection)),
        while_settling(lambda: rebuild_rollups(connection)),
        while_settling(lambda: rebuild_rollups(connection, since=NOON + timedelta(hours=1))),
    )
    assert raised == []
    fold_usage(connection)
    assert total_attempts() == 3 * 40 * 10
    assert not RollupDelta.objects.exists()
    assert not RollupTagDelta.objects.exists()
    folded = rows_of("rollup"), rows_of("rollup_tag")
    rebuild_rollups(connection)
    assert (rows_of("rollup"), rows_of("rollup_tag")) == folded


def test_an_event_committed_after_the_rebuild_began_is_folded_later() -> None:
    store([make_event()])
    with transaction.atomic():
        store([make_event()])  # Not committed when the rebuild looks.
        assert run_beside(lambda: rebuild_rollups(connection)) == []
    assert total_attempts() == 1
    fold_usage(connection)
    assert total_attempts() == 2


def test_a_rebuild_waits_for_a_fold_under_way_and_sees_what_it_did() -> None:
    store([make_event()])
    with transaction.atomic():
        fold_usage(connection)
        rebuild = threading.Thread(target=run_beside, args=[lambda: rebuild_rollups(connection)])
        rebuild.start()
        wait_until_somebody_waits_for_a_lock()
    rebuild.join(timeout=30)
    assert total_attempts() == 1


def test_a_fold_beside_a_rebuild_leaves_the_deltas_for_later() -> None:
    store([make_event()])
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("LOCK TABLE rollup IN SHARE ROW EXCLUSIVE MODE")
        folded: list[int] = []
        run_beside(lambda: folded.append(fold_usage(connection)))
        assert folded == [0]
    assert fold_usage(connection) == 1


def test_folds_that_meet_take_different_deltas() -> None:
    for _ in range(30):
        store([make_event(key=key) for key in range(4)])
    folded: list[int] = []
    fold = lambda: folded.append(fold_usage(connection, limit_rows=5))  # noqa: E731
    assert run_beside(*[fold] * 4) == []
    assert sum(folded) == 30 * 4
    assert total_attempts() == 30 * 4


def wait_until_somebody_waits_for_a_lock() -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'rollup'::regclass"
            )
            if cursor.fetchone()[0]:
                return
        time.sleep(0.02)
    raise AssertionError("nobody waited for rollup")
