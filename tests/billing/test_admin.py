"""The operator's pages of billing: money in USD, prices added, facts only read."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

import pytest
from django.contrib import admin
from django.test import Client
from django.utils import timezone

from accounts.issuance import issue_key
from accounts.models import AuditEvent, Membership, Organization, Project, User
from billing import models
from billing.quotas.asking import ask_for_more
from tests.billing.facts import make_event, store

pytestmark = pytest.mark.django_db
PRICE = {
    "model": "gpt-4o",
    "effective_from_0": "2026-03-01",
    "effective_from_1": "00:00:00",
    "input": "2.50",
    "output": "10",
}


@pytest.fixture
def operator(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("operator@example.org", "secret words"))
    return client


def problems(client: Client, path: str, data: Mapping[str, Any]) -> dict[str, list[str]]:
    """Post a form; return its errors by field, none where it was accepted."""
    answer = client.post(path, data)
    if answer.status_code == 302:
        return {}
    return dict(answer.context["adminform"].form.errors)


def test_a_price_is_written_in_usd_and_kept_in_ticks(operator: Client) -> None:
    data = {**PRICE, "cache_read": "1.25", "above": '[{"input_tokens": 9, "input": "5"}]'}
    assert problems(operator, "/admin/billing/price/add/", data) == {}
    price = models.Price.objects.get()
    assert (price.input, price.output, price.cache_read) == (25_000, 100_000, 12_500)
    assert price.reasoning is None
    assert price.tiers == [{"input_tokens": 9, "input": 50_000}]


@pytest.mark.parametrize(
    ("change", "field"),
    [({"input": "abc"}, "input"), ({"reasoning": "-1"}, "reasoning"), ({"above": "[1]"}, "above")],
)
def test_a_bad_price_is_refused_at_its_field(
    operator: Client, change: dict[str, str], field: str
) -> None:
    errors = problems(operator, "/admin/billing/price/add/", {**PRICE, **change})
    assert list(errors) == [field]
    assert not models.Price.objects.exists()


def test_a_price_that_is_there_is_shown_in_usd_and_cannot_be_changed(operator: Client) -> None:
    problems(operator, "/admin/billing/price/add/", PRICE)
    page = f"/admin/billing/price/{models.Price.objects.get().pk}/change/"
    assert b"input 2.50, output 10.00" in operator.get(page).content
    assert operator.post(page, {**PRICE, "input": "1"}).status_code == 403
    assert list(problems(operator, "/admin/billing/price/add/", PRICE)) == ["__all__"]


def quota_of(project: Project, **changes: str) -> dict[str, Any]:
    return {
        "organization": project.organization_id,
        "scope": "project",
        "scope_id": project.pk,
        "unit": "cost",
        "window": "month",
        "mode": "enforce",
        "hold": "strict",
        "limit": "5.00",
        **changes,
    }


def test_a_quota_is_set_in_usd_and_changed_in_place(operator: Client, project: Project) -> None:
    assert problems(operator, "/admin/billing/quota/add/", quota_of(project)) == {}
    quota = models.Quota.objects.get()
    page = f"/admin/billing/quota/{quota.pk}/change/"
    assert b'value="5.00"' in operator.get(page).content
    assert problems(operator, page, quota_of(project, limit="7.50", window="day")) == {}
    quota.refresh_from_db()
    assert (quota.limit, quota.window) == (75 * 10**9, "month")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"limit": "x"}, "limit"),
        ({"unit": "requests"}, "limit"),
        ({"unit": "requests", "limit": "5", "clamp": "on"}, "clamp"),
        ({"unit": "concurrency", "limit": "5"}, "window"),
        ({"window": "none"}, "window"),
        ({"scope": "key"}, "scope_id"),
    ],
)
def test_a_bad_quota_is_refused_at_its_field(
    operator: Client, project: Project, change: dict[str, str], field: str
) -> None:
    errors = problems(operator, "/admin/billing/quota/add/", quota_of(project, **change))
    assert list(errors) == [field]


@pytest.mark.parametrize(
    "change",
    [
        {"unit": "requests", "window": "minute", "limit": "600"},
        {"unit": "total_tokens", "window": "day", "limit": "2000000", "hold": "bounded"},
        {"unit": "output_tokens", "window": "week", "limit": "100", "clamp": "on"},
        {"unit": "concurrency", "window": "none", "limit": "8", "mode": "observe"},
    ],
)
def test_every_kind_of_quota_can_be_set_and_looked_at_again(
    operator: Client, project: Project, change: dict[str, str]
) -> None:
    assert problems(operator, "/admin/billing/quota/add/", quota_of(project, **change)) == {}
    quota = models.Quota.objects.get()
    assert quota.limit == int(change["limit"])
    page = operator.get(f"/admin/billing/quota/{quota.pk}/change/").content
    assert f'value="{change["limit"]}"'.encode() in page
    assert operator.get("/admin/billing/quota/").status_code == 200


def test_a_quota_without_a_limit_counts(operator: Client, project: Project) -> None:
    assert problems(operator, "/admin/billing/quota/add/", quota_of(project, limit="")) == {}
    assert models.Quota.objects.get().limit is None


@pytest.fixture
def quota(project: Project) -> models.Quota:
    quota: models.Quota = models.Quota.objects.create(
        organization=project.organization_id,
        scope="project",
        scope_id=project.pk,
        unit="cost",
        window="lifetime",
        limit=10**10,
    )
    return quota


def raise_of(quota: models.Quota, **changes: str) -> dict[str, Any]:
    ends = {"ends_at_0": "2099-01-01", "ends_at_1": "00:00:00"}
    return {"quota": quota.pk, "amount": "2.50", "reason": "a fair", **ends, **changes}


def test_a_quota_is_raised_in_usd_and_the_raise_ended(
    operator: Client, quota: models.Quota
) -> None:
    page = "/admin/billing/quotaraise/"
    assert problems(operator, f"{page}add/", raise_of(quota, is_prepaid="on")) == {}
    made = models.QuotaRaise.objects.get()
    assert (made.amount, made.is_prepaid, made.reason) == (25 * 10**9, True, "a fair")
    assert b"2.50 USD" in operator.get(f"{page}{made.pk}/change/").content
    assert operator.post(f"{page}{made.pk}/change/", raise_of(quota)).status_code == 403
    operator.post(page, {"action": "end", "_selected_action": [made.pk]})
    made.refresh_from_db()
    assert made.ends_at < timezone.now()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"amount": "0"}, "amount"),
        ({"amount": "much"}, "amount"),
        ({"ends_at_0": "2020-01-01"}, "ends_at"),
    ],
)
def test_a_bad_raise_is_refused_at_its_field(
    operator: Client, quota: models.Quota, change: dict[str, str], field: str
) -> None:
    assert list(
        problems(operator, "/admin/billing/quotaraise/add/", raise_of(quota, **change))
    ) == [field]
    assert not models.QuotaRaise.objects.exists()


def test_a_quota_is_ended_by_an_action(operator: Client, quota: models.Quota) -> None:
    operator.post("/admin/billing/quota/", {"action": "end", "_selected_action": [quota.pk]})
    quota.refresh_from_db()
    assert quota.ends_at is not None


def test_a_window_is_shown_in_the_unit_of_its_quota(operator: Client, quota: models.Quota) -> None:
    now = timezone.now()
    models.QuotaWindow.objects.create(
        quota=quota, starts_at=now, ends_at=now, limit=10**10, posted=2 * 10**9, overrun=10**8
    )
    text = operator.get("/admin/billing/quotawindow/").content.decode()
    assert "project acme/default" in text
    assert "0.21 USD" in text


def test_events_and_refusals_are_found_by_key_and_organization(
    operator: Client, project: Project
) -> None:
    key = issue_key(project=project, name="ci").key
    ours = make_event(organization=project.organization_id, key=key.pk)
    other = make_event(organization=project.organization_id + 1, key=key.pk + 1)
    store([ours, other])
    for term in (key.public_id, "acme"):
        page = operator.get("/admin/billing/usageevent/", {"q": term})
        assert [str(event.pk) for event in page.context["cl"].result_list] == [ours.id]
        assert key.public_id in page.content.decode()
    now = timezone.now()
    refusal = {"call_id": ours.id, "at": now, "code": "spent", "http_status": 429}
    models.Refusal.objects.create(**refusal, key=key.pk, message="It is spent.")
    assert b"It is spent." in operator.get("/admin/billing/refusal/", {"q": key.public_id}).content
    assert b"It is spent." not in operator.get("/admin/billing/refusal/", {"q": "acme"}).content


def test_an_event_is_found_by_the_id_of_its_call(operator: Client) -> None:
    event, other = make_event(), make_event()
    store([event, other])
    page = operator.get("/admin/billing/usageevent/", {"q": event.call_id}).content.decode()
    assert event.id in page
    assert other.id not in page
    assert other.id not in operator.get("/admin/billing/usageevent/", {"q": "x"}).content.decode()


def test_a_suspended_route_is_acknowledged_and_the_audit_says_by_whom(operator: Client) -> None:
    names = {"model": "gpt-4o", "provider": "openai", "upstream_model": "gpt-4o"}
    suspension = models.RouteSuspension.objects.create(
        event_id=uuid.uuid4(), held_ticks=10**10, cost_ticks=2 * 10**10, **names
    )
    page = "/admin/billing/routesuspension/"
    assert b"2.00" in operator.get(page).content
    data = {"action": "acknowledge", "_selected_action": [suspension.pk]}
    assert operator.post(page, data).status_code == 302
    suspension.refresh_from_db()
    assert suspension.acknowledged_at is not None
    event = AuditEvent.objects.filter(object_kind="route_suspension").latest("id")
    assert (event.action, event.actor) == ("update", "operator@example.org")


def test_every_list_opens_and_nothing_but_rules_can_be_added(operator: Client) -> None:
    names = [
        model._meta.model_name
        for model in admin.site._registry
        if model._meta.app_label == "billing"
    ]
    assert len(names) == 12
    for name in names:
        assert operator.get(f"/admin/billing/{name}/").status_code == 200
        adds = 200 if name in {"price", "quota", "quotaraise"} else 403
        assert operator.get(f"/admin/billing/{name}/add/").status_code == adds


def test_charlie_sees_none_of_it(client: Client, charlie: User, acme: Organization) -> None:
    client.force_login(charlie)
    for name in ("price", "quota", "usageevent"):
        answer = client.get(f"/admin/billing/{name}/")
        assert (answer.status_code, answer.headers["location"][:13]) == (302, "/admin/login/")


def test_a_request_for_more_is_found_and_answered(
    operator: Client, quota: models.Quota, acme: Organization
) -> None:
    members = Membership.objects.filter(organization=acme).order_by("pk")
    first, second = (
        ask_for_more(quota, member=each.pk, amount="2.50", reason=f"for {each.user}")
        for each in members
    )
    page = "/admin/billing/raiserequest/"
    waiting = operator.get(page, {"open": "yes", "quota__scope": quota.scope}).content.decode()
    assert "for alice@example.org" in waiting
    for action, asked in (("approve", first), ("decline", second), ("approve", second)):
        operator.post(page, {"action": action, "_selected_action": [asked.pk]})
    for asked in (first, second):
        asked.refresh_from_db()
    assert first.quota_raise is not None
    assert (first.quota_raise.amount, first.decided_by) == (25 * 10**9, "operator@example.org")
    assert second.decided_at is not None
    assert second.quota_raise is None
    for answer, found in (("approved", first), ("declined", second)):
        shown = operator.get(page, {"open": answer}).content.decode()
        assert [each.reason in shown for each in (first, second)] == [
            each == found for each in (first, second)
        ]
    assert "for alice" not in operator.get(page, {"open": "yes"}).content.decode()
