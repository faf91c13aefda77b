"""People of the installation, for operators: shut out at once and everywhere, and let in again."""

from __future__ import annotations

import pytest
from allauth.mfa.models import Authenticator

from accounts.leaving import forget_person
from accounts.management_keys import issue_management_key
from accounts.models import Membership, Organization, User
from tests.api.asking import Api

pytestmark = pytest.mark.django_db


def test_they_are_listed_with_what_they_are_where(
    operators: Api, bob: User, his: Membership
) -> None:
    listed = operators.list_all("users", search="BOB@")
    assert [each["email"] for each in listed] == ["bob@example.org"]
    assert listed[0]["memberships"] == [
        {"organization": "acme", "member": his.pk, "role": "member"}
    ]
    assert operators.get(f"users/{bob.pk}").body == listed[0]
    assert [each["email"] for each in operators.list_all("users", operator="true")] == [
        "operator@example.org"
    ]


def test_whoever_is_deactivated_is_out_until_reactivated(
    operators: Api, bobs: Api, bob: User, acme: Organization
) -> None:
    made = issue_management_key(organization=acme, name="ci", scope="read", made_by=bob)
    program = Api(key=made.plaintext)
    assert (bobs.get("organizations").status, program.get("organizations").status) == (200, 200)
    out = operators.post(f"users/{bob.pk}/deactivate", {})
    assert (out.status, out.body["is_active"]) == (200, False)
    assert [each["id"] for each in operators.list_all("users", active="false")] == [bob.pk]
    assert (bobs.get("organizations").status, program.get("organizations").status) == (401, 401)
    back = operators.post(f"users/{bob.pk}/reactivate", {})
    assert (back.status, back.body["is_active"]) == (200, True)
    assert program.get("organizations").status == 200
    # The sessions of before stay ended.
    assert bobs.get("organizations").status == 401


def test_the_last_operator_stays(operators: Api, operator: User, alice: User) -> None:
    refused = operators.post(f"users/{operator.pk}/deactivate", {})
    assert (refused.status, refused.error["code"]) == (409, "last_operator")
    alice.is_staff = True
    alice.save()
    assert operators.post(f"users/{operator.pk}/deactivate", {}).status == 200


def test_whoever_was_forgotten_does_not_come_back(operators: Api, charlie: User) -> None:
    forget_person(charlie)
    refused = operators.post(f"users/{charlie.pk}/reactivate", {})
    assert (refused.status, refused.error["field"]) == (400, "user")


def test_a_person_is_logged_out_everywhere(operators: Api, bobs: Api, bob: User) -> None:
    assert bobs.get("organizations").status == 200
    assert operators.post(f"users/{bob.pk}/log-out", {}).status == 200
    assert bobs.get("organizations").status == 401


def test_a_lost_second_factor_is_removed(operators: Api, bob: User) -> None:
    Authenticator.objects.create(user=bob, type="totp", data={"secret": "x"})
    assert operators.post(f"users/{bob.pk}/remove-second-factors", {}).status == 200
    assert not Authenticator.objects.exists()


def test_a_name_is_changed_and_nothing_else(operators: Api, bob: User) -> None:
    changed = operators.patch(f"users/{bob.pk}", {"name": "Robert"})
    assert (changed.status, changed.body["name"]) == (200, "Robert")
    for field in ("email", "is_operator", "is_staff", "is_active", "password"):
        refused = operators.patch(f"users/{bob.pk}", {field: "x"})
        assert (refused.status, refused.error["field"]) == (400, field)


def test_an_owner_and_charlie_see_nobody(alices: Api, charlies: Api, bob: User) -> None:
    for api in (alices, charlies):
        assert api.get("users").status == 403
        assert api.post(f"users/{bob.pk}/deactivate", {}).status == 403
