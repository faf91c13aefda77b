"""/organizations/X/keys: made once, shown once, limited and changed; members see their own."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.issuance import IssuedKey, issue_key, revoke_key
from accounts.keys import parse
from accounts.models import ApiKey, AuditEvent, KeyRequest, Membership, Organization, Project
from accounts.repeats import KEPT, forget_old_requests
from accounts.tasks import forget_old_requests as forget_task
from tests.api.asking import Api

pytestmark = pytest.mark.django_db
KEYS = "organizations/acme/keys"


@pytest.fixture
def service(project: Project) -> IssuedKey:
    return issue_key(project=project, name="service")


@pytest.fixture
def own(project: Project, his: Membership) -> IssuedKey:
    """A key of Bob's."""
    return issue_key(project=project, name="bob's", owner=his)


def ask_for_key(**fields: Any) -> dict[str, Any]:
    return {"project": "default", "name": "new", **fields}


def test_a_new_key_is_shown_once_and_whole(alices: Api, project: Project) -> None:
    made = alices.post(KEYS, ask_for_key())
    assert made.status == 201
    secret = made.body.pop("secret")
    assert parse(secret, ["tg"]).public_id == made.body["id"]
    again = alices.get(f"{KEYS}/{made.body['id']}")
    assert again.body == made.body
    assert again.etag == made.etag
    assert secret not in str(list(AuditEvent.objects.values()))


def test_a_key_carries_what_it_is_limited_to(alices: Api, project: Project) -> None:
    limits = {
        "models": ["gpt-4o"],
        "endpoints": ["/v1/chat/completions"],
        "networks": ["10.0.0.0/8"],
        "tags": {"team": "search"},
    }
    until = (timezone.now() + timedelta(days=1)).isoformat().replace("+00:00", "Z")
    made = alices.post(KEYS, ask_for_key(**limits, expires_at=until)).body
    assert {name: made[name] for name in limits} == limits
    assert made["expires_at"] == until
    changed = alices.patch(f"{KEYS}/{made['id']}", {"models": [], "expires_at": None}).body
    assert (changed["models"], changed["expires_at"]) == ([], None)
    assert changed["networks"] == ["10.0.0.0/8"]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"project": "never"}, "project"),
        ({"name": ""}, "name"),
        ({"name": "bad\x07"}, "name"),
        ({"networks": ["10.0.0.1/8"]}, "networks"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"expires_at": "tomorrow"}, "expires_at"),
        ({"models": "gpt-4o"}, "models"),
        ({"models": [""]}, "models.0"),
        ({"tags": {"team": 5}}, "tags.team"),
        ({"tags": {"": "x"}}, "tags"),
        ({"owner": 2**63 - 1}, "owner"),
        ({"owner": "bob"}, "owner"),
        ({"status": "active"}, "status"),
        ({"public_id": "AAAAAAAAAAAA"}, "public_id"),
        ({"organization": "globex"}, "organization"),
    ],
)
def test_what_makes_no_key_is_refused_by_its_field(
    alices: Api, project: Project, fields: dict[str, Any], field: str
) -> None:
    answer = alices.post(KEYS, ask_for_key(**fields))
    assert (answer.status, answer.error["field"]) == (400, field)
    assert not ApiKey.objects.exists()


def test_a_repeat_answers_the_same_key_without_its_secret(alices: Api, project: Project) -> None:
    first = alices.post(KEYS, ask_for_key(), Idempotency_Key="one")
    again = alices.post(KEYS, ask_for_key(), Idempotency_Key="one")
    assert (first.status, again.status) == (201, 200)
    assert first.body.pop("secret")
    assert again.body == first.body
    other = alices.post(KEYS, ask_for_key(), Idempotency_Key="two")
    assert other.body["id"] != first.body["id"]


def test_another_request_under_the_same_idempotency_key_is_refused(
    alices: Api, project: Project
) -> None:
    alices.post(KEYS, ask_for_key(), Idempotency_Key="one")
    answer = alices.post(KEYS, ask_for_key(name="other"), Idempotency_Key="one")
    assert (answer.status, answer.error["code"]) == (409, "idempotency_key_reused")
    assert ApiKey.objects.count() == 1


def test_an_idempotency_key_is_forgotten_after_a_day(alices: Api, project: Project) -> None:
    """They were kept for good."""
    first = alices.post(KEYS, ask_for_key(), Idempotency_Key="one")
    alices.post(KEYS, ask_for_key(), Idempotency_Key="fresh")
    old = KeyRequest.objects.filter(idempotency_key="one")
    old.update(made_at=timezone.now() - KEPT + timedelta(minutes=1))
    assert forget_old_requests() == 0
    old.update(made_at=timezone.now() - KEPT)
    forget_task()
    assert KeyRequest.objects.get().idempotency_key == "fresh"
    again = alices.post(KEYS, ask_for_key(), Idempotency_Key="one")
    assert (again.status, again.body["id"] == first.body["id"]) == (201, False)
    assert ApiKey.objects.filter(public_id=first.body["id"]).exists()


