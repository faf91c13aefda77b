"""/audit: an organization's own history for its administrators, all of it for operators."""

from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Organization
from tests.api.asking import Api

pytestmark = pytest.mark.django_db
AUDIT = "organizations/acme/audit"


def test_it_says_who_changed_what_and_how_it_was_before(alices: Api) -> None:
    alices.patch("organizations/acme", {"name": "Acme Ltd"})
    newest = alices.get(AUDIT).body["items"][0]
    assert (newest["actor"], newest["via"], newest["action"]) == (
        "alice@example.org",
        "api",
        "update",
    )
    assert (newest["before"]["name"], newest["after"]["name"]) == ("Acme", "Acme Ltd")


def test_it_can_be_filtered(alices: Api, acme: Organization) -> None:
    before = timezone.now().isoformat()
    alices.post("organizations/acme/projects", {"slug": "search", "name": "Search"})

    def kinds(**query: Any) -> list[str]:
        return [each["object_kind"] for each in alices.list_all(AUDIT, **query)]

    assert kinds(since=before) == ["project"]
    assert "project" not in kinds(until=before)
    assert kinds(object_kind="project") == ["project"]
    assert kinds(object_kind="organization", object_id=acme.pk) == ["organization"]
    assert kinds(actor="alice@example.org", via="api", action="insert") == ["project"]
    assert kinds(action="delete") == []


def test_only_administrators_read_it(bobs: Api) -> None:
    assert bobs.get(AUDIT).status == 403


def test_charlie_reads_his_own_alone(charlies: Api, acme: Organization) -> None:
    assert charlies.get(AUDIT).status == 404
    mine = Organization.objects.get(slug="globex").pk
    found = charlies.list_all("organizations/globex/audit")
    assert {each["organization"] for each in found} == {mine}


def test_operators_read_all_of_it_and_what_belongs_to_nobody(
    operators: Api, charlies: Api, acme: Organization
) -> None:
    assert {"accounts_user", "organization"} <= {
        each["object_kind"] for each in operators.list_all("audit")
    }
    of_acme = operators.list_all("audit", organization="acme")
    assert {each["organization"] for each in of_acme} == {acme.pk}
    assert operators.list_all("audit", organization="never") == []
    assert charlies.get("audit").status == 403
