"""Every address of Django's pages belongs to one of the families whose doors are tested.

The API's operations have their rules in tests/api/test_roles.py and the console's pages theirs in
tests/console/test_roles.py, each complete by a test of its own. The admin's are tried here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from accounts.models import ApiKey, Membership, Organization, Project, User
from tests.api.asking import Api

pytestmark = pytest.mark.django_db
# Each with what asks for everything in it.
FAMILIES = ("admin/", "api/", "docs", "accounts/", "o/<slug:organization>/", "static/")
# The console's own pages outside of an organization.
ALONE = {"", "style", "operations/", "organizations/new", "invitations/<str:token>"}
ALONE |= {"limits/<int:quota>"}
OPEN = {"/admin/login/", "/admin/logout/"}
# Of one's own password: every operator's.
OWN = {"/admin/password_change/", "/admin/password_change/done/"}


def walk(resolver: URLResolver, before: str = "") -> Iterator[str]:
    """Every address, as it is written in the configuration."""
    for each in resolver.url_patterns:
        path = before + str(each.pattern)
        if isinstance(each, URLResolver):
            yield from walk(each, path)
        elif isinstance(each, URLPattern):
            yield path


def list_admin() -> list[str]:
    """The admin's addresses, with a 1 for whatever they name."""
    found = [path for path in walk(get_resolver()) if path.startswith("admin/")]
    plain = [re.sub(r"<[^>]+>", "1", path) for path in found if "(?P" not in path]
    return sorted({f"/{path}" for path in plain} - OPEN)


def test_every_address_is_of_a_family_that_is_tested() -> None:
    others = [path for path in walk(get_resolver()) if not path.startswith(FAMILIES)]
    assert set(others) <= ALONE


@pytest.mark.parametrize("method", ["get", "post"])
def test_the_admin_opens_to_operators_alone(
    alice: User, acme: Organization, client: Client, method: str
) -> None:
    """Alice owns acme, which makes her nothing here."""
    hers = Client()
    hers.force_login(alice)
    addresses = list_admin()
    assert len(addresses) > 60
    for path in addresses:
        for asker in (client, hers):
            answer: Any = getattr(asker, method)(path)
            assert answer.status_code in {302, 404}, path
            if answer.status_code == 302:
                assert "/login/" in answer["location"], path


def test_an_operator_without_permissions_sees_no_list_and_changes_nothing(
    charlie: User, acme: Organization, client: Client
) -> None:
    charlie.is_staff = True
    charlie.save()
    client.force_login(charlie)
    for path in sorted({*list_admin()} - OWN):
        if re.fullmatch(r"/admin/\w+/\w+/(add/)?", path):
            assert client.get(path).status_code == 403, path
            assert client.post(path, {"name": "x"}).status_code == 403, path


def test_no_setting_comes_along_with_what_a_member_may_write(
    bob: User, alice: User, acme: Organization, project: Project
) -> None:
    """Mass assignment: each such field is refused by its name, and nothing is made."""
    bobs = Api(bob)
    hers = Membership.objects.get(user=alice, organization=acme).pk
    key = {"project": "default", "name": "mine"}
    own = bobs.post("organizations/acme/keys", key).body["id"]
    for name in ("organization", "status", "public_id", "secrets", "id", "revoked_at", "made_at"):
        made = bobs.post("organizations/acme/keys", {**key, name: "active"})
        changed = bobs.patch(f"organizations/acme/keys/{own}", {name: "active"})
        for answer in (made, changed):
            assert (answer.status, answer.error["field"]) == (400, name)
    for owner in (None, hers):
        assert bobs.post("organizations/acme/keys", {**key, "owner": owner}).status == 403
        assert bobs.patch(f"organizations/acme/keys/{own}", {"owner": owner}).status == 400
    assert bobs.patch("organizations/acme", {"status": "active"}).status == 403
    assert ApiKey.objects.get().owner == Membership.objects.get(user=bob, organization=acme)