def test_idempotency_keys_of_two_people_are_two(alices: Api, bobs: Api, project: Project) -> None:
    hers = alices.post(KEYS, ask_for_key(), Idempotency_Key="one").body
    his = bobs.post(KEYS, ask_for_key(), Idempotency_Key="one").body
    assert hers["id"] != his["id"]
    assert KeyRequest.objects.count() == 2


def test_a_member_makes_keys_of_their_own_and_no_others(
    bobs: Api, project: Project, his: Membership, hers: Membership
) -> None:
    assert bobs.post(KEYS, ask_for_key()).body["owner"] == his.pk
    assert bobs.post(KEYS, ask_for_key(owner=his.pk)).status == 201
    assert bobs.post(KEYS, ask_for_key(owner=None)).status == 403
    assert bobs.post(KEYS, ask_for_key(owner=hers.pk)).status == 403


def test_an_administrators_key_is_a_service_key_unless_an_owner_is_named(
    alices: Api, project: Project, his: Membership
) -> None:
    assert alices.post(KEYS, ask_for_key()).body["owner"] is None
    assert alices.post(KEYS, ask_for_key(owner=his.pk)).body["owner"] == his.pk


def test_a_member_sees_and_changes_their_own_keys_alone(
    bobs: Api, own: IssuedKey, service: IssuedKey
) -> None:
    assert [each["name"] for each in bobs.list_all(KEYS)] == ["bob's"]
    path = f"{KEYS}/{own.key.public_id}"
    assert bobs.patch(path, {"name": "mine"}).body["name"] == "mine"
    foreign = f"{KEYS}/{service.key.public_id}"
    assert bobs.get(foreign).status == 404
    assert bobs.patch(foreign, {"name": "mine"}).status == 404


def test_a_member_sees_their_keys_in_a_suspended_organization_too(
    operators: Api, bobs: Api, own: IssuedKey
) -> None:
    operators.post("organizations/acme/suspend", {})
    path = f"{KEYS}/{own.key.public_id}"
    assert bobs.get(path).status == 200
    assert bobs.patch(path, {"name": "mine"}).status == 403
    assert bobs.post(KEYS, ask_for_key()).status == 403


def test_charlie_sees_no_foreign_key(charlies: Api, service: IssuedKey) -> None:
    number = service.key.public_id
    for path in (f"{KEYS}/{number}", f"organizations/globex/keys/{number}"):
        assert charlies.get(path).status == 404
        assert charlies.patch(path, {"name": "mine"}).status == 404
    assert charlies.get(KEYS).status == 404
    assert charlies.list_all("organizations/globex/keys") == []


def test_charlie_makes_no_key_in_a_foreign_project(
    charlies: Api, project: Project, his: Membership
) -> None:
    mine = "organizations/globex/keys"
    assert charlies.post(KEYS, ask_for_key()).status == 404
    assert charlies.post(mine, ask_for_key()).error["field"] == "project"
    globex = Organization.objects.get(slug="globex")
    Project.objects.create(organization=globex, slug="default", name="Default")
    answer = charlies.post(mine, ask_for_key(owner=his.pk))
    assert answer.error == {
        "code": "invalid",
        "message": "is no member of this organization",
        "field": "owner",
    }


def test_the_list_can_be_filtered(
    alices: Api, acme: Organization, service: IssuedKey, own: IssuedKey, his: Membership
) -> None:
    other = Project.objects.create(organization=acme, slug="other", name="Other")
    issue_key(project=other, name="tagged", tags={"team": "search"})
    revoke_key(service.key)

    def names(**query: Any) -> list[str]:
        return [each["name"] for each in alices.list_all(KEYS, **query)]

    assert names() == ["tagged", "bob's", "service"]
    assert names(status="revoked") == ["service"]
    assert names(project="other") == ["tagged"]
    assert names(owner=his.pk) == ["bob's"]
    assert names(name="tagged") == ["tagged"]
    assert names(tag="team:search") == ["tagged"]
    assert alices.get(KEYS, tag="team").error["field"] == "tag"
    assert alices.get(KEYS, status="gone").error["field"] == "status"
    assert alices.get(KEYS, colour="red").error["field"] == "colour"


def test_a_revoked_key_is_not_changed(alices: Api, service: IssuedKey) -> None:
    revoke_key(service.key)
    answer = alices.patch(f"{KEYS}/{service.key.public_id}", {"name": "new"})
    assert (answer.status, answer.error["code"]) == (409, "revoked")
