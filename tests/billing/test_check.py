"""check_ledger is silent about a sound ledger and names every difference in another."""

from __future__ import annotations

import io
import uuid
from datetime import UTC, datetime

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from billing.check import check_ledger
from billing.models import Adjustment, Allowance, GatewayProcess, Quota, QuotaWindow, Rollup
from billing.rollups import fold_usage
from tests.billing.facts import correct, make_event, store

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def window() -> QuotaWindow:
    """A window with one event of 0.30 USD posted, and 0.20 USD drawn by a process."""
    quota = Quota.objects.create(
        organization=1, scope="key", scope_id=1, unit="cost", limit=10**10, window="month"
    )
    window = QuotaWindow.objects.create(
        quota=quota,
        starts_at=datetime(2026, 3, 1, tzinfo=UTC),
        ends_at=datetime(2026, 4, 1, tzinfo=UTC),
        limit=10**10,
        ceiling=10**10,
        posted=3 * 10**9,
        drawn=2 * 10**9,
    )
    now = datetime.now(UTC)
    process = GatewayProcess.objects.create(
        id=uuid.UUID(int=1), host="here", started_at=now, lease_until=now
    )
    Allowance.objects.create(window=window, process=process, amount=2 * 10**9)
    event = make_event(tags={"team": "search"}, windows=[window.pk])
    event.window_amounts, event.window_holds = [3 * 10**9], [4 * 10**9]
    store([event])
    return window


def differences() -> list[str]:
    return check_ledger(connection).differences


def test_a_sound_ledger_has_no_differences(window: QuotaWindow) -> None:
    out = io.StringIO()
    call_command("check_ledger", stdout=out)
    assert out.getvalue() == (
        "Differences: none. Checked: windows 1, events 1, adjustments 0."
        " For a person to look at: conflicts 0, rejected events 0.\n"
    )


def test_waiting_and_folded_deltas_and_corrections_are_all_counted(window: QuotaWindow) -> None:
    event = make_event(tags={"team": "search"})
    store([event])
    fold_usage(connection)
    correct(event, amount=-100, usage={"output": -1})
    assert differences() == []


def test_a_window_that_posted_too_much_is_named(window: QuotaWindow) -> None:
    QuotaWindow.objects.update(posted=4 * 10**9)
    assert differences() == [
        f"Window {window.pk} (cost per month of key 1 since 2026-03-01 00:00 UTC) has 0.40 USD"
        " posted, overruns included, but its facts and adjustments come to 0.30 USD."
    ]


def test_adjustments_and_overruns_count_for_their_window(window: QuotaWindow) -> None:
    Adjustment.objects.create(window=window, amount=10**9, reason="grant")
    QuotaWindow.objects.update(overrun=10**9)
    assert differences() == []


def test_an_allowance_that_was_not_drawn_is_named(window: QuotaWindow) -> None:
    Allowance.objects.update(amount=10**9)
    [sentence] = differences()
    assert sentence.endswith("has 0.20 USD drawn, but its allowances come to 0.10 USD.")


def test_an_allowance_of_an_ended_process_is_named(window: QuotaWindow) -> None:
    GatewayProcess.objects.update(ended_at=datetime.now(UTC))
    [sentence] = differences()
    assert "has ended but has 2000000000 drawn" in sentence


def test_a_fact_in_a_window_that_is_gone_is_named(window: QuotaWindow) -> None:
    store([make_event(windows=[999], window_amounts=[5], window_holds=[5])])
    assert differences() == ["Facts come to 5 in window 999, which does not exist."]


def test_a_rollup_that_lost_something_is_named_with_its_figures(window: QuotaWindow) -> None:
    fold_usage(connection)
    Rollup.objects.update(output=9, cost_ticks=0)
    assert differences() == [
        "rollup of organization 1 on 2026-03-10 (UTC) has output 9 instead of 10,"
        " cost_ticks 0 instead of 1500."
    ]


def test_differences_make_the_command_fail(window: QuotaWindow) -> None:
    Rollup.objects.all().delete()
    QuotaWindow.objects.update(posted=0)
    out = io.StringIO()
    with pytest.raises(CommandError, match=r"^Differences: 1") as failed:
        call_command("check_ledger", stdout=out)
    assert failed.value.returncode == 1
    assert out.getvalue().count("\n") == 1
