"""What each role may do, for every operation that there is: a new one cannot be left out."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from django.db import transaction

from accounts.models import Membership, Organization, User
from tests.api.asking import Api, key_api
from tests.api.test_schema import operations

pytestmark = pytest.mark.django_db

OWNER, ADMIN, MEMBER, BILLING, VIEWER = Membership.Role.values
OPERATOR, PROGRAM = "operator", "program"  # A program has a management key that an owner made.
PLATFORM = frozenset({OPERATOR})
OWNERS = PLATFORM | {OWNER}
ADMINS = OWNERS | {ADMIN, PROGRAM}
VIEWERS = ADMINS | {VIEWER}
INSIDERS = VIEWERS | {MEMBER, BILLING}


class Rule(NamedTuple):
    """Who may ask an operation, with which body, and how they and others are answered."""

    who: frozenset[str]
    body: Any = None
    answer: int = 200
    otherwise: int = 403


ONE = "/organizations/{organization}"
KEY = f"{ONE}/keys/{{key}}"
OUR_KEY = f"{ONE}/management-keys/{{management_key}}"
QUOTA = f"{ONE}/quotas/{{quota}}"
ASKED = f"{ONE}/raise-requests/{{raise_request}}"
COST = {"unit": "cost", "limit": "1.00", "window": "month"}
PROVIDER = {"protocol": "openai", "base_url": "https://api.openai.com/v1"}
BOUNDS = {"context_window": 10, "max_output_tokens": 10}
RULES: dict[str, Rule] = {
    "GET /organizations": Rule(INSIDERS),
    # Their own, where people may sign up.
    "POST /organizations": Rule(INSIDERS - {PROGRAM}, {"slug": "new", "name": "New"}, 201),
    f"GET {ONE}": Rule(INSIDERS),
    f"PATCH {ONE}": Rule(ADMINS, {"name": "New"}),
    f"DELETE {ONE}": Rule(PLATFORM, answer=409),
    f"POST {ONE}/suspend": Rule(PLATFORM, {}),
    f"POST {ONE}/resume": Rule(PLATFORM, {}),
    f"POST {ONE}/leave": Rule(INSIDERS - {PROGRAM}, {}, 204),
    f"GET {ONE}/members": Rule(VIEWERS),
    f"POST {ONE}/members": Rule(PLATFORM, {"email": "new@example.org"}, 201),
    f"GET {ONE}/members/{{member}}": Rule(VIEWERS),
    f"PATCH {ONE}/members/{{member}}": Rule(ADMINS, {"role": "viewer"}),
    f"DELETE {ONE}/members/{{member}}": Rule(ADMINS, answer=204),
    f"GET {ONE}/invitations": Rule(ADMINS),
    f"POST {ONE}/invitations": Rule(ADMINS, {"email": "new@example.org"}, 201),
    f"GET {ONE}/invitations/{{invitation}}": Rule(ADMINS),
    f"DELETE {ONE}/invitations/{{invitation}}": Rule(ADMINS, answer=204),
    # Nobody here was sent one; a stranger who was is in test_invitations.py.
    "POST /invitations/accept": Rule(INSIDERS - {PROGRAM}, {"token": "never"}, 404),
    f"GET {ONE}/projects": Rule(INSIDERS),
    f"POST {ONE}/projects": Rule(ADMINS, {"slug": "new", "name": "New"}, 201),
    f"GET {ONE}/projects/{{project}}": Rule(INSIDERS),
    f"PATCH {ONE}/projects/{{project}}": Rule(ADMINS, {"name": "New"}),
    f"POST {ONE}/projects/{{project}}/archive": Rule(ADMINS),
    f"POST {ONE}/projects/{{project}}/unarchive": Rule(ADMINS),
    f"GET {ONE}/keys": Rule(INSIDERS),
    f"POST {ONE}/keys": Rule(ADMINS | {MEMBER}, {"project": "default", "name": "new"}, 201),
    f"GET {KEY}": Rule(VIEWERS),
    f"PATCH {KEY}": Rule(ADMINS, {"name": "new"}),
    f"POST {KEY}/rotate": Rule(ADMINS, {}),
    f"POST {KEY}/disable": Rule(ADMINS),
    f"POST {KEY}/enable": Rule(ADMINS),
    f"POST {KEY}/revoke": Rule(ADMINS, {}),
    f"POST {ONE}/keys/bulk": Rule(ADMINS | {MEMBER}, {"action": "revoke", "ids": []}),
    f"POST {ONE}/keys/hand-over": Rule(ADMINS, {"owner": None, "ids": []}),
    f"GET {ONE}/management-keys": Rule(ADMINS),
    f"POST {ONE}/management-keys": Rule(ADMINS, {"name": "new", "scope": "read"}, 201),
    f"GET {OUR_KEY}": Rule(ADMINS),
    f"POST {OUR_KEY}/revoke": Rule(ADMINS),
    "GET /management-keys": Rule(PLATFORM),
    "POST /management-keys": Rule(PLATFORM, {"name": "new", "scope": "read"}, 201),
    "GET /management-keys/{management_key}": Rule(PLATFORM),
    "POST /management-keys/{management_key}/revoke": Rule(PLATFORM),
    f"GET {ONE}/audit": Rule(ADMINS),
    "GET /audit": Rule(PLATFORM),
    f"GET {ONE}/quotas": Rule(INSIDERS),
    f"POST {ONE}/quotas": Rule(ADMINS, {**COST, "scope": "project", "scope_id": "default"}, 201),
    f"GET {QUOTA}": Rule(INSIDERS),
    f"PATCH {QUOTA}": Rule(ADMINS, {"limit": "2.00"}),
    f"DELETE {QUOTA}": Rule(ADMINS, answer=204),
    f"GET {QUOTA}/raises": Rule(INSIDERS),
    f"POST {QUOTA}/raises": Rule(ADMINS, {"amount": "1", "ends_at": "2099-01-01"}, 201),
    f"GET {QUOTA}/raises/{{quota_raise}}": Rule(INSIDERS),
    f"DELETE {QUOTA}/raises/{{quota_raise}}": Rule(ADMINS, answer=204),
    f"POST {QUOTA}/raise-requests": Rule(
        INSIDERS - PLATFORM, {"amount": "1.00", "reason": "more"}, 201
    ),
    f"GET {ONE}/raise-requests": Rule(INSIDERS),
    # Bob asked, so others do not see it unless they may answer.
    f"GET {ASKED}": Rule(ADMINS, otherwise=404),
    f"POST {ASKED}/approve": Rule(ADMINS, {"ends_at": "2099-01-01"}, otherwise=404),
    f"POST {ASKED}/decline": Rule(ADMINS, {}, otherwise=404),
    f"GET {ONE}/usage": Rule(INSIDERS),
    f"GET {ONE}/calls": Rule(INSIDERS),
    f"GET {ONE}/calls/{{call}}": Rule(INSIDERS - {MEMBER}, otherwise=404),
    f"GET {ONE}/refusals": Rule(INSIDERS),
    "GET /users": Rule(PLATFORM),
    "GET /users/{user}": Rule(PLATFORM),
    "PATCH /users/{user}": Rule(PLATFORM, {"name": "New"}),
    "POST /users/{user}/deactivate": Rule(PLATFORM, {}),
    "POST /users/{user}/reactivate": Rule(PLATFORM, {}),
    "POST /users/{user}/log-out": Rule(PLATFORM, {}),
    "POST /users/{user}/remove-second-factors": Rule(PLATFORM, {}),
    "GET /health": Rule(PLATFORM),
    "POST /health/check-ledger": Rule(PLATFORM, {}, 202),
    "GET /route-suspensions": Rule(PLATFORM),
    "GET /route-suspensions/{suspension}": Rule(PLATFORM),
    "POST /route-suspensions/{suspension}/acknowledge": Rule(PLATFORM, {"note": "the price"}),
    "GET /prices": Rule(PLATFORM),
    "POST /prices": Rule(PLATFORM, {"model": "new", "input": "1", "output": "1"}, 201),
    "GET /prices/{price}": Rule(PLATFORM),
    "GET /providers": Rule(PLATFORM),
    "POST /providers": Rule(PLATFORM, {**PROVIDER, "name": "new"}, 201),
    "GET /providers/{provider}": Rule(PLATFORM),
    "PATCH /providers/{provider}": Rule(PLATFORM, {"enabled": False}),
    "DELETE /providers/{provider}": Rule(PLATFORM, answer=409),
    "POST /providers/{provider}/credential": Rule(PLATFORM, {"credential": "new"}),
    "POST /providers/{provider}/test": Rule(PLATFORM, {"upstream_model": "gpt-4o"}),
    "GET /models": Rule(INSIDERS),
    "POST /models": Rule(PLATFORM, {**BOUNDS, "name": "new"}, 201),
    "GET /models/{model}": Rule(INSIDERS),
    "PATCH /models/{model}": Rule(PLATFORM, {"enabled": False}),
    "DELETE /models/{model}": Rule(PLATFORM, answer=204),
    "GET /routes": Rule(PLATFORM),
    "POST /routes": Rule(
        PLATFORM, {"model": "gpt-4o", "provider": "openai", "upstream_model": "new"}, 201
    ),
    "GET /routes/{route}": Rule(PLATFORM),
    "PATCH /routes/{route}": Rule(PLATFORM, {"enabled": False}),
    "DELETE /routes/{route}": Rule(PLATFORM, answer=204),
}
# Not about roles: the last owner stays, and an operator belongs to no organization.
BEYOND_ROLES = {(f"POST {ONE}/leave", OWNER): 409, (f"POST {ONE}/leave", OPERATOR): 404}
# To them a service key does not exist.
KEYLESS = {MEMBER, BILLING}


def test_every_operation_has_a_rule() -> None:
    assert set(RULES) == set(operations())


@pytest.mark.parametrize("role", [*Membership.Role.values, OPERATOR, PROGRAM])
def test_each_role_is_answered_as_the_rules_say(
    role: str, world: dict[str, str], acme: Organization, alice: User, operator: User
) -> None:
    api = api_of(role, acme=acme, alice=alice, operator=operator)
    wrong = {}
    for name, rule in RULES.items():
        otherwise = 404 if KEY in name and role in KEYLESS else rule.otherwise
        expected = BEYOND_ROLES.get((name, role), rule.answer if role in rule.who else otherwise)
        if (status := ask(api, name, world)) != expected:
            wrong[name] = f"{status}, not {expected}"
    assert wrong == {}


def test_nobody_gets_in(world: dict[str, str], nobody: Api) -> None:
    assert {name for name in RULES if ask(nobody, name, world) != 401} == set()


def test_charlie_finds_nothing_of_acme(world: dict[str, str], charlies: Api) -> None:
    ours = [name for name in RULES if ONE in name]
    assert {name for name in ours if ask(charlies, name, world) != 404} == set()


def test_charlie_finds_nothing_of_acme_in_his_own_organization(
    world: dict[str, str], charlies: Api
) -> None:
    """Where he may do everything."""
    ours = [name for name in RULES if ONE in name and name.count("{") > 1]
    his = {**world, "organization": "globex"}
    assert len(ours) > 25
    assert {name for name in ours if ask(charlies, name, his) != 404} == set()


def test_whoever_changes_one_object_may_say_which_version(
    world: dict[str, str], operators: Api, alices: Api
) -> None:
    """Every operation that is described with If-Match compares it."""
    comparing = [
        name
        for name, operation in operations().items()
        if any(each["name"] == "If-Match" for each in operation.get("parameters", ()))
    ]
    assert len(comparing) > 35
    wrong = {}
    for name in comparing:
        api = alices if name.endswith("/leave") else operators
        if (status := ask(api, name, world, if_match='"another"')) != 412:
            wrong[name] = status
    assert wrong == {}


def api_of(role: str, *, acme: Organization, alice: User, operator: User) -> Api:
    """The API in the hands of a role of acme: Alice owns it, others are made for this."""
    if role == PROGRAM:
        return key_api(alice, acme)
    if role in {OWNER, OPERATOR}:
        return Api(alice if role == OWNER else operator)
    user = User.objects.create_user(f"{role}@example.org")
    Membership.objects.create(organization=acme, user=user, role=role)
    return Api(user)


def ask(api: Api, name: str, world: dict[str, str], **headers: str) -> int:
    """Ask, undo whatever it did, and return how it was answered."""
    method, _, path = name.partition(" ")
    if ONE not in path:
        world = {**world, "management_key": world["operators_key"]}
    body = RULES[name].body
    if body and "ids" in body:
        body = {**body, "ids": [world["key"]]}
    with transaction.atomic():
        status = api.ask(method, path.format(**world).lstrip("/"), body, **headers).status
        transaction.set_rollback(True)
    return status
