"""Usage at a glance: periods end where the organization's days do, on the page and in its file."""

from __future__ import annotations

import csv
import io
from datetime import datetime, timedelta
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.test import Client

from accounts.models import ApiKey, Membership, Organization
from billing.models import Refusal
from billing.rollups import fold_usage
from console.usage import find_period
from tests.billing.facts import make_event, store

pytestmark = pytest.mark.django_db


def use(key: ApiKey, at: datetime, **changes: object) -> None:
    facts = {"organization": key.organization_id, "project": key.project_id, "key": key.pk}
    store([make_event(at, **facts, **changes)])


def read(browser: Client, **query: str) -> list[dict[str, str]]:
    answer = browser.get("/o/acme/usage/export", query)
    assert answer["content-type"].startswith("text/csv")
    return list(csv.DictReader(io.StringIO(answer.content.decode())))


def test_what_was_refused_in_another_period_is_not_shown(
    alices: Client, acme: Organization
) -> None:
    _, this_month = find_period(acme, "last-month").bounds(acme)
    for at, message in ((this_month, "of this month"), (this_month - timedelta(seconds=1), "old")):
        Refusal.objects.create(
            organization=acme.pk,
            call_id=uuid4(),
            at=at,
            code="permission_denied",
            http_status=403,
            message=message,
        )
    page = alices.get("/o/acme/usage/?period=last-month").content.decode()
    assert ">old<" in page
    assert "of this month" not in page
    assert "of this month" in alices.get("/o/acme/usage/?period=month").content.decode()


def test_a_day_is_one_of_the_organization_on_the_page_and_in_the_file(
    alices: Client, acme: Organization, service_key: ApiKey
) -> None:
    day = find_period(acme, "today")
    begins, _ = day.bounds(acme)
    assert begins.astimezone(ZoneInfo(acme.time_zone)).hour == 0
    use(service_key, begins, model="=HYPERLINK(A1)")
    use(service_key, begins - timedelta(milliseconds=1), process_seq=2)
    fold_usage(connection)
    rows = read(alices, period="today")
    assert [(row["day"], row["model"], row["calls"]) for row in rows] == [
        (day.first.isoformat(), "'=HYPERLINK(A1)", "1")
    ]
    assert [row["day"] for row in read(alices, period="7")] == [
        (day.first - timedelta(days=1)).isoformat(),
        day.first.isoformat(),
    ]
    for period, calls in (("today", 1), ("7", 2), ("365", 2), ("nonsense", 2)):
        page = alices.get("/o/acme/usage/", {"period": period}).content.decode()
        assert f"<dt>Calls</dt><dd>{calls}</dd>" in page


def test_a_filter_that_names_nothing_of_ours_is_a_page_that_is_not_there(alices: Client) -> None:
    for page in ("/o/acme/usage/", "/o/acme/usage/export"):
        for column in ("project", "key"):
            assert alices.get(page, {column: "nothing"}).status_code == 404
            assert alices.get(page, {column: "no\0thing"}).status_code == 404
            assert alices.get(page, {column: "\0"}).status_code == 200


def test_the_overview_counts_keys_for_those_alone_who_may_see_them(
    alices: Client, bobs: Client, his: Membership, service_key: ApiKey
) -> None:
    counted = "<dt>Keys in use</dt><dd>{}</dd>"
    assert counted.format(1) in alices.get("/o/acme/").content.decode()
    assert counted.format(0) in bobs.get("/o/acme/").content.decode()
    Membership.objects.filter(pk=his.pk).update(role=Membership.Role.BILLING)
    assert b"Keys in use" not in bobs.get("/o/acme/").content


def test_who_called_last_month_is_not_shown_the_first_call_again(
    alices: Client, acme: Organization, service_key: ApiKey
) -> None:
    assert b"Your first call" in alices.get("/o/acme/").content
    use(service_key, find_period(acme, "30").bounds(acme)[0])
    fold_usage(connection)
    assert b"Your first call" not in alices.get("/o/acme/").content
