"""Old days of facts go, and nothing that is counted from them changes."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection, transaction

from billing import models
from billing.check import check_ledger
from billing.ledger import late, processes
from billing.ledger.spool import Spool
from billing.models import Adjustment, DroppedDay, QuotaWindow, Rollup
from billing.partitions import make_partitions, name_of
from billing.retention import drop_old_days
from billing.rollups import fold_usage, rebuild_rollups
from billing.usage import UsageEvent, UsageSource, new_id
from tests.billing.facts import correct, make_event, rows_of, store

pytestmark = pytest.mark.django_db(transaction=True)

# Days that no clock reaches while this test runs, as partitions made here are dropped here.
FIRST = date(2021, 5, 10)
TODAY = date(2021, 5, 13)


def noon(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 12, tzinfo=UTC)


def make_window(*, starts_at: datetime, ends_at: datetime, window: str) -> QuotaWindow:
    quota = models.Quota.objects.create(
        organization=1, scope="key", scope_id=1, unit="cost", limit=10**10, window=window
    )
    return QuotaWindow.objects.create(
        quota=quota, starts_at=starts_at, ends_at=ends_at, limit=10**10, ceiling=10**10
    )


def post(day: date, windows: list[QuotaWindow], ticks: int = 100) -> UsageEvent:
    """Store a fact and move its windows, as settlement does."""
    ids = [window.pk for window in windows]
    amounts = [ticks] * len(ids)
    event = make_event(noon(day), cost_ticks=ticks, tags={"team": "search"}, windows=ids)
    event.window_amounts, event.window_holds = amounts, amounts
    store([event])
    for window in QuotaWindow.objects.filter(pk__in=ids):
        window.posted += ticks
        window.save()
    return event


@pytest.fixture
def lifetime() -> QuotaWindow:
    begin, end = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)
    return make_window(starts_at=begin, ends_at=end, window="lifetime")


@pytest.fixture
def hour() -> QuotaWindow:
    """An hour of the day before the first."""
    start = noon(FIRST) - timedelta(days=1)
    return make_window(starts_at=start, ends_at=start + timedelta(hours=1), window="hour")


@pytest.fixture
def four_days(lifetime: QuotaWindow, hour: QuotaWindow) -> list[UsageEvent]:
    """A fact on each day from the one before FIRST on; three of the days have partitions."""
    make_partitions(connection, today=FIRST + timedelta(days=1), days_ahead=1)
    days = [FIRST + timedelta(days=n) for n in range(-1, 3)]
    return [post(day, [lifetime, hour] if day < FIRST else [lifetime]) for day in days]


def drop(keep_days: int) -> list[date]:
    return drop_old_days(connection, today=TODAY, keep_days=keep_days)


def differences() -> list[str]:
    return check_ledger(connection).differences


def test_what_is_older_than_it_has_to_be_goes_day_by_day(four_days: list[UsageEvent]) -> None:
    assert drop(4) == []
    assert drop(2) == [FIRST - timedelta(days=1), FIRST]
    assert drop(2) == []
    left = models.UsageEvent.objects.order_by("id").values_list("id", flat=True)
    assert [str(id_) for id_ in left] == [event.id for event in four_days[2:]]
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s)", [name_of(FIRST)])
        assert cursor.fetchone()[0] is None


def test_an_open_window_keeps_its_sum_and_one_that_is_over_goes(
    four_days: list[UsageEvent], lifetime: QuotaWindow, hour: QuotaWindow
) -> None:
    fold_usage(connection)
    drop(1)
    lifetime.refresh_from_db()
    assert lifetime.posted == 400
    carried = Adjustment.objects.filter(window=lifetime, reason="carried")
    assert [each.amount for each in carried.order_by("id")] == [100, 100, 100]
    assert not QuotaWindow.objects.filter(pk=hour.pk).exists()
    assert differences() == []


def test_a_window_from_which_something_is_drawn_stays(
    four_days: list[UsageEvent], hour: QuotaWindow
) -> None:
    now = datetime.now(UTC)
    process = models.GatewayProcess.objects.create(
        id=new_id(), host="here", started_at=now, lease_until=now
    )
    models.Allowance.objects.create(window=hour, process=process, amount=5)
    QuotaWindow.objects.filter(pk=hour.pk).update(drawn=5)
    drop(1)
    assert QuotaWindow.objects.filter(pk=hour.pk).exists()
    assert differences() == []


def test_rollups_of_dropped_days_stay_as_they_are(four_days: list[UsageEvent]) -> None:
    correct(four_days[0], amount=-30, usage={"output": -1})
    before = [rows_of("rollup_delta"), rows_of("rollup_tag_delta")]
    drop(2)  # Before they are folded: what waits is not lost.
    fold_usage(connection)
    rebuild_rollups(connection)
    assert sum(len(rows) for rows in before) == 10
    assert sum(Rollup.objects.values_list("cost_ticks", flat=True)) == 400 - 30
    day = DroppedDay.objects.earliest("day")
    assert (day.events, day.cost_ticks) == (1, 70)
    assert differences() == []


def test_nobody_can_ask_for_rollups_from_facts_that_are_gone(four_days: list[UsageEvent]) -> None:
    drop(2)
    with pytest.raises(CommandError, match="facts of days before 2021-05-11 are dropped"):
        call_command("rebuild_rollups", "--since", "2021-05-10")


def test_a_frozen_day_that_lost_something_is_named(four_days: list[UsageEvent]) -> None:
    drop(2)
    fold_usage(connection)
    Rollup.objects.filter(quarter__lt=noon(FIRST)).update(cost_ticks=1)
    assert differences() == [
        "rollups on 2021-05-09 (UTC) come to 1 attempts and 1 ticks, but the facts that were"
        " dropped came to 1 and 100."
    ]


def test_a_day_whose_rollups_differ_from_its_facts_is_kept_with_all_after_it(
    four_days: list[UsageEvent], caplog: pytest.LogCaptureFixture
) -> None:
    fold_usage(connection)
    Rollup.objects.filter(quarter=noon(FIRST)).update(output=9)
    assert drop(1) == [FIRST - timedelta(days=1)]
    assert "the facts of 2021-05-10 are not dropped: rollup of organization 1" in caplog.text
    assert models.UsageEvent.objects.count() == 3


def test_while_somebody_writes_to_the_day_it_stays(four_days: list[UsageEvent]) -> None:
    inserted, done = threading.Event(), threading.Event()

    def write() -> None:
        try:
            with transaction.atomic():
                store([make_event(noon(FIRST))])
                inserted.set()
                done.wait(10)
        finally:
            connection.close()

    writer = threading.Thread(target=write)
    writer.start()
    assert inserted.wait(10)
    with pytest.raises(OperationalError):
        drop(2)
    done.set()
    writer.join(10)
    assert models.UsageEvent.objects.count() == 4
    assert drop(2) == [FIRST]


async def tell_late(dsn: str, event: UsageEvent, *, reap: bool = False, folder: Any = None) -> None:
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as own:
        payload = msgspec.json.encode(event)
        if reap:
            await processes.register(own, event.process)
            assert await processes.reap(own, event.process, folder, is_dead=True)
        else:
            await late.settle_late(own, process=event.process, events=[payload])


def test_a_spool_that_turns_up_after_its_day_was_dropped_counts_nothing_twice(
    four_days: list[UsageEvent], lifetime: QuotaWindow, dsn: str
) -> None:
    drop(2)
    for _ in range(2):
        asyncio.run(tell_late(dsn, four_days[0]))
    assert models.RejectedEvent.objects.get().error == (
        "the facts of days before 2021-05-11 are dropped"
    )
    lifetime.refresh_from_db()
    assert lifetime.posted + lifetime.overrun == 400
    assert differences() == []


def test_a_process_that_died_before_its_day_was_dropped_can_still_be_ended(
    four_days: list[UsageEvent], dsn: str, tmp_path: Any
) -> None:
    drop(2)
    process = new_id()
    event = msgspec.structs.replace(four_days[0], process=process, usage_source=UsageSource.HELD)
    spool = Spool(tmp_path / process)
    spool.sent(event.id, msgspec.json.encode(event))
    asyncio.run(tell_late(dsn, event, reap=True, folder=spool.folder))
    spool.close(remove=False)
    assert models.RejectedEvent.objects.count() == 1
    assert models.GatewayProcess.objects.get().ended_at is not None
    assert differences() == []


def test_a_correction_of_a_kept_day_goes_on_as_before(
    four_days: list[UsageEvent], lifetime: QuotaWindow
) -> None:
    drop(2)
    correct(four_days[3], amount=-10, usage={})
    fold_usage(connection)
    assert differences() == []


def test_facts_that_came_after_their_day_was_dropped_go_with_the_next_run(
    four_days: list[UsageEvent], lifetime: QuotaWindow
) -> None:
    drop(2)
    post(FIRST, [lifetime])  # By a process whose clock was wrong.
    assert drop(2) == [FIRST]
    fold_usage(connection)
    assert DroppedDay.objects.get(day=FIRST).events == 2
    assert differences() == []
