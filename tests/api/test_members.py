"""/organizations/X/members: who is in it, with which role, and who may change that."""

import pytest

from accounts.issuance import issue_key
from accounts.models import Membership, Organization, Project, User
from tests.api.asking import Api, key_api

pytestmark = pytest.mark.django_db
MEMBERS = "organizations/acme/members"


def test_administrators_see_who_is_in_it(alices: Api, his: Membership) -> None:
    members = alices.list_all(MEMBERS)
    assert [(each["email"], each["role"]) for each in members] == [
        ("bob@example.org", "member"),
        ("alice@example.org", "owner"),
    ]
    assert alices.get(f"{MEMBERS}/{his.pk}").body == members[0]


def test_members_do_not_see_each_other(bobs: Api, hers: Membership) -> None:
    assert bobs.get(MEMBERS).status == 403
    assert bobs.get(f"{MEMBERS}/{hers.pk}").status == 403


def test_charlie_sees_nobody_of_a_foreign_organization(charlies: Api, his: Membership) -> None:
    assert charlies.get(MEMBERS).status == 404
    assert charlies.get(f"{MEMBERS}/{his.pk}").status == 404
    assert charlies.get(f"organizations/globex/members/{his.pk}").status == 404
    assert charlies.patch(f"organizations/globex/members/{his.pk}", {"role": "admin"}).status == 404
    assert charlies.delete(f"organizations/globex/members/{his.pk}").status == 404
    his.refresh_from_db()
    assert (his.role, his.left_at) == ("member", None)


def test_the_list_can_be_filtered(alices: Api, his: Membership) -> None:
    assert [each["email"] for each in alices.list_all(MEMBERS, role="owner")] == [
        "alice@example.org"
    ]
    assert [each["id"] for each in alices.list_all(MEMBERS, email="BOB@example.org")] == [his.pk]
    alices.delete(f"{MEMBERS}/{his.pk}")
    assert [each["id"] for each in alices.list_all(MEMBERS, left="true")] == [his.pk]


def test_an_owner_changes_a_role(alices: Api, his: Membership) -> None:
    changed = alices.patch(f"{MEMBERS}/{his.pk}", {"role": "admin"})
    assert (changed.status, changed.body["role"]) == (200, "admin")


def test_an_unknown_role_is_refused(alices: Api, his: Membership) -> None:
    answer = alices.patch(f"{MEMBERS}/{his.pk}", {"role": "operator"})
    assert (answer.status, answer.error["field"]) == (400, "role")


def test_an_administrator_makes_and_unmakes_no_owner(
    alices: Api, bobs: Api, his: Membership, hers: Membership
) -> None:
    alices.patch(f"{MEMBERS}/{his.pk}", {"role": "admin"})
    assert bobs.patch(f"{MEMBERS}/{his.pk}", {"role": "owner"}).status == 403
    assert bobs.patch(f"{MEMBERS}/{hers.pk}", {"role": "viewer"}).status == 403
    assert bobs.delete(f"{MEMBERS}/{hers.pk}").status == 403


def test_the_last_owner_stays_one(alices: Api, hers: Membership) -> None:
    for answer in (
        alices.patch(f"{MEMBERS}/{hers.pk}", {"role": "admin"}),
        alices.delete(f"{MEMBERS}/{hers.pk}"),
    ):
        assert (answer.status, answer.error["code"]) == (409, "last_owner")
    hers.refresh_from_db()
    assert (hers.role, hers.left_at) == ("owner", None)


def test_who_is_removed_is_out_at_once(alices: Api, bobs: Api, his: Membership) -> None:
    assert alices.delete(f"{MEMBERS}/{his.pk}").status == 204
    assert bobs.get("organizations/acme").status == 401
    assert alices.delete(f"{MEMBERS}/{his.pk}").status == 404
    assert alices.get(f"{MEMBERS}/{his.pk}").body["left_at"] is not None


def test_operators_add_somebody_without_a_letter(operators: Api, acme: Organization) -> None:
    added = operators.post(MEMBERS, {"email": "New@Example.org", "role": "admin"})
    assert (added.status, added.body["email"]) == (201, "new@example.org")
    assert not User.objects.get(email="new@example.org").has_usable_password()
    again = operators.post(MEMBERS, {"email": "new@example.org"})
    assert (again.status, again.error["field"]) == (400, "email")


def test_others_invite_instead(alices: Api) -> None:
    assert alices.post(MEMBERS, {"email": "new@example.org"}).status == 403


def test_the_keys_of_who_leaves_are_handed_over(
    alices: Api, his: Membership, hers: Membership, project: Project
) -> None:
    key = issue_key(project=project, name="his", owner=his).key
    alices.delete(f"{MEMBERS}/{his.pk}")
    body = {"owner": hers.pk, "ids": [key.public_id]}
    assert alices.post("organizations/acme/keys/hand-over", body).body == {"moved": 1}
    key.refresh_from_db()
    assert key.owner == hers


def test_a_member_leaves_in_person_and_the_last_owner_stays(
    alices: Api, bobs: Api, bob: User, acme: Organization
) -> None:
    program = key_api(bob, acme).post("organizations/acme/leave", {})
    assert (program.status, program.error["code"]) == (403, "person_needed")
    assert bobs.post("organizations/acme/leave", {}, if_match='"another"').status == 412
    assert bobs.post("organizations/acme/leave", {}).status == 204
    assert Membership.objects.get(user=bob).left_at is not None
    last = alices.post("organizations/acme/leave", {})
    assert (last.status, last.error["code"]) == (409, "last_owner")
