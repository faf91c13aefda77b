"""/organizations/X/quotas and their raises: who limits whom, by how much, until when."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.issuance import IssuedKey, issue_key
from accounts.models import Membership, Organization, Project
from billing.models import Quota, QuotaWindow
from billing.pricing import TICKS_PER_USD
from tests.api.asking import Api

pytestmark = pytest.mark.django_db

QUOTAS = "organizations/acme/quotas"
DOLLARS = {"unit": "cost", "limit": "5.00", "window": "month"}


@pytest.fixture
def service(project: Project) -> IssuedKey:
    return issue_key(project=project, name="service")


@pytest.fixture
def own(project: Project, his: Membership) -> IssuedKey:
    """A key of Bob's."""
    return issue_key(project=project, name="bob's", owner=his)


def in_a_day() -> str:
    return (timezone.now() + timedelta(days=1)).isoformat()


def test_a_quota_is_set_for_each_scope(
    operators: Api, service: IssuedKey, his: Membership, acme: Organization
) -> None:
    for scope, name, number in (
        ("organization", "acme", acme.pk),
        ("project", "default", service.key.project_id),
        ("member", str(his.pk), his.pk),
        ("key", service.key.public_id, service.key.pk),
    ):
        made = operators.post(QUOTAS, {**DOLLARS, "scope": scope, "scope_id": name})
        assert made.status == 201, made
        assert (made.body["scope"], made.body["scope_id"]) == (scope, name)
        row = Quota.objects.get(pk=made.body["id"])
        assert (row.organization, row.scope_id, row.limit) == (acme.pk, number, 5 * TICKS_PER_USD)
        assert operators.list_all(QUOTAS, scope=scope, scope_id=name) == [made.body]
    assert len(operators.list_all(QUOTAS)) == 4


def test_the_same_scope_unit_window_and_model_is_one_quota(alices: Api, project: Project) -> None:
    one = {**DOLLARS, "scope": "project", "scope_id": "default"}
    first = alices.post(QUOTAS, one)
    again = alices.post(QUOTAS, {**one, "limit": "7.50"})
    assert (again.status, again.body["id"], again.body["limit"]) == (200, first.body["id"], "7.50")
    assert alices.post(QUOTAS, {**one, "model": "gpt-4o"}).status == 201


def test_a_limit_is_changed_and_taken_away(alices: Api, project: Project) -> None:
    path = f"{QUOTAS}/{alices.post(QUOTAS, scoped('default')).body['id']}"
    assert alices.patch(path, {"limit": "0"}).body["limit"] == "0.00"
    unlimited = alices.patch(path, {"limit": None, "mode": "observe"}).body
    assert (unlimited["limit"], unlimited["mode"]) == (None, "observe")
    assert alices.patch(path, {"mode": "enforce"}).body["limit"] is None


def test_a_quota_that_was_ended_stays_in_history(alices: Api, project: Project) -> None:
    number = alices.post(QUOTAS, scoped("default")).body["id"]
    assert alices.delete(f"{QUOTAS}/{number}").status == 204
    assert alices.list_all(QUOTAS) == []
    assert [each["id"] for each in alices.list_all(QUOTAS, ended="true")] == [number]
    assert alices.delete(f"{QUOTAS}/{number}").status == 404
    assert alices.patch(f"{QUOTAS}/{number}", {"limit": "1"}).status == 404


def test_a_version_is_the_rule_and_not_what_was_used(alices: Api, project: Project) -> None:
    made = alices.post(QUOTAS, scoped("default"))
    now = timezone.now()
    QuotaWindow.objects.create(
        quota_id=made.body["id"],
        starts_at=now - timedelta(days=1),
        ends_at=now + timedelta(days=1),
        posted=TICKS_PER_USD,
        overrun=1,
        drawn=TICKS_PER_USD // 2,
    )
    path = f"{QUOTAS}/{made.body['id']}"
    shown = alices.get(path, headers={"If-None-Match": made.etag})
    assert (shown.status, shown.etag) == (200, made.etag)
    assert shown.body["window_now"]["used"] == "1.0000000001"
    assert shown.body["window_now"]["drawn"] == "0.50"
    assert alices.patch(path, {"limit": "6"}, If_Match=made.etag).status == 200
    assert alices.patch(path, {"limit": "7"}, If_Match=made.etag).status == 412
    assert alices.delete(path, If_Match=made.etag).status == 412


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"scope_id": "never"}, "scope_id"),
        ({"scope": "key", "scope_id": "never"}, "scope_id"),
        ({"scope": "member", "scope_id": "never"}, "scope_id"),
        ({"scope": "member", "scope_id": "9" * 30}, "scope_id"),
        ({"scope": "planet"}, "scope"),
        ({"unit": "bananas"}, "unit"),
        ({"limit": "-1"}, "limit"),
        ({"limit": 5}, "limit"),
        ({"limit": "lots"}, "limit"),
        ({"limit": "999999999999"}, "limit"),
        ({"window": "decade"}, "window"),
        ({"mode": "hope"}, "mode"),
        ({"organization": 1}, "organization"),
    ],
)
def test_what_is_no_quota_is_refused_by_its_field(
    alices: Api, project: Project, fields: dict[str, Any], field: str
) -> None:
    answer = alices.post(QUOTAS, {**scoped("default"), **fields})
    assert (answer.status, answer.error["field"]) == (400, field)
    assert not Quota.objects.exists()


