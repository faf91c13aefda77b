"""/organizations: made, changed, suspended and deleted; each person sees their own."""

from typing import Any

import pytest

from accounts.models import Membership, Organization, User
from tests.api.asking import NOTHING_FOUND, Api, key_api

pytestmark = pytest.mark.django_db


def test_people_see_the_organizations_that_they_are_in(
    alices: Api, charlies: Api, operators: Api
) -> None:
    assert [each["slug"] for each in alices.list_all("organizations")] == ["acme"]
    assert [each["slug"] for each in charlies.list_all("organizations")] == ["globex"]
    assert [each["slug"] for each in operators.list_all("organizations")] == ["globex", "acme"]


def test_an_organization_is_shown_with_what_the_asker_is_there(alices: Api, bobs: Api) -> None:
    shown = alices.get("organizations/acme").body
    assert (shown["slug"], shown["name"], shown["role"]) == ("acme", "Acme", "owner")
    assert bobs.get("organizations/acme").body["role"] == "member"


def test_a_stranger_sees_no_organization_and_not_whether_it_exists(charlies: Api) -> None:
    for path in ("organizations/acme", "organizations/never"):
        answer = charlies.get(path)
        assert answer.status == 404
        assert answer.error == NOTHING_FOUND


def test_operators_make_organizations(operators: Api) -> None:
    made = operators.post(
        "organizations", {"slug": "new", "name": "New", "time_zone": "Asia/Tokyo"}
    )
    assert made.status == 201
    assert operators.get("organizations/new").body == made.body
    assert Organization.objects.get(slug="new").time_zone == "Asia/Tokyo"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"slug": "acme", "name": "Again"}, "slug"),
        ({"slug": "Not a slug", "name": "New"}, "slug"),
        ({"slug": "new"}, "name"),
        ({"slug": "new", "name": ""}, "name"),
        ({"slug": "new", "name": "New", "time_zone": "Mars/Base"}, "time_zone"),
        ({"slug": "new", "name": "New", "status": "deleted"}, "status"),
    ],
)
def test_what_makes_no_organization_is_refused_by_its_field(
    operators: Api, acme: Organization, fields: dict[str, str], field: str
) -> None:
    answer = operators.post("organizations", fields)
    assert answer.status == 400
    assert answer.error["field"] == field
    assert Organization.objects.count() == 1


def test_people_make_their_own_where_they_may_sign_up(charlies: Api, settings: Any) -> None:
    made = charlies.post("organizations", {"slug": "new", "name": "New"})
    assert (made.status, made.body["role"]) == (201, "owner")
    assert [each["slug"] for each in charlies.list_all("organizations/new/projects")] == ["default"]
    for_others = charlies.post("organizations", {"slug": "other", "name": "Other", "own": False})
    assert for_others.status == 403
    settings.SIGNUP = "invited"
    assert charlies.post("organizations", {"slug": "other", "name": "Other"}).status == 403
    assert not Organization.objects.filter(slug="other").exists()


def test_an_operator_makes_one_of_their_own_in_person(operators: Api, operator: User) -> None:
    body = {"slug": "new", "name": "New", "own": True}
    program = key_api(operator, None).post("organizations", body)
    assert (program.status, program.error["code"]) == (403, "person_needed")
    assert operators.post("organizations", body).status == 201
    assert Membership.objects.get(organization__slug="new").user == operator


def test_a_management_key_of_an_organization_makes_none(alice: User, acme: Organization) -> None:
    answer = key_api(alice, acme).post("organizations", {"slug": "new", "name": "New"})
    assert answer.status == 403
    assert not Organization.objects.filter(slug="new").exists()


def test_owners_change_its_name_time_zone_and_what_happens_at_a_hang_up(alices: Api) -> None:
    changes = {"name": "Acme Ltd", "time_zone": "UTC", "hang_up": "drain"}
    changed = alices.patch("organizations/acme", changes)
    assert changed.status == 200
    assert {name: changed.body[name] for name in changes} == changes


def test_nobody_changes_status_or_slug_by_naming_them(alices: Api, acme: Organization) -> None:
    for changes in ({"status": "suspended"}, {"slug": "mine"}, {"role": "operator"}):
        answer = alices.patch("organizations/acme", changes)
        assert answer.status == 400
        assert answer.error["field"] == next(iter(changes))
    acme.refresh_from_db()
    assert (acme.slug, acme.status) == ("acme", "active")


def test_a_suspended_organization_can_be_read_and_not_changed(operators: Api, alices: Api) -> None:
    suspended = operators.post("organizations/acme/suspend", {"reason": "unpaid"})
    assert (suspended.body["status"], suspended.body["status_reason"]) == ("suspended", "unpaid")
    assert alices.get("organizations/acme").body["status_reason"] == "unpaid"
    assert alices.patch("organizations/acme", {"name": "Mine"}).status == 403
    assert operators.post("organizations/acme/resume").body["status"] == "active"
    assert alices.patch("organizations/acme", {"name": "Mine"}).status == 200


def test_its_people_do_not_end_a_suspension(operators: Api, alices: Api) -> None:
    operators.post("organizations/acme/suspend", {})
    assert alices.post("organizations/acme/resume").status == 403


def test_operators_delete_a_suspended_organization_for_good(
    operators: Api, alices: Api, acme: Organization
) -> None:
    assert operators.delete("organizations/acme").error["code"] == "organization_active"
    operators.post("organizations/acme/suspend", {})
    assert operators.delete("organizations/acme").status == 204
    assert alices.get("organizations/acme").status == 401
    acme.refresh_from_db()
    assert acme.status == "deleted"
    assert operators.post(f"organizations/{acme.slug}/resume").error["code"] == (
        "organization_deleted"
    )


def test_in_a_deleted_organization_nothing_is_made_or_changed(
    operators: Api, acme: Organization
) -> None:
    operators.post("organizations/acme/suspend", {})
    operators.delete("organizations/acme")
    acme.refresh_from_db()
    one = f"organizations/{acme.slug}"
    for method, path, body in (
        ("PATCH", one, {"name": "Back"}),
        ("POST", f"{one}/projects", {"slug": "new", "name": "New"}),
        ("POST", f"{one}/members", {"email": "new@example.org"}),
        ("POST", f"{one}/invitations", {"email": "new@example.org"}),
    ):
        answer = operators.ask(method, path, body)
        assert (answer.status, answer.error["code"]) == (409, "organization_deleted")


def test_an_operator_who_is_a_member_is_an_operator(
    operator: User, operators: Api, acme: Organization
) -> None:
    Membership.objects.create(organization=acme, user=operator, role=Membership.Role.VIEWER)
    assert operators.get("organizations/acme").body["role"] == "operator"
    assert operators.patch("organizations/acme", {"name": "Changed"}).status == 200
