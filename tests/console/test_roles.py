"""What each role may do, for every address of the console: a new one cannot be left out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from django.db import transaction
from django.test import Client
from django.urls import URLPattern, URLResolver, reverse

from accounts.models import ApiKey, Invitation, Membership, Organization, Project, User
from billing.models import Quota, RaiseRequest
from config.urls import urlpatterns
from tests.console.conftest import browser

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("model")]

OWNER, ADMIN, MEMBER, BILLING, VIEWER = Membership.Role.values
OPERATOR, STRANGER, NOBODY = "operator", "stranger", "nobody"
PLATFORM = frozenset({OPERATOR})
ADMINS = PLATFORM | {OWNER, ADMIN}
VIEWERS = ADMINS | {VIEWER}
INSIDERS = VIEWERS | {MEMBER, BILLING}
KEYHOLDERS = ADMINS | {MEMBER}
PERSONS = INSIDERS | {STRANGER}
EVERYBODY = PERSONS | {NOBODY}

GOOD, FOUND, FORBIDDEN, MISSING, WRONG_METHOD = 200, 302, 403, 404, 405


class Rule(NamedTuple):
    """Who may get a page (None: it is only posted to) and who may send its form with `body`;
    `answer` is what its form is answered with."""

    get: frozenset[str] | None
    post: frozenset[str] | None = None
    body: dict[str, Any] | None = None
    answer: int = FOUND
    got: int = GOOD


NEW_KEY = {"name": "new", "project": "default", "once": "x", "owner": "service"}
RULES: dict[str, Rule] = {
    "home": Rule(PERSONS),
    "style": Rule(EVERYBODY),
    "docs": Rule(EVERYBODY),
    "document": Rule(EVERYBODY),
    "openapi": Rule(EVERYBODY),
    "reference": Rule(EVERYBODY),
    "operation": Rule(EVERYBODY),
    "operations": Rule(PLATFORM),
    "new_organization": Rule(PERSONS, PERSONS, {"name": "New", "time_zone": "UTC"}),
    "invitation": Rule(EVERYBODY),
    "limit_link": Rule(INSIDERS, got=FOUND),
    "organization": Rule(INSIDERS),
    "settings": Rule(INSIDERS, ADMINS, {"name": "N", "time_zone": "UTC", "hang_up": "close"}),
    "leave": Rule(INSIDERS, INSIDERS, {}),
    "people": Rule(VIEWERS),
    "invite": Rule(ADMINS, ADMINS, {"email": "new@example.org", "role": "member"}),
    "role": Rule(ADMINS, ADMINS, {"role": "viewer"}),
    "remove": Rule(ADMINS, ADMINS, {}),
    "take_back": Rule(None, ADMINS, {}),
    "projects": Rule(INSIDERS, ADMINS, {"name": "New"}),
    "project": Rule(ADMINS, ADMINS, {"name": "New"}),
    "archive": Rule(None, ADMINS, {}),
    "unarchive": Rule(None, ADMINS, {}),
    "keys": Rule(VIEWERS | {MEMBER}),
    "new_key": Rule(KEYHOLDERS, KEYHOLDERS, NEW_KEY, GOOD),
    "key": Rule(VIEWERS),
    "change_key": Rule(ADMINS, ADMINS, {"name": "new"}),
    "rotate_key": Rule(ADMINS, ADMINS, {"grace": "0"}, GOOD),
    "disable_key": Rule(None, ADMINS, {}),
    "enable_key": Rule(None, ADMINS, {}),
    "revoke_key": Rule(ADMINS, ADMINS, {"reason": "leaked"}),
    "limits": Rule(INSIDERS),
    "new_limit": Rule(
        ADMINS,
        ADMINS,
        {"target": "project-{project_pk}", "unit": "requests", "limit": "9", "window": "day"}
        | {"mode": "enforce"},
    ),
    "limit": Rule(INSIDERS, INSIDERS - {MEMBER}, {"amount": "1.00", "reason": "more"}),
    "change_limit": Rule(ADMINS, ADMINS, {"limit": "9.00", "mode": "enforce"}),
    "end_limit": Rule(ADMINS, ADMINS, {}),
    "approve": Rule(ADMINS, ADMINS, {"amount": "1.00", "until": "2099-01-01"}),
    "decline": Rule(None, ADMINS, {"no-reason": "no"}),
    "usage": Rule(INSIDERS),
    "usage_csv": Rule(INSIDERS),
}
# Rules that are not about roles: an owner who is the last one stays, and nobody asks twice.
BEYOND_ROLES = {("leave", OWNER), ("limit", MEMBER)}
# To them a service key does not exist; who may see no key at all is told so.
KEYLESS = {MEMBER}
# What is posted to, and by whom.
FORMS = {name: rule.post for name, rule in RULES.items() if rule.post}
ROLES = (*Membership.Role.values, OPERATOR, STRANGER, NOBODY)
OTHERS = ("account_", "mfa_", "usersessions_", "socialaccount_", "openid_connect_")


class Cast(NamedTuple):
    """Whom the roles are played by: Alice owns acme and Charlie is a stranger; an operator is a
    member too, so that all pages are theirs."""

    acme: Organization
    alice: User
    operator: User
    charlies: Client

    def browser_of(self, role: str) -> Client:
        if role in {OWNER, NOBODY}:
            return browser(self.alice if role == OWNER else None)
        if role == STRANGER:
            return self.charlies
        is_operator = role == OPERATOR
        user = self.operator if is_operator else User.objects.create_user(f"{role}@example.org")
        given = Membership.Role.VIEWER if is_operator else role
        Membership.objects.create(organization=self.acme, user=user, role=given)
        return browser(user)


@pytest.fixture
def cast(acme: Organization, alice: User, operator: User, charlies: Client) -> Cast:
    return Cast(acme, alice, operator, charlies)


@pytest.fixture
def world(
    acme: Organization,
    his: Membership,
    service_key: ApiKey,
    asked: RaiseRequest,
    token: str,
) -> dict[str, Any]:
    """What the addresses name."""
    return {
        "organization": acme.slug,
        "project": service_key.project.slug,
        "project_pk": service_key.project_id,
        "member": his.pk,
        "invitation": Invitation.objects.get(organization=acme).pk,
        "key": service_key.public_id,
        "quota": asked.quota_id,
        "number": asked.pk,
        "token": token,
        "name": "quickstart",
        "operation": "chat-completions",
    }


def test_every_address_has_a_rule() -> None:
    ours = {name for name, _ in addresses() if not name.startswith(OTHERS)}
    assert ours == set(RULES)


@pytest.mark.parametrize("role", ROLES)
def test_each_role_gets_what_the_rules_say(role: str, world: dict[str, Any], cast: Cast) -> None:
    client, wrong = cast.browser_of(role), {}
    for name, rule in RULES.items():
        expected = rule.got if rule.get and role in rule.get else otherwise(name, role)
        if name == "home" and role != NOBODY:
            expected = FOUND if role != OPERATOR else GOOD
        if rule.get is None:
            expected = WRONG_METHOD
        if (status := ask(client.get, name, world).status_code) != expected:
            wrong[name] = f"{status}, not {expected}"
    assert wrong == {}


@pytest.mark.parametrize("role", ROLES)
def test_each_role_may_send_what_the_rules_say(
    role: str, world: dict[str, Any], cast: Cast
) -> None:
    client, wrong = cast.browser_of(role), {}
    for name, who in FORMS.items():
        if (name, role) in BEYOND_ROLES:
            continue
        expected = RULES[name].answer if role in who else otherwise(name, role)
        answer = ask(client.post, name, world, body_of(name, world))
        if answer.status_code != expected:
            wrong[name] = f"{answer.status_code}, not {expected}: {answer.content[-1000:]!r}"
    assert wrong == {}


def test_charlie_finds_nothing_of_acme_under_his_own_organization(
    world: dict[str, Any], charlies: Client
) -> None:
    tried = 0
    for name in set(RULES) - {"home", "style"}:
        parts = parts_of(name)
        if parts <= {"organization"} or "organization" not in parts:
            continue  # Nothing of acme's is named but acme itself, which the rules have.
        address = reverse(name, kwargs={part: world[part] for part in parts} | GLOBEX)
        assert charlies.get(address).status_code in {MISSING, WRONG_METHOD}, name
        assert charlies.post(address, RULES[name].body or {}).status_code == MISSING, name
        tried += 1
    assert tried > 15


GLOBEX = {"organization": "globex"}


def test_no_form_is_taken_without_its_token(world: dict[str, Any], alice: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice)
    for name in FORMS:
        answer = ask(client.post, name, world, RULES[name].body or {})
        assert answer.status_code == FORBIDDEN, name


def body_of(name: str, world: dict[str, Any]) -> dict[str, Any]:
    return {
        field: value.format(**world) if isinstance(value, str) else value
        for field, value in (RULES[name].body or {}).items()
    }


# What no form asks for. Each would be worth something to somebody.
HOSTILE = {
    **{"id": "1", "pk": "1", "slug": "taken", "organization": "globex", "organization_id": "1"},
    **{"status": "deleted", "is_staff": "on", "is_superuser": "on", "is_active": "", "user": "1"},
    **{"public_id": "AAAAAAAAAAAA", "revoked_at": "2026-01-01", "scope": "organization"},
    **{"scope_id": "1", "hold": "bounded", "clamp": "on", "decided_by": "mallory", "member": "1"},
}


def test_what_a_form_does_not_ask_for_is_not_taken_from_it(
    world: dict[str, Any], cast: Cast
) -> None:
    client, before = cast.browser_of(OWNER), read_what_is_safe()
    for name in FORMS:
        address = reverse(name, kwargs={part: world[part] for part in parts_of(name)})
        with transaction.atomic():
            client.post(address, {**HOSTILE, **body_of(name, world)})
            assert read_what_is_safe() == before, name
            transaction.set_rollback(True)


def read_what_is_safe() -> list[Any]:
    """Everything of Charlie's organization, and what nobody decides who only owns acme."""
    globex = Organization.objects.get(slug="globex")
    return [
        *Organization.objects.exclude(slug="taken").order_by("pk").values_list("slug", "status"),
        *Membership.objects.filter(organization=globex).values_list("user", "role"),
        *Invitation.objects.filter(organization=globex).values_list("email"),
        *Project.objects.filter(organization=globex).values_list("slug"),
        *ApiKey.objects.filter(organization=globex).values_list("public_id"),
        *Quota.objects.filter(organization=globex.pk).values_list("pk"),
        *Quota.objects.filter(scope="organization").values_list("pk"),
        *ApiKey.objects.filter(public_id=HOSTILE["public_id"]).values_list("pk"),
        *RaiseRequest.objects.filter(decided_by="mallory").values_list("pk"),
        *User.objects.filter(is_staff=True).order_by("pk").values_list("email"),
        *User.objects.filter(is_active=False).values_list("email"),
    ]