def test_what_an_organization_may_use_is_the_operators_word(
    operators: Api, alices: Api, acme: Organization
) -> None:
    whole = {**DOLLARS, "scope": "organization"}
    assert alices.post(QUOTAS, whole).status == 403
    number = operators.post(QUOTAS, whole).body["id"]
    path = f"{QUOTAS}/{number}"
    assert alices.get(path).status == 200
    assert alices.patch(path, {"limit": "1000"}).status == 403
    assert alices.delete(path).status == 403
    more = {"amount": "1", "ends_at": in_a_day()}
    assert alices.post(f"{path}/raises", more).status == 403
    assert operators.post(f"{path}/raises", more).status == 201
    assert Quota.objects.get().limit == 5 * TICKS_PER_USD


def test_a_member_sees_what_binds_them_and_changes_nothing(
    alices: Api, bobs: Api, service: IssuedKey, own: IssuedKey, hers: Membership
) -> None:
    his = own.key.owner
    assert his is not None
    for scope, name in (
        ("project", "default"),
        ("member", str(hers.pk)),
        ("member", str(his.pk)),
        ("key", service.key.public_id),
        ("key", own.key.public_id),
    ):
        assert alices.post(QUOTAS, scoped(name, scope)).status == 201
    seen = bobs.list_all(QUOTAS)
    assert [each["scope_id"] for each in seen] == [own.key.public_id, str(his.pk), "default"]
    for each in alices.list_all(QUOTAS):
        status = 403 if each in seen else 404
        assert bobs.patch(f"{QUOTAS}/{each['id']}", {"limit": "9"}).status == status
        assert bobs.delete(f"{QUOTAS}/{each['id']}").status == status
    assert bobs.post(QUOTAS, scoped(own.key.public_id, "key")).status == 403


def test_charlie_sees_and_sets_no_foreign_quota(
    alices: Api, charlies: Api, service: IssuedKey, project: Project
) -> None:
    number = alices.post(QUOTAS, scoped("default")).body["id"]
    mine = "organizations/globex/quotas"
    for path in (f"{QUOTAS}/{number}", f"{mine}/{number}"):
        assert charlies.get(path).status == 404
        assert charlies.patch(path, {"limit": "9"}).status == 404
        assert charlies.delete(path).status == 404
        assert charlies.get(f"{path}/raises").status == 404
        assert charlies.post(f"{path}/raises", {"amount": "1"}).status == 404
    assert charlies.post(mine, scoped("default")).error["field"] == "scope_id"
    assert charlies.post(mine, scoped(service.key.public_id, "key")).error["field"] == "scope_id"
    assert charlies.list_all(mine) == []


def test_a_raise_has_an_amount_and_an_end(alices: Api, project: Project) -> None:
    path = f"{QUOTAS}/{alices.post(QUOTAS, scoped('default')).body['id']}/raises"
    made = alices.post(path, {"amount": "2.50", "ends_at": in_a_day(), "reason": "launch"})
    assert made.status == 201
    assert (made.body["amount"], made.body["is_prepaid"]) == ("2.50", False)
    assert alices.list_all(path, active="true") == [made.body]
    one = f"{path}/{made.body['id']}"
    assert alices.get(one).body == made.body
    assert alices.delete(one, If_Match='"never"').status == 412
    assert alices.delete(one).status == 204
    assert alices.list_all(path, active="true") == []
    assert [each["id"] for each in alices.list_all(path, active="false")] == [made.body["id"]]


def test_a_grant_is_of_a_lifetime_quota(alices: Api, project: Project) -> None:
    monthly = alices.post(QUOTAS, scoped("default")).body["id"]
    lifetime = alices.post(QUOTAS, {**scoped("default"), "window": "lifetime"}).body["id"]
    body = {"amount": "1", "ends_at": in_a_day(), "is_prepaid": True}
    assert alices.post(f"{QUOTAS}/{monthly}/raises", body).error["field"] == "window"
    made = alices.post(f"{QUOTAS}/{lifetime}/raises", body)
    assert (made.status, made.body["is_prepaid"]) == (201, True)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"amount": "0"}, "amount"),
        ({"amount": "-1"}, "amount"),
        ({"amount": 1}, "amount"),
        ({"ends_at": "2020-01-01T00:00:00Z"}, "ends_at"),
        ({"ends_at": None}, "ends_at"),
        ({"reason": "x" * 501}, "reason"),
        ({"quota": 5}, "quota"),
    ],
)
def test_what_is_no_raise_is_refused_by_its_field(
    alices: Api, project: Project, fields: dict[str, Any], field: str
) -> None:
    path = f"{QUOTAS}/{alices.post(QUOTAS, scoped('default')).body['id']}/raises"
    answer = alices.post(path, {"amount": "1", "ends_at": in_a_day(), **fields})
    assert (answer.status, answer.error["field"]) == (400, field)
    assert alices.list_all(path) == []


def scoped(name: str, scope: str = "project") -> dict[str, Any]:
    return {**DOLLARS, "scope": scope, "scope_id": name}
