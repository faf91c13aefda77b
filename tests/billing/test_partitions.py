"""Every day has its partition ahead of time, and no event is refused for want of one."""

from __future__ import annotations

import threading
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection

from billing import models
from billing.partitions import make_partitions, name_of
from billing.usage import UsageEvent
from tests.billing.facts import make_event, store

# Days that no clock reaches while this test runs.
DAY = date(2031, 5, 10)
MIDNIGHT = datetime(2031, 5, 10, tzinfo=UTC)


def place_of(event: UsageEvent) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT tableoid::regclass::text FROM usage_event WHERE id = %s", [event.id])
        return str(cursor.fetchone()[0])


@pytest.mark.django_db
def test_the_days_ahead_are_there_once_the_database_is_migrated() -> None:
    assert make_partitions(connection, today=datetime.now(UTC).date(), days_ahead=6) == []


@pytest.mark.django_db
def test_a_week_is_made_once() -> None:
    made = make_partitions(connection, today=DAY, days_ahead=2)
    assert made == [f"usage_event_203105{n:02}" for n in (9, 10, 11, 12)]
    assert make_partitions(connection, today=DAY, days_ahead=2) == []


@pytest.mark.django_db
def test_an_event_goes_to_the_day_of_its_id_to_the_millisecond() -> None:
    make_partitions(connection, today=DAY, days_ahead=0)
    last = make_event(MIDNIGHT - timedelta(milliseconds=1))
    first = make_event(MIDNIGHT)
    store([last, first])
    assert (place_of(last), place_of(first)) == ("usage_event_20310509", "usage_event_20310510")


@pytest.mark.django_db
def test_events_that_came_before_their_partition_are_moved_into_it() -> None:
    early, other = make_event(MIDNIGHT), make_event(MIDNIGHT + timedelta(days=40))
    store([early, other])
    assert place_of(early) == place_of(other) == "usage_event_default"
    make_partitions(connection, today=DAY, days_ahead=0)
    assert (place_of(early), place_of(other)) == (name_of(DAY), "usage_event_default")
    assert models.UsageEvent.objects.count() == 2


@pytest.mark.django_db
def test_a_partition_has_the_indexes_and_checks_of_its_parent() -> None:
    make_partitions(connection, today=DAY, days_ahead=0)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_indexes WHERE tablename = %s", [name_of(DAY)])
        assert cursor.fetchone()[0] == 4
        cursor.execute(
            "SELECT count(*) FROM pg_constraint WHERE contype = 'c' AND conrelid = %s::regclass",
            [name_of(DAY)],
        )
        assert cursor.fetchone()[0] == 4


@pytest.mark.django_db(transaction=True)
def test_makers_that_run_at_the_same_time_make_each_day_once() -> None:
    made: list[list[str]] = []

    def make() -> None:
        try:
            made.append(make_partitions(connection, today=DAY, days_ahead=3))
        finally:
            connection.close()

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(len, made)) == [0, 0, 0, 5]
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE {', '.join(name for names in made for name in names)}")


@pytest.mark.django_db
@pytest.mark.parametrize(
    "nonsense",
    [
        {"output": -1},
        {"cost_ticks": -1},
        {"reasoning": 2**62},
        {"cost_ticks": 2**62},
        {"windows": [1], "window_amounts": []},
    ],
)
def test_an_event_that_would_spoil_sums_is_refused(nonsense: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError, match="usage_event_"):
        store([make_event(**nonsense)])
