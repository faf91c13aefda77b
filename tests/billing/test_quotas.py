"""Quota rules: read with errors that name the field, kept once, and found by whom a call is of."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.db import IntegrityError
from django.utils import timezone

from accounts.changes import Change
from accounts.errors import InvalidField
from accounts.models import Organization, Project
from billing.models import Quota
from billing.quotas import QuotaBook, end_quota, parse_quota, set_quota

MONTHLY = {"unit": "cost", "limit": "5.00", "window": "month"}


def test_a_cost_limit_is_read_as_ticks() -> None:
    fields = parse_quota(MONTHLY, scope="project")
    assert (fields.limit, fields.mode, fields.hold, fields.clamp) == (
        5 * 10**10,
        "enforce",
        "strict",
        False,
    )


def test_no_limit_counts_and_zero_refuses() -> None:
    assert parse_quota({**MONTHLY, "limit": None}, scope="key").limit is None
    assert parse_quota({**MONTHLY, "limit": "0"}, scope="key").limit == 0


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"limit": "5.00000000001"}, "limit"),
        ({"limit": "-1"}, "limit"),
        ({"limit": 0.5}, "limit"),
        ({"limit": "100000001"}, "limit"),
        ({"unit": "money"}, "unit"),
        ({"unit": None}, "unit"),
        ({"window": "year"}, "window"),
        ({"window": ["month"]}, "window"),
        ({"mode": "warn"}, "mode"),
        ({"clamp": "yes"}, "clamp"),
        ({"model": 4}, "model"),
        ({"limits": "5"}, "limits"),
    ],
)
def test_a_bad_quota_names_the_field(change: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidField) as refused:
        parse_quota({**MONTHLY, **change}, scope="key")
    assert refused.value.field == field


@pytest.mark.parametrize("window", ["minute", "hour", "day", "week", "month", "lifetime"])
@pytest.mark.parametrize(
    ("unit", "limit", "kept", "hold"),
    [
        ("cost", "5.00", 5 * 10**10, "strict"),
        ("requests", 600, 600, "strict"),
        ("input_tokens", "2000", 2000, "bounded"),
        ("output_tokens", 0, 0, "bounded"),
        ("total_tokens", None, None, "bounded"),
    ],
)
def test_every_unit_is_taken_in_every_period(
    unit: str, limit: object, kept: int | None, hold: str, window: str
) -> None:
    fields = parse_quota({"unit": unit, "limit": limit, "window": window}, scope="project")
    assert (fields.window, fields.limit, fields.hold) == (window, kept, hold)
    for other in ("strict", "bounded"):
        written = {"unit": unit, "limit": limit, "window": window, "hold": other}
        assert parse_quota(written, scope="key").hold == other


def test_calls_at_once_are_counted_in_no_period() -> None:
    assert parse_quota({"unit": "concurrency", "limit": 4}, scope="key").window == "none"


@pytest.mark.parametrize(("scope", "is_on"), [("key", True), ("member", True), ("project", False)])
def test_keys_and_members_get_shorter_answers_where_that_can_help(scope: str, is_on: bool) -> None:
    for unit in ("cost", "output_tokens", "total_tokens"):
        assert parse_quota({**MONTHLY, "unit": unit, "limit": "5"}, scope=scope).clamp is is_on
    assert not parse_quota({**MONTHLY, "unit": "requests", "limit": "5"}, scope=scope).clamp
    assert not parse_quota({**MONTHLY, "clamp": False}, scope=scope).clamp


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"unit": "concurrency", "limit": 1, "window": "minute"}, "window"),
        ({"window": "none"}, "window"),
        ({"unit": "requests", "limit": 1, "clamp": True}, "clamp"),
        ({"unit": "requests", "limit": "1.5"}, "limit"),
        ({"unit": "requests", "limit": 1.5}, "limit"),
        ({"unit": "requests", "limit": -1}, "limit"),
        ({"unit": "requests", "limit": True}, "limit"),
        ({"unit": "total_tokens", "limit": 10**15 + 1}, "limit"),
    ],
)
def test_what_means_nothing_is_not_accepted(change: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidField) as refused:
        parse_quota({**MONTHLY, **change}, scope="key")
    assert refused.value.field == field


@pytest.mark.django_db
@pytest.mark.parametrize(
    "change",
    [
        {"unit": "concurrency", "window": "minute"},
        {"unit": "cost", "window": "none"},
        {"unit": "requests", "clamp": True},
    ],
)
def test_the_database_itself_refuses_what_means_nothing(change: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError):
        put("key", 3, **change)


def test_a_quota_without_a_limit_said_is_refused() -> None:
    with pytest.raises(InvalidField, match=r"^limit: is missing"):
        parse_quota({"unit": "cost", "window": "month"}, scope="key")


def set_monthly(project: Project, limit: str = "5.00", **change: object) -> tuple[Quota, str]:
    fields = parse_quota({**MONTHLY, "limit": limit, **change}, scope="project")
    return set_quota(
        organization=project.organization_id, scope="project", scope_id=project.id, fields=fields
    )


@pytest.mark.django_db
def test_setting_a_quota_again_changes_the_same_row(project: Project) -> None:
    made, what = set_monthly(project)
    assert what == "made"
    assert set_monthly(project)[1] == "unchanged"
    changed, what = set_monthly(project, "7.00", mode="observe")
    assert (changed.id, what) == (made.id, "changed")
    assert Quota.objects.get().limit == 7 * 10**10


@pytest.mark.django_db
def test_a_quota_that_ended_makes_room_for_another(project: Project) -> None:
    end_quota(set_monthly(project)[0])
    assert set_monthly(project)[1] == "made"
    assert Quota.objects.count() == 2


@pytest.mark.django_db
@pytest.mark.parametrize("scope", ["organization", "project", "member", "key", "team"])
def test_another_organization_cannot_put_a_quota_here(project: Project, scope: str) -> None:
    other = Organization.objects.create(slug="other", name="Other")
    fields = parse_quota(MONTHLY, scope="project")
    with pytest.raises(InvalidField, match=r"^scope"):
        set_quota(organization=other.id, scope=scope, scope_id=project.id, fields=fields)


def put(scope: str, scope_id: int, organization: int = 1, **changes: Any) -> int:
    fields: dict[str, Any] = {"limit": 10, "unit": "cost", "window": "month", **changes}
    return Quota.objects.create(
        organization=organization, scope=scope, scope_id=scope_id, **fields
    ).id


def read(dsn: str, book: QuotaBook | None = None, changes: Sequence[Change] = ()) -> QuotaBook:
    """Load a new book, or refresh `book` with `changes`."""

    async def read_by_itself() -> QuotaBook:
        async with await psycopg.AsyncConnection.connect(dsn) as connection:
            if book is None:
                fresh = QuotaBook()
                await fresh.load(connection)
                return fresh
            await book.refresh(connection, changes)
            return book

    return asyncio.run(read_by_itself())


def ids(book: QuotaBook, *, member: int | None = 7, model: str | None = None) -> list[int]:
    terms = book.terms_for(organization=1, project=2, member=member, key=3, model=model)
    return [rule.id for rule in terms.rules]


@pytest.mark.django_db(transaction=True)
def test_a_call_is_held_to_the_rules_of_all_its_scopes(dsn: str) -> None:
    scopes = [("key", 3), ("organization", 1), ("project", 2), ("member", 7)]
    ours = [put(*scope) for scope in scopes]
    for scope in [("key", 4), ("organization", 2), ("project", 9), ("member", 8)]:
        put(*scope, organization=2)
    book = read(dsn)
    assert ids(book) == ours
    assert ids(book, member=None) == ours[:3]


@pytest.mark.django_db(transaction=True)
def test_a_rule_for_one_model_leaves_the_others_alone(dsn: str) -> None:
    rule = put("key", 3, model="gpt-4o")
    book = read(dsn)
    assert (ids(book), ids(book, model="gpt-4o"), ids(book, model="o3")) == ([rule], [rule], [])


@pytest.mark.django_db(transaction=True)
def test_a_rule_ends_by_the_clock_alone(dsn: str) -> None:
    # It has to be written and read before; what follows waits for as long as it takes.
    soon = timezone.now() + timedelta(seconds=2)
    rule = put("key", 3, ends_at=soon)
    book = read(dsn)
    assert ids(book) == [rule]
    deadline = time.monotonic() + 10
    while ids(book) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert ids(book) == []


@pytest.mark.django_db(transaction=True)
def test_a_refresh_reads_what_changed_and_keeps_the_rest_as_it_is(dsn: str) -> None:
    kept, changed, gone = [put(scope, n) for scope, n in [("key", 3), ("project", 2), ("key", 4)]]
    book = read(dsn)
    before = book.terms_for(organization=1, project=2, member=None, key=3).rules
    Quota.objects.filter(id=changed).update(limit=99)
    Quota.objects.filter(id=gone).delete()
    read(dsn, book, [Change(n, "quota", n, 1) for n in (kept, changed, gone)])
    after = book.terms_for(organization=1, project=2, member=None, key=3).rules
    assert after[0] is before[0]
    assert (before[1].limit, after[1].limit) == (10, 99)
    assert book.terms_for(organization=1, project=0, member=None, key=4).rules == ()