def otherwise(name: str, role: str) -> int:
    if role == NOBODY:
        return FOUND  # To the page where people sign in.
    if role == STRANGER and "organization" in parts_of(name):
        return MISSING
    if name in {"limit_link", "operations"}:
        return MISSING
    is_key = "key" in parts_of(name)
    return MISSING if is_key and role in KEYLESS else FORBIDDEN


def ask(method: Any, name: str, world: dict[str, Any], body: dict[str, Any] | None = None) -> Any:
    """Ask, undo whatever it did, and return the answer."""
    address = reverse(name, kwargs={part: world[part] for part in parts_of(name)})
    with transaction.atomic():
        answer = method(address, body or {})
        transaction.set_rollback(True)
    return answer


def parts_of(name: str) -> set[str]:
    return next(set(pattern.pattern.converters) for each, pattern in addresses() if each == name)


def addresses(patterns: Any = None) -> Iterator[tuple[str, URLPattern]]:
    """Every named address that is neither the API's nor the admin's."""
    for each in urlpatterns if patterns is None else patterns:
        if isinstance(each, URLResolver):
            if str(each.pattern).startswith(("admin/", "api/")):
                continue
            yield from addresses(each.url_patterns)
        elif isinstance(each, URLPattern) and each.name:
            yield each.name, each
