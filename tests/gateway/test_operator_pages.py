"""Every page of the operators' site: it loads under a strict policy and shows no secret."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib import admin
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import Project, User
from billing import models
from billing.rollups import fold_usage
from gateway.operators import GROUPS
from tests.billing.facts import make_event, store
from tests.rows import make_everything

# What the policy forbids in a page: scripts and styles that stand in it.
FORBIDDEN = re.compile(
    r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|javascript:|\s(?:src|href)=.https?:"
)


@pytest.fixture
def secrets(project: Project) -> list[str]:
    """Rows for every page, and what must stand on none of them."""
    found = make_everything(project)
    quota = models.Quota.objects.get()
    now = timezone.now()
    models.QuotaWindow.objects.create(quota=quota, starts_at=now, ends_at=now)
    process = {"host": "a", "started_at": now, "lease_until": now}
    models.GatewayProcess.objects.create(id=make_event().process, **process)
    event = make_event()
    store([event])
    models.Adjustment.objects.create(event_id=event.id, amount=1, reason="late")
    models.SettlementConflict.objects.create(event_id=event.id, digest="d", payload={})
    models.RejectedEvent.objects.create(payload="{}", error="no")
    models.Refusal.objects.create(
        call_id=event.call_id, at=now, code="spent", http_status=429, message="It is spent."
    )
    return found


@pytest.fixture
def operator(client: Client, db: None) -> Client:
    client.force_login(User.objects.create_superuser("operator@example.org", "a password"))
    return client


@pytest.mark.parametrize("model", admin.site._registry, ids=lambda model: model._meta.label_lower)
def test_a_page_loads_under_the_policy_and_shows_no_secret(
    operator: Client, secrets: list[str], model: Any
) -> None:
    name = model._meta.label_lower.replace(".", "_")
    pages = [reverse(f"admin:{name}_changelist")]
    if operator.get(reverse(f"admin:{name}_add")).status_code != 403:
        pages.append(reverse(f"admin:{name}_add"))
    row = model._default_manager.order_by("pk").first()
    assert row is not None, "make_everything() has to make one of these"
    pages.append(reverse(f"admin:{name}_change", args=[row.pk]))
    for page in pages:
        check(operator.get(page), secrets)


@pytest.mark.parametrize("page", ["/admin/", "/admin/health/", "/admin/usage/", "/admin/gateway/"])
def test_pages_of_no_model_load_under_the_policy(
    operator: Client, secrets: list[str], page: str
) -> None:
    models.LedgerCheck.objects.create(
        seconds=1, differences=["x"], windows=1, events=1, adjustments=0, conflicts=0, rejected=0
    )
    check(operator.get(page), secrets)


@pytest.mark.parametrize("model", admin.site._registry, ids=lambda model: model._meta.label_lower)
def test_an_address_that_names_no_row_is_no_failure(operator: Client, model: Any) -> None:
    name = model._meta.label_lower.replace(".", "_")
    for number in ("abc", "0", "9" * 30):
        assert operator.get(reverse(f"admin:{name}_change", args=[number])).status_code == 302


def test_every_page_stands_in_a_group_on_the_first_page(operator: Client) -> None:
    groups = {app["name"]: app["models"] for app in operator.get("/admin/").context["app_list"]}
    assert "Other" not in groups, groups.get("Other")
    assert list(groups) == list(GROUPS)
    named = [page["object_name"] for pages in groups.values() for page in pages]
    assert sorted(named) == sorted(model.__name__ for model in admin.site._registry)


def test_usage_is_shown_by_organization_and_written_for_finance(
    operator: Client, project: Project
) -> None:
    now = timezone.now()
    ours = {"organization": project.organization_id, "project": project.pk}
    store([make_event(now, **ours, model="=1+1"), make_event(now, model="elsewhere")])
    fold_usage(connection)
    page = operator.get("/admin/usage/", {"organization": "acme", "by": "model", "days": "7"})
    text = page.content.decode()
    assert "=1+1" in text
    assert "elsewhere" not in text
    written = operator.get("/admin/usage/", {"organization": "acme", "format": "csv"})
    assert written["content-type"] == "text/csv"
    rows = written.content.decode().splitlines()
    assert rows[0] == "label,calls,attempts,input_tokens,output_tokens,cost_usd"
    assert rows[1] == "'=1+1,1,1,100,10,0.00000015"
    assert operator.get("/admin/usage/", {"by": "nonsense"}).status_code == 200


def test_charlie_sees_none_of_it(client: Client, charlie: User) -> None:
    client.force_login(charlie)
    for page in ("/admin/", "/admin/health/", "/admin/usage/"):
        assert client.get(page).status_code == 302


def check(answer: Any, secrets: list[str]) -> None:
    text = answer.content.decode()
    page = answer.request["PATH_INFO"]
    assert answer.status_code == 200, page
    # django-csp writes the directives in an order that is another one in every process.
    assert "script-src 'self'" in answer["content-security-policy"].split("; "), page
    assert "unsafe" not in answer["content-security-policy"], page
    assert FORBIDDEN.findall(text) == [], page
    assert [secret for secret in secrets if secret in text] == [], page
