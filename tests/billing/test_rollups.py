"""Deltas become rollups exactly once, and a rebuild from facts gives the same rows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from billing.models import Rollup, RollupDelta, RollupTag
from billing.rollups import (
    BINS,
    LATENCY_EDGES,
    fold_usage,
    rebuild_rollups,
)
from billing.usage import Outcome, UsageEvent
from tests.billing.facts import NOON, correct, make_event, rows_of, store


def make_mixed_events() -> list[UsageEvent]:
    return [
        make_event(
            NOON + timedelta(minutes=7 * n),
            key=n % 3,
            member=None if n % 2 else 5,
            model=("gpt-4o", "claude")[n % 2],
            cache_read=n,
            reasoning=2 * n,
            cost_ticks=1000 + n,
            first_byte_ms=None if n % 5 == 0 else 17 * n,
            total_ms=170 * n,
            tags={"team": str(n % 2), "env": "test"},
        )
        for n in range(40)
    ]


@pytest.mark.django_db
def test_folding_twice_changes_nothing() -> None:
    store(make_mixed_events())
    fold_usage(connection)
    once = rows_of("rollup"), rows_of("rollup_tag")
    assert fold_usage(connection) == 0
    assert (rows_of("rollup"), rows_of("rollup_tag")) == once


@pytest.mark.django_db
def test_a_replayed_event_adds_nothing() -> None:
    events = make_mixed_events()
    assert store(events) == 40
    assert store(events) == 0
    fold_usage(connection)
    assert sum(rollup.attempts for rollup in Rollup.objects.all()) == 40


@pytest.mark.django_db
def test_one_fold_of_all_equals_many_folds_of_one() -> None:
    for event in make_mixed_events():
        store([event])
    fold_usage(connection, limit_rows=7)
    piecemeal = rows_of("rollup"), rows_of("rollup_tag")
    Rollup.objects.all().delete()
    RollupTag.objects.all().delete()
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM usage_event")
    store(make_mixed_events())
    fold_usage(connection)
    assert (rows_of("rollup"), rows_of("rollup_tag")) == piecemeal


@pytest.mark.django_db
def test_a_call_of_three_attempts_is_one_call_and_three_attempts() -> None:
    first = make_event(outcome=Outcome.UPSTREAM_FAILED)
    others = [make_event(call_id=first.call_id, attempt_no=n) for n in (2, 3)]
    store([first, *others])
    fold_usage(connection)
    failed = Rollup.objects.get(outcome="upstream_failed")
    answered = Rollup.objects.get(outcome="answered")
    assert (failed.calls, failed.attempts) == (1, 1)
    assert (answered.calls, answered.attempts) == (0, 2)


@pytest.mark.django_db
def test_a_late_event_lands_in_the_quarter_of_its_id() -> None:
    at = datetime(2025, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC)
    store([make_event(at), make_event(at + timedelta(milliseconds=1))])
    fold_usage(connection)
    quarters = sorted(rollup.quarter for rollup in Rollup.objects.all())
    assert quarters == [
        datetime(2025, 12, 31, 23, 45, tzinfo=UTC),
        datetime(2026, 1, 1, tzinfo=UTC),
    ]


@pytest.mark.django_db
def test_events_without_a_member_fall_into_one_row() -> None:
    for _ in range(2):
        store([make_event(member=None)])
        fold_usage(connection)
    assert Rollup.objects.get().attempts == 2


@pytest.mark.django_db
def test_an_event_with_two_tags_counts_under_both() -> None:
    store([make_event(tags={"team": "search", "env": "live"}), make_event(tags={"env": "live"})])
    fold_usage(connection)
    counts = {(row.tag, row.value): row.attempts for row in RollupTag.objects.all()}
    assert counts == {("env", "live"): 2, ("team", "search"): 1}


@pytest.mark.django_db
def test_a_correction_moves_the_figures_of_its_event_and_counts_nothing() -> None:
    event = make_event(tags={"team": "search"})
    store([event])
    correct(event, amount=-500, usage={"output": -4, "reasoning": 7})
    fold_usage(connection)
    for row in (Rollup.objects.get(), RollupTag.objects.get()):
        assert (row.calls, row.attempts, row.cost_ticks) == (1, 1, 1000)
        assert (row.uncached_input, row.output, row.reasoning) == (100, 6, 7)
    assert sum(Rollup.objects.get().total_hist) == 1


@pytest.mark.django_db
def test_histograms_count_every_total_and_every_first_byte_there_was() -> None:
    store([make_event(first_byte_ms=None, total_ms=9), make_event(first_byte_ms=10, total_ms=10)])
    fold_usage(connection)
    row = Rollup.objects.get()
    assert row.first_byte_hist == [0, 1] + [0] * 22
    assert row.total_hist == [1, 1] + [0] * 22


@pytest.mark.django_db
def test_a_latency_falls_into_the_bin_that_begins_at_most_there() -> None:
    at_edges = [edge + step for edge in LATENCY_EDGES for step in (-1, 0)]
    store([make_event(total_ms=each) for each in (*at_edges, 0, 2**31 - 1)])
    fold_usage(connection)
    assert Rollup.objects.get().total_hist == [2] * BINS


@pytest.mark.django_db(transaction=True)
def test_a_rebuild_gives_the_rows_that_folding_gave() -> None:
    events = make_mixed_events()
    store(events)
    correct(events[3], amount=70, usage={"output": 7})
    fold_usage(connection)
    folded = rows_of("rollup"), rows_of("rollup_tag")
    Rollup.objects.update(cost_ticks=1)
    RollupTag.objects.all().delete()
    assert rebuild_rollups(connection) == len(folded[0])
    assert (rows_of("rollup"), rows_of("rollup_tag")) == folded


@pytest.mark.django_db(transaction=True)
def test_a_rebuild_before_folding_leaves_nothing_to_fold_twice() -> None:
    store(make_mixed_events())
    rebuild_rollups(connection)
    rebuilt = rows_of("rollup")
    assert fold_usage(connection) == 0
    assert rows_of("rollup") == rebuilt
    assert sum(rollup.attempts for rollup in Rollup.objects.all()) == 40


@pytest.mark.django_db(transaction=True)
def test_a_rebuild_touches_only_its_range() -> None:
    store([make_event(NOON), make_event(NOON + timedelta(hours=1))])
    rebuild_rollups(connection, since=NOON, until=NOON + timedelta(hours=1))
    assert Rollup.objects.get().quarter == NOON
    assert RollupDelta.objects.get().quarter == NOON + timedelta(hours=1)
    fold_usage(connection)
    assert Rollup.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_a_rebuild_of_part_of_a_quarter_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^since: "):
        rebuild_rollups(connection, since=NOON + timedelta(minutes=1))
