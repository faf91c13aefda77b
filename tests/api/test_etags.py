"""A write with If-Match happens to what was read, or not at all."""

import pytest

from accounts.issuance import issue_key
from accounts.models import Membership, Organization, Project
from tests.api.asking import Api

pytestmark = pytest.mark.django_db


def test_a_change_of_what_was_read_is_done_once(alices: Api) -> None:
    read = alices.get("organizations/acme").etag
    changed = alices.patch("organizations/acme", {"name": "One"}, If_Match=read)
    assert changed.status == 200
    assert changed.etag == alices.get("organizations/acme").etag != read
    late = alices.patch("organizations/acme", {"name": "Two"}, If_Match=read)
    assert (late.status, late.error["code"]) == (412, "precondition_failed")
    assert alices.get("organizations/acme").body["name"] == "One"


@pytest.mark.parametrize("value", ['"never"', "never", "", 'W/"never"', "é"])
def test_any_other_tag_is_another_object(alices: Api, value: str) -> None:
    assert alices.patch("organizations/acme", {"name": "X"}, If_Match=value).status == 412


def test_one_of_several_tags_or_a_star_is_enough(alices: Api) -> None:
    read = alices.get("organizations/acme").etag
    several = alices.patch("organizations/acme", {"name": "One"}, If_Match=f'"never", {read}')
    assert several.status == 200
    assert alices.patch("organizations/acme", {"name": "Two"}, If_Match="*").status == 200


def test_what_is_known_already_is_not_sent_again(alices: Api) -> None:
    read = alices.get("organizations/acme").etag
    again = alices.get("organizations/acme", headers={"If-None-Match": read})
    assert (again.status, again.body, again.etag) == (304, None, read)
    alices.patch("organizations/acme", {"name": "One"})
    assert alices.get("organizations/acme", headers={"If-None-Match": read}).status == 200


def test_every_change_of_one_object_compares_it(
    alices: Api, operators: Api, project: Project, his: Membership, acme: Organization
) -> None:
    key = issue_key(project=project, name="ci").key.public_id
    made = alices.post("organizations/acme/management-keys", {"name": "ci", "scope": "read"}).body[
        "id"
    ]
    invited = alices.post("organizations/acme/invitations", {"email": "new@example.org"}).body["id"]
    one = "organizations/acme"
    for method, path, body in (
        ("POST", f"{one}/suspend", {}),
        ("POST", f"{one}/resume", {}),
        ("DELETE", one, None),
        ("PATCH", f"{one}/members/{his.pk}", {"role": "viewer"}),
        ("DELETE", f"{one}/members/{his.pk}", None),
        ("DELETE", f"{one}/invitations/{invited}", None),
        ("PATCH", f"{one}/projects/default", {"name": "New"}),
        ("POST", f"{one}/projects/default/archive", None),
        ("POST", f"{one}/projects/default/unarchive", None),
        ("PATCH", f"{one}/keys/{key}", {"name": "new"}),
        ("POST", f"{one}/keys/{key}/rotate", {}),
        ("POST", f"{one}/keys/{key}/disable", None),
        ("POST", f"{one}/keys/{key}/enable", None),
        ("POST", f"{one}/keys/{key}/revoke", {}),
        ("POST", f"{one}/management-keys/{made}/revoke", None),
    ):
        assert operators.ask(method, path, body, If_Match='"never"').status == 412, path
    acme.refresh_from_db()
    assert acme.status == "active"
