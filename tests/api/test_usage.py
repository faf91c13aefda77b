"""/usage, /calls and /refusals: each sees as much of who used what as their role lets them."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from accounts.issuance import issue_key
from accounts.models import ApiKey, Membership, Organization, Project
from billing.models import Refusal
from billing.rollups import fold_usage
from tests.api.asking import Api
from tests.billing.facts import NOON, correct, make_event, store

pytestmark = pytest.mark.django_db

ONE = "organizations/acme"


@pytest.fixture
def service(project: Project) -> ApiKey:
    return issue_key(project=project, name="service").key


@pytest.fixture
def own(project: Project, his: Membership) -> ApiKey:
    """A key of Bob's."""
    return issue_key(project=project, name="bob's", owner=his).key


def use(key: ApiKey, at: datetime = NOON, **changes: Any) -> str:
    """Store an attempt of a key, and return its id."""
    event = make_event(
        at,
        organization=key.organization_id,
        project=key.project_id,
        key=key.pk,
        member=key.owner_id,
        **changes,
    )
    store([event])
    fold_usage(connection)
    return event.id


def refuse(key: ApiKey | None, organization: Organization, **changes: Any) -> None:
    fields: dict[str, Any] = {
        "call_id": uuid.uuid4(),
        "at": timezone.now(),
        "organization": organization.pk,
        "project": key.project_id if key else None,
        "key": key.pk if key else None,
        "code": "quota_exceeded",
        "http_status": 429,
        "message": "The quota is spent.",
        "sampled": 3,
    }
    Refusal.objects.create(**{**fields, **changes})


def test_use_adds_up_by_whatever_is_asked_for(
    alices: Api, service: ApiKey, own: ApiKey, his: Membership
) -> None:
    use(service, model="gpt-4o")
    use(service, model="grok-4", cost_ticks=10**10)
    use(own, model="gpt-4o")
    [whole] = alices.get(f"{ONE}/usage").body["items"]
    assert (whole["calls"], whole["uncached_input"], whole["cost_ticks"]) == (3, 300, 10**10 + 3000)
    assert whole["cost_usd"] == "1.0000003"
    by_model = alices.get(f"{ONE}/usage", by="model").body["items"]
    assert [(each["model"], each["calls"]) for each in by_model] == [("gpt-4o", 2), ("grok-4", 1)]
    both = alices.get(f"{ONE}/usage", by="key,member,project", model="gpt-4o").body["items"]
    assert {(each["key"], each["member"], each["project"]) for each in both} == {
        (service.public_id, None, "default"),
        (own.public_id, his.pk, "default"),
    }


def test_use_is_cut_into_steps(alices: Api, service: ApiKey) -> None:
    for hours in (0, 1, 25):
        use(service, NOON + timedelta(hours=hours))
    days = alices.get(f"{ONE}/usage", step="day").body["items"]
    assert [(each["starts_at"], each["calls"]) for each in days] == [
        ("2026-03-10T00:00:00Z", 2),
        ("2026-03-11T00:00:00Z", 1),
    ]
    hours = alices.get(f"{ONE}/usage", step="hour", by="model").body["items"]
    assert [each["starts_at"][11:13] for each in hours] == ["12", "13", "13"]
    later = alices.get(f"{ONE}/usage", since="2026-03-11T00:00:00Z").body["items"]
    assert [each["calls"] for each in later] == [1]
    assert alices.get(f"{ONE}/usage", until="2026-03-10T00:00:00Z").body["items"] == []


