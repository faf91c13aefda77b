"""Asking for more than a limit by API: whoever may raise it answers, once."""

from __future__ import annotations

from typing import Any

import pytest

from accounts.issuance import issue_key
from accounts.models import Membership, Project, User
from billing.models import Quota, QuotaRaise, RaiseRequest
from billing.quotas import parse_quota, set_quota
from tests.api.asking import Api, key_api

pytestmark = pytest.mark.django_db

REQUESTS = "organizations/acme/raise-requests"
ASKED = {"amount": "2.50", "reason": "A demo"}
UNTIL = "2099-01-01T00:00:00Z"


@pytest.fixture
def quota(project: Project) -> Quota:
    return make_quota(project, scope="project", scope_id=project.pk)


def make_quota(project: Project, *, scope: str, scope_id: int) -> Quota:
    fields = parse_quota({"unit": "cost", "limit": "5.00", "window": "day"}, scope=scope)
    organization = project.organization_id
    quota, _ = set_quota(organization=organization, scope=scope, scope_id=scope_id, fields=fields)
    return quota


def ask(api: Api, quota: Quota, **fields: Any) -> Any:
    return api.post(f"organizations/acme/quotas/{quota.pk}/raise-requests", {**ASKED, **fields})


def test_a_member_asks_and_an_owner_approves(
    bobs: Api, alices: Api, quota: Quota, his: Membership
) -> None:
    made = ask(bobs, quota)
    assert made.status == 201
    assert made.body["quota"] == quota.pk
    assert {name: made.body[name] for name in ASKED} == ASKED
    assert (made.body["member"], made.body["decided_at"]) == (his.pk, None)
    waiting = alices.list_all(REQUESTS, open="true")
    assert waiting == [made.body]
    one = f"{REQUESTS}/{made.body['id']}"
    terms = {"amount": "2.00", "ends_at": UNTIL}
    answered = alices.post(f"{one}/approve", terms, if_match=made.etag)
    assert (answered.status, answered.body["decided_by"]) == (200, "alice@example.org")
    more = QuotaRaise.objects.get()
    assert (more.amount, more.reason) == (2 * 10**10, "A demo")
    assert answered.body["quota_raise"] == more.pk
    assert bobs.get(one).body == answered.body
    assert alices.list_all(REQUESTS, open="true") == []
    assert alices.list_all(REQUESTS, quota=quota.pk) == [answered.body]


def test_what_was_asked_for_is_given_where_no_amount_is_named(
    bobs: Api, alices: Api, quota: Quota
) -> None:
    made = ask(bobs, quota)
    alices.post(f"{REQUESTS}/{made.body['id']}/approve", {"ends_at": UNTIL})
    assert QuotaRaise.objects.get().amount == 25 * 10**9


def test_a_request_gets_one_answer(bobs: Api, alices: Api, quota: Quota) -> None:
    one = f"{REQUESTS}/{ask(bobs, quota).body['id']}"
    declined = alices.post(f"{one}/decline", {"answer": "Not this month"})
    assert (declined.status, declined.body["answer"]) == (200, "Not this month")
    for answer, body in (("approve", {"ends_at": UNTIL}), ("decline", {})):
        late = alices.post(f"{one}/{answer}", body)
        assert (late.status, late.error["code"]) == (409, "answered_already")
    assert not QuotaRaise.objects.exists()
    assert bobs.get(one).body["answer"] == "Not this month"


def test_who_answers_what_has_changed_is_told(bobs: Api, alices: Api, quota: Quota) -> None:
    one = f"{REQUESTS}/{ask(bobs, quota).body['id']}"
    assert alices.post(f"{one}/decline", {}, if_match='"another"').status == 412
    assert RaiseRequest.objects.get().decided_at is None


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"amount": "0"}, "amount"),
        ({"amount": "much"}, "amount"),
        ({"amount": 2}, "amount"),
        ({"reason": " "}, "reason"),
        ({"reason": "x" * 501}, "reason"),
        ({"member": 1}, "member"),
    ],
)
def test_a_bad_request_is_refused_by_its_field(
    bobs: Api, quota: Quota, fields: dict[str, Any], field: str
) -> None:
    answer = ask(bobs, quota, **fields)
    assert (answer.status, answer.error["field"]) == (400, field)
    assert not RaiseRequest.objects.exists()


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        ({}, "ends_at"),
        ({"ends_at": "2020-01-01T00:00:00Z"}, "ends_at"),
        ({"ends_at": UNTIL, "amount": "-1"}, "amount"),
        ({"ends_at": UNTIL, "by": "somebody"}, "by"),
    ],
)
def test_bad_terms_leave_the_request_open(
    bobs: Api, alices: Api, quota: Quota, terms: dict[str, Any], field: str
) -> None:
    one = f"{REQUESTS}/{ask(bobs, quota).body['id']}"
    answer = alices.post(f"{one}/approve", terms)
    assert (answer.status, answer.error["field"]) == (400, field)
    assert RaiseRequest.objects.get().decided_at is None


def test_a_member_neither_answers_nor_sees_what_others_asked(
    bobs: Api, alices: Api, quota: Quota
) -> None:
    hers = ask(alices, quota).body["id"]
    his = ask(bobs, quota).body["id"]
    assert [each["id"] for each in bobs.list_all(REQUESTS)] == [his]
    assert bobs.get(f"{REQUESTS}/{hers}").status == 404
    assert bobs.post(f"{REQUESTS}/{hers}/decline", {}).status == 404
    assert bobs.post(f"{REQUESTS}/{his}/approve", {"ends_at": UNTIL}).status == 403


def test_what_the_organization_may_use_is_raised_by_operators(
    alices: Api, operators: Api, project: Project
) -> None:
    quota = make_quota(project, scope="organization", scope_id=project.organization_id)
    one = f"{REQUESTS}/{ask(alices, quota).body['id']}"
    assert alices.post(f"{one}/approve", {"ends_at": UNTIL}).status == 403
    assert operators.post(f"{one}/approve", {"ends_at": UNTIL}).status == 200


def test_nobody_asks_about_a_limit_that_they_do_not_see(
    bobs: Api, project: Project, hers: Membership
) -> None:
    key = issue_key(project=project, name="hers", owner=hers).key
    assert ask(bobs, make_quota(project, scope="key", scope_id=key.pk)).status == 404


def test_a_program_asks_and_answers_for_its_maker(
    alice: User, bob: User, quota: Quota, project: Project
) -> None:
    organization = project.organization
    made = ask(key_api(bob, organization), quota)
    program = key_api(alice, organization)
    answered = program.post(f"{REQUESTS}/{made.body['id']}/approve", {"ends_at": UNTIL})
    assert answered.status == 200
    assert answered.body["decided_by"].startswith("management key ")


def test_charlie_finds_no_request(bobs: Api, charlies: Api, quota: Quota) -> None:
    number = ask(bobs, quota).body["id"]
    assert charlies.get(f"{REQUESTS}/{number}").status == 404
    assert charlies.get(f"organizations/globex/raise-requests/{number}").status == 404
    assert ask(charlies, quota).status == 404
