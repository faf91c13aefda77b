"""Periods are those of the wall clock in the organization's zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from billing.ledger.windows import BEGINNING, END, period


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_a_month_begins_at_local_midnight() -> None:
    starts, ends = period("month", utc("2026-07-01 01:00"), "Europe/Berlin")
    assert (starts, ends) == (utc("2026-06-30 22:00"), utc("2026-07-31 22:00"))


def test_a_month_that_changes_the_clock_ends_at_the_new_offset() -> None:
    starts, ends = period("month", utc("2026-10-10 00:00"), "Europe/Berlin")
    assert (starts, ends) == (utc("2026-09-30 22:00"), utc("2026-10-31 23:00"))


@pytest.mark.parametrize(("at", "hours"), [("2026-03-29 10:00", 23), ("2026-10-25 10:00", 25)])
def test_days_of_a_clock_change_have_23_or_25_hours(at: str, hours: int) -> None:
    starts, ends = period("day", utc(at), "Europe/Berlin")
    assert ends - starts == timedelta(hours=hours)


def test_weeks_begin_on_monday() -> None:
    starts, ends = period("week", utc("2026-11-22 12:00"), "UTC")
    assert (starts, ends) == (utc("2026-11-16 00:00"), utc("2026-11-23 00:00"))


def test_lifetime_never_ends() -> None:
    assert period("lifetime", utc("2026-01-01 00:00"), "UTC") == (BEGINNING, END)


@pytest.mark.parametrize("window", ["minute", "hour", "day", "week", "month"])
def test_periods_follow_each_other_without_gap(window: str) -> None:
    at = utc("2026-03-27 22:30")
    for _ in range(40):
        _, ends = period(window, at, "America/Sao_Paulo")
        assert period(window, ends, "America/Sao_Paulo")[0] == ends
        at = ends


def test_an_unknown_window_is_an_error() -> None:
    with pytest.raises(ValueError, match="fortnight"):
        period("fortnight", utc("2026-01-01 00:00"), "UTC")
