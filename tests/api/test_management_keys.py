"""/management-keys: shown once, ended for good with all that was made with them."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import AuditEvent, ManagementKey, Membership, Organization, User
from tests.api.asking import Api, key_api

pytestmark = pytest.mark.django_db
OURS = "organizations/acme/management-keys"
OPERATORS = "management-keys"


@pytest.mark.parametrize("path", [OURS, OPERATORS])
def test_a_management_key_works_and_its_text_is_kept_nowhere(
    operators: Api, acme: Organization, path: str
) -> None:
    made = operators.post(path, {"name": "ci", "scope": "write"})
    assert made.status == 201
    secret = made.body.pop("secret")
    assert secret.startswith("tgm_")
    assert Api(key=secret).patch("organizations/acme", {"name": "By key"}).status == 200
    assert operators.get(f"{path}/{made.body['id']}").body == made.body
    assert operators.list_all(path) == [made.body]
    assert secret not in str(list(AuditEvent.objects.values()))


@pytest.mark.parametrize("path", [OURS, OPERATORS])
def test_a_revoked_one_is_refused_from_then_on(
    operators: Api, acme: Organization, path: str
) -> None:
    made = operators.post(path, {"name": "ci", "scope": "read"}).body
    revoked = operators.post(f"{path}/{made['id']}/revoke")
    assert revoked.body["revoked_at"] is not None
    assert operators.post(f"{path}/{made['id']}/revoke").body == revoked.body
    assert Api(key=made["secret"]).get("organizations").error["code"] == "key_revoked"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"scope": "read"}, "name"),
        ({"name": "ci"}, "scope"),
        ({"name": "ci", "scope": "all"}, "scope"),
        ({"name": "ci", "scope": "read", "expires_at": "2020-01-01"}, "expires_at"),
        ({"name": "c\ti", "scope": "read"}, "name"),
        ({"name": "ci", "scope": "read", "organization": "globex"}, "organization"),
    ],
)
def test_what_makes_no_key_is_refused_by_its_field(
    alices: Api, fields: dict[str, str], field: str
) -> None:
    answer = alices.post(OURS, fields)
    assert (answer.status, answer.error["field"]) == (400, field)
    assert not ManagementKey.objects.exists()


def test_it_ends_when_it_was_said_to(alices: Api) -> None:
    until = timezone.now() + timedelta(days=1)
    made = alices.post(OURS, {"name": "ci", "scope": "read", "expires_at": until.isoformat()})
    assert ManagementKey.objects.get(public_id=made.body["id"]).expires_at == until


def test_what_a_program_makes_ends_with_its_key(alices: Api) -> None:
    parent = alices.post(OURS, {"name": "parent", "scope": "write"}).body
    child = Api(key=parent["secret"]).post(OURS, {"name": "child", "scope": "write"}).body
    grandchild = Api(key=child["secret"]).post(OURS, {"name": "grandchild", "scope": "read"}).body
    assert (child["made_with"], grandchild["made_with"]) == (parent["id"], child["id"])
    assert (parent["made_with"], child["made_by"]) == (None, "alice@example.org")
    alices.post(f"{OURS}/{parent['id']}/revoke")
    for made in (parent, child, grandchild):
        assert Api(key=made["secret"]).get("organizations").error["code"] == "key_revoked"


def test_what_a_program_makes_does_not_outlive_its_key(alices: Api) -> None:
    until = (timezone.now() + timedelta(days=1)).isoformat().replace("+00:00", "Z")
    parent = alices.post(OURS, {"name": "ci", "scope": "write", "expires_at": until}).body
    program = Api(key=parent["secret"])
    assert program.post(OURS, {"name": "more", "scope": "read"}).body["expires_at"] == until
    late = {"name": "more", "scope": "read", "expires_at": "2099-01-01T00:00:00Z"}
    assert program.post(OURS, late).error["field"] == "expires_at"


def test_the_program_of_an_organization_makes_none_for_operators(
    alice: User, operator: User, acme: Organization
) -> None:
    for maker in (alice, operator):
        assert key_api(maker, acme).post(OPERATORS, {"name": "x", "scope": "read"}).status == 403
    reader = key_api(alice, acme, scope="read")
    assert reader.post(OURS, {"name": "more", "scope": "write"}).status == 403


def test_members_see_and_make_none(bobs: Api) -> None:
    assert bobs.get(OURS).status == 403
    assert bobs.post(OURS, {"name": "ci", "scope": "read"}).status == 403


def test_those_of_operators_are_for_operators(alices: Api, operators: Api) -> None:
    made = operators.post(OPERATORS, {"name": "ci", "scope": "read"}).body
    assert alices.get(OPERATORS).status == 403
    assert alices.get(f"{OPERATORS}/{made['id']}").status == 403
    assert alices.get(f"{OURS}/{made['id']}").status == 404
    assert alices.post(f"{OURS}/{made['id']}/revoke").status == 404


def test_charlie_sees_and_ends_no_foreign_one(alices: Api, charlies: Api) -> None:
    made = alices.post(OURS, {"name": "ci", "scope": "read"}).body
    assert charlies.get(OURS).status == 404
    for path in (f"{OURS}/{made['id']}", f"organizations/globex/management-keys/{made['id']}"):
        assert charlies.get(path).status == 404
        assert charlies.post(f"{path}/revoke").status == 404
    assert Api(key=made["secret"]).get("organizations").status == 200


def test_whoever_is_administrator_ends_the_key_of_another(
    alices: Api, bob: User, bobs: Api, his: Membership, acme: Organization
) -> None:
    his.role = Membership.Role.ADMIN
    his.save()
    made = bobs.post(OURS, {"name": "bob's", "scope": "write"}).body
    assert alices.list_all(OURS)[0]["made_by"] == "bob@example.org"
    assert alices.post(f"{OURS}/{made['id']}/revoke").status == 200
