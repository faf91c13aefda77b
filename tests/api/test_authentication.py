"""Who is let into the management API: sessions and management keys, and nobody else."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.issuance import issue_key
from accounts.management_keys import issue_management_key, revoke_management_key
from accounts.models import AuditEvent, ManagementKey, Membership, Organization, Project, User
from tests.api.asking import Api, key_api

pytestmark = pytest.mark.django_db


def test_nobody_is_let_in_without_a_login_or_a_key(nobody: Api, acme: Organization) -> None:
    answer = nobody.get("organizations/acme")
    assert answer.status == 401
    assert answer.error["code"] == "not_authenticated"
    assert answer.headers["www-authenticate"] == 'Bearer realm="management API"'


def test_a_key_of_the_proxied_api_does_not_open_this_one(project: Project) -> None:
    answer = Api(key=issue_key(project=project, name="ci").plaintext).get("organizations")
    assert answer.status == 401
    assert answer.error["code"] == "key_malformed"


@pytest.mark.parametrize("text", ["", "tgm_", "x" * 5000, "tgm_" + "a" * 50, "ключ"])
def test_what_is_no_key_is_refused_without_being_repeated(db: None, text: str) -> None:
    client = Client(raise_request_exception=False, headers={"authorization": f"Bearer {text}"})
    answer = client.get("/api/v1/organizations")
    assert answer.status_code == 401
    assert not text or text not in answer.content.decode()


def test_a_key_with_a_wrong_secret_is_unknown(alice: User, acme: Organization) -> None:
    right = issue_management_key(organization=acme, name="ci", scope="read", made_by=alice)
    other = issue_management_key(organization=acme, name="ci", scope="read", made_by=alice)
    ManagementKey.objects.filter(pk=right.key.pk).update(mac=bytes(32))
    assert Api(key=right.plaintext).get("organizations").error["code"] == "key_unknown"
    assert Api(key=other.plaintext).get("organizations").status == 200


def test_revoked_and_expired_keys_are_refused(alice: User, acme: Organization) -> None:
    issued = issue_management_key(organization=acme, name="ci", scope="read", made_by=alice)
    api = Api(key=issued.plaintext)
    past = timezone.now() - timedelta(seconds=1)
    ManagementKey.objects.filter(pk=issued.key.pk).update(expires_at=past)
    assert api.get("organizations").error["code"] == "key_expired"
    revoke_management_key(issued.key)
    assert api.get("organizations").error["code"] == "key_revoked"


def test_a_reading_key_reads_and_does_not_write(alice: User, acme: Organization) -> None:
    api = key_api(alice, acme, scope="read")
    assert api.get("organizations/acme").status == 200
    answer = api.patch("organizations/acme", {"name": "Changed"})
    assert (answer.status, answer.error["code"]) == (403, "read_only_key")


def test_a_key_is_at_home_in_its_own_organization_alone(
    alice: User, acme: Organization, charlies: Api
) -> None:
    Membership.objects.create(
        organization=Organization.objects.get(slug="globex"), user=alice, role="owner"
    )
    api = key_api(alice, acme)
    assert [each["slug"] for each in api.list_all("organizations")] == ["acme"]
    assert api.get("organizations/globex").status == 404


def test_a_key_can_do_what_its_maker_can_do_now(
    alice: User, acme: Organization, hers: Membership
) -> None:
    api = key_api(alice, acme)
    assert api.post("organizations/acme/projects", {"slug": "a", "name": "A"}).status == 201
    hers.role = Membership.Role.VIEWER
    hers.save()
    assert api.post("organizations/acme/projects", {"slug": "b", "name": "B"}).status == 403
    hers.left_at = timezone.now()
    hers.save()
    assert api.get("organizations/acme").status == 404
    assert api.get("organizations").body["items"] == []


def test_a_key_is_never_an_owner(alice: User, acme: Organization, hers: Membership) -> None:
    api = key_api(alice, acme)
    assert api.get("organizations/acme").body["role"] == "admin"
    invited = api.post(
        "organizations/acme/invitations", {"email": "new@example.org", "role": "owner"}
    )
    assert invited.status == 403
    assert api.delete(f"organizations/acme/members/{hers.pk}").status == 403


def test_the_key_of_an_operator_is_everywhere_until_they_are_none(
    operator: User, acme: Organization
) -> None:
    api = key_api(operator, None)
    assert api.get("organizations/acme").body["role"] == "operator"
    assert api.post("organizations", {"slug": "new", "name": "New"}).status == 201
    operator.is_staff = False
    operator.save()
    assert api.get("organizations/acme").status == 404
    assert api.post("organizations", {"slug": "newer", "name": "New"}).status == 403
    operator.is_active = False
    operator.save()
    assert api.get("organizations").status == 401


def test_an_operators_key_of_one_organization_is_no_operator(
    operator: User, acme: Organization
) -> None:
    api = key_api(operator, acme)
    assert api.get("organizations/acme").body["role"] == "admin"
    assert api.post("organizations", {"slug": "new", "name": "New"}).status == 403
    assert api.get("audit").status == 403


def test_a_write_in_a_session_needs_its_csrf_token(alice: User, acme: Organization) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice)
    change: dict[str, Any] = {"data": '{"name": "X"}', "content_type": "application/json"}
    assert client.patch("/api/v1/organizations/acme", **change).status_code == 403
    client.get("/docs/api")
    token = client.cookies["csrftoken"].value
    changed = client.patch("/api/v1/organizations/acme", headers={"x-csrftoken": token}, **change)
    assert changed.status_code == 200


def test_a_write_with_a_key_needs_no_token(alice: User, acme: Organization) -> None:
    issued = issue_management_key(organization=acme, name="ci", scope="write", made_by=alice)
    client = Client(enforce_csrf_checks=True)
    changed = client.patch(
        "/api/v1/organizations/acme",
        '{"name": "X"}',
        content_type="application/json",
        headers={"authorization": f"Bearer {issued.plaintext}"},
    )
    assert changed.status_code == 200


def test_the_audit_names_the_person_or_the_key(
    alice: User, alices: Api, acme: Organization
) -> None:
    alices.patch("organizations/acme", {"name": "By hand"})
    key = issue_management_key(organization=acme, name="ci", scope="write", made_by=alice)
    Api(key=key.plaintext).patch("organizations/acme", {"name": "By program"})
    events = AuditEvent.objects.filter(object_kind="organization", action="update")
    assert [(each.actor, each.via, each.address) for each in events.order_by("id")] == [
        ("alice@example.org", "api", "127.0.0.1"),
        (f"management key {key.key.public_id}", "api", "127.0.0.1"),
    ]


def test_no_answer_is_kept_by_what_lies_between(alices: Api, nobody: Api) -> None:
    for api in (alices, nobody):
        answer = api.get("organizations/acme")
        assert answer.headers["cache-control"] == "no-store"
        assert len(answer.headers["x-request-id"]) == 36