def test_what_is_not_folded_yet_is_said_to_wait(alices: Api, service: ApiKey) -> None:
    store([make_event(organization=service.organization_id, key=service.pk)])
    assert alices.get(f"{ONE}/usage").body == {"items": [], "waiting": 1}


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"by": "colour"}, "by"),
        ({"by": "model,provider"}, "by"),
        ({"step": "minute"}, "step"),
        ({"key": "never"}, "key"),
        ({"project": "never"}, "project"),
        ({"since": "yesterday"}, "since"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_cannot_be_asked_is_refused_by_its_field(
    alices: Api, query: dict[str, Any], field: str
) -> None:
    answer = alices.get(f"{ONE}/usage", **query)
    assert (answer.status, answer.error["field"]) == (400, field)


def test_a_member_sees_their_own_use_alone(
    bobs: Api, service: ApiKey, own: ApiKey, hers: Membership
) -> None:
    use(service)
    mine = use(own)
    [seen] = bobs.get(f"{ONE}/usage", by="key").body["items"]
    assert seen["key"] == own.public_id
    assert bobs.get(f"{ONE}/usage", member=hers.pk).error["field"] == "member"
    assert [each["id"] for each in bobs.list_all(f"{ONE}/calls")] == [mine]
    assert bobs.get(f"{ONE}/usage", key=service.public_id).body["items"] == []
    assert bobs.list_all(f"{ONE}/calls", key=service.public_id) == []


def test_charlie_sees_no_foreign_use(charlies: Api, service: ApiKey, acme: Organization) -> None:
    attempt = use(service)
    refuse(service, acme)
    for path in ("usage", "calls", f"calls/{attempt}", "refusals"):
        assert charlies.get(f"{ONE}/{path}").status == 404
    mine = "organizations/globex"
    assert charlies.get(f"{mine}/usage").body["items"] == []
    assert charlies.list_all(f"{mine}/calls") == []
    assert charlies.get(f"{mine}/calls/{attempt}").status == 404
    assert charlies.list_all(f"{mine}/refusals") == []
    assert charlies.get(f"{mine}/usage", key=service.public_id).error["field"] == "key"


def test_calls_are_listed_by_time_and_filtered(alices: Api, service: ApiKey, own: ApiKey) -> None:
    first = use(service, model="gpt-4o")
    second = use(own, NOON + timedelta(hours=1), model="grok-4", outcome="client_cancelled")

    def found(**query: str) -> list[str]:
        return [each["id"] for each in alices.list_all(f"{ONE}/calls", limit=1, **query)]

    assert found() == [second, first]
    assert found(key=own.public_id) == [second]
    assert found(project="default", model="gpt-4o") == [first]
    assert found(outcome="client_cancelled") == [second]
    assert found(until="2026-03-10T12:30:00Z") == [first]
    assert found(since="2026-03-10T12:30:00Z") == [second]
    assert alices.get(f"{ONE}/calls", key="never").error["field"] == "key"
    shown = alices.get(f"{ONE}/calls").body["items"][0]
    assert (shown["at"], shown["key"], shown["cost_usd"]) == (
        "2026-03-10T13:00:00Z",
        own.public_id,
        "0.00000015",
    )


def test_a_call_is_shown_with_all_its_attempts_and_what_was_heard_later(
    alices: Api, service: ApiKey
) -> None:
    call = use(service, outcome="upstream_failed")
    event = make_event(
        NOON + timedelta(seconds=5),
        call_id=call,
        attempt_no=2,
        organization=service.organization_id,
        project=service.project_id,
        key=service.pk,
    )
    store([event])
    correct(event, amount=-500, usage={"output": -5})
    shown = alices.get(f"{ONE}/calls/{call}").body
    assert [each["attempt_no"] for each in shown["attempts"]] == [1, 2]
    [correction] = shown["corrections"][event.id]
    assert (correction["cost_ticks"], correction["usage"]) == (-500, {"output": -5})
    for missing in (uuid.uuid4(), uuid.UUID(int=0), uuid.UUID(int=2**128 - 1)):
        assert alices.get(f"{ONE}/calls/{missing}").status == 404


def test_who_serves_the_calls_is_the_operators_secret(
    alices: Api, operators: Api, service: ApiKey
) -> None:
    call = use(service)
    for path in (f"{ONE}/calls", f"{ONE}/calls/{call}"):
        assert "openai" not in str(alices.get(path).body).replace("'protocol': 'openai'", "")
        assert "gpt-4o-2024-08-06" in str(operators.get(path).body)
    [line] = operators.get(f"{ONE}/usage", by="provider").body["items"]
    assert line["provider"] == "openai"


def test_refusals_say_why_calls_were_not_forwarded(
    alices: Api, service: ApiKey, own: ApiKey, acme: Organization
) -> None:
    refuse(service, acme, model="gpt-4o")
    refuse(own, acme, code="key_expired", at=timezone.now() - timedelta(hours=2))

    def codes(**query: Any) -> list[str]:
        return [each["code"] for each in alices.list_all(f"{ONE}/refusals", **query)]

    assert codes() == ["key_expired", "quota_exceeded"]
    assert codes(key=service.public_id) == codes(model="gpt-4o") == ["quota_exceeded"]
    assert codes(code="key_expired") == ["key_expired"]
    assert codes(since=(timezone.now() - timedelta(hours=1)).isoformat()) == ["quota_exceeded"]
    shown = alices.get(f"{ONE}/refusals", key=service.public_id).body["items"][0]
    assert (shown["key"], shown["project"], shown["sampled"]) == (service.public_id, "default", 3)
    assert codes(call_id=shown["call_id"]) == ["quota_exceeded"]


def test_a_member_sees_the_refusals_of_their_own_keys(
    bobs: Api, service: ApiKey, own: ApiKey, acme: Organization
) -> None:
    refuse(service, acme)
    refuse(own, acme, code="key_expired")
    refuse(None, acme, code="unknown")
    assert [each["code"] for each in bobs.list_all(f"{ONE}/refusals")] == ["key_expired"]


def test_times_before_and_after_all_times_are_no_failure(alices: Api, service: ApiKey) -> None:
    use(service)
    assert len(alices.list_all(f"{ONE}/calls", since="0001-01-01T00:00:00Z")) == 1
    assert alices.list_all(f"{ONE}/calls", since="9999-12-31T00:00:00Z") == []
