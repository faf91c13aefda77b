"""Projects, their keys, service accounts and admin keys, asked by OpenAI's own client."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone
from openai import (
    APIStatusError,
    BadRequestError,
    ConflictError,
    NotFoundError,
    PermissionDeniedError,
)

from accounts.issuance import IssuedKey
from accounts.models import ApiKey, AuditEvent, ManagementKey, Organization, Project, User
from tests.billing.facts import make_event, store
from tests.calls.serving import Served, in_django
from tests.organization.conftest import Client, make_management_key

pytestmark = pytest.mark.django_db(transaction=True)


async def test_a_project_is_made_renamed_and_archived(client: Client, alices_key: str) -> None:
    projects = client(alices_key).admin.organization.projects
    made = await projects.create(name="Search & Find")
    assert (made.id, made.name, made.status) == ("search-find", "Search & Find", "active")
    again = await projects.create(name="Search & Find")
    assert again.id == "search-find-2"
    assert (await projects.update(made.id, name="Find")).name == "Find"
    archived = await projects.archive(made.id)
    assert (archived.status, archived.archived_at is not None) == ("archived", True)
    assert (await projects.retrieve(made.id)).status == "archived"
    assert [each.id async for each in projects.list()] == ["search-find-2", "default"]
    everything = [each.id async for each in projects.list(include_archived=True)]
    assert everything == ["search-find-2", "search-find", "default"]
    event = await in_django(lambda: AuditEvent.objects.filter(object_kind="project").latest("id"))
    assert (event.actor.split()[0], event.via) == ("management", "api")


async def test_lists_go_on_after_the_last_one(
    client: Client, alices_key: str, acme: Organization
) -> None:
    def make() -> None:
        for number in range(5):
            Project.objects.create(organization=acme, slug=f"p{number}", name="P")

    await in_django(make)
    projects = client(alices_key).admin.organization.projects
    found = [each.id async for each in projects.list(limit=2)]
    assert found == ["p4", "p3", "p2", "p1", "p0", "default"]
    with pytest.raises(BadRequestError, match="after"):
        await projects.list(after="never")


async def test_keys_are_shown_with_their_owner_and_no_secret(
    client: Client, alices_key: str, service: IssuedKey, own: IssuedKey
) -> None:
    now = timezone.now().replace(microsecond=0)
    event = make_event(
        now, organization=own.key.organization_id, project=own.key.project_id, key=own.key.pk
    )
    await in_django(store, [event])
    keys = client(alices_key).admin.organization.projects.api_keys
    found = {each.name: each async for each in keys.list("default")}
    assert found["bob's"].owner.user is not None
    assert found["bob's"].owner.user.email == "bob@example.org"
    assert found["bob's"].last_used_at == int(now.timestamp())
    assert found["service"].owner.service_account is not None
    assert found["service"].last_used_at is None
    shown = await keys.retrieve(service.key.public_id, project_id="default")
    assert shown == found["service"]
    assert service.plaintext.split("_")[1][12:] not in str(found)


async def test_a_deleted_key_is_revoked(
    client: Client, alices_key: str, service: IssuedKey
) -> None:
    keys = client(alices_key).admin.organization.projects.api_keys
    gone = await keys.delete(service.key.public_id, project_id="default")
    assert (gone.deleted, gone.id) == (True, service.key.public_id)
    with pytest.raises(NotFoundError):
        await keys.delete(service.key.public_id, project_id="default")
    await in_django(service.key.refresh_from_db)
    assert (service.key.status, service.key.revoke_reason) == ("revoked", "deleted by API")


async def test_a_service_account_is_a_key_that_works(
    client: Client, served: Served, alices_key: str, service: IssuedKey
) -> None:
    accounts = client(alices_key).admin.organization.projects.service_accounts
    made = await accounts.create("default", name="ci", expires_in_seconds=3_600)
    assert made.api_key is not None
    assert made.api_key.expires_at is not None
    row = await in_django(ApiKey.objects.get, public_id=made.id)
    assert (row.owner_id, row.name) == (None, "ci")
    headers = {"authorization": f"Bearer {made.api_key.value}"}

    async def is_known() -> bool:
        return (await served.client.get("/v1/me", headers=headers)).status_code == 200

    deadline = datetime.now(UTC) + timedelta(seconds=5)
    while not await is_known():
        assert datetime.now(UTC) < deadline, "the gateway does not know it after 5 s"
    assert (await accounts.retrieve(made.id, project_id="default")).name == "ci"
    assert {each.id async for each in accounts.list("default")} == {
        made.id,
        service.key.public_id,
    }
    assert (await accounts.delete(made.id, project_id="default")).deleted


async def test_admin_keys_are_management_keys(client: Client, alices_key: str) -> None:
    keys = client(alices_key).admin.organization.admin_api_keys
    made = await keys.create(name="deploy", expires_in_seconds=3_600)
    assert made.object == "organization.admin_api_key"
    assert made.expires_at is not None
    child = client(made.value).admin.organization
    assert [each.id async for each in child.projects.list()] == ["default"]
    listed = {each.id: each async for each in keys.list()}
    assert made.value not in str(listed)
    assert listed[made.id].owner.name == "Alice"
    assert (await keys.retrieve(made.id)).name == "deploy"
    assert (await keys.delete(made.id)).deleted
    with pytest.raises(APIStatusError) as refused:
        await child.projects.list()
    assert refused.value.status_code == 401


async def test_deleting_a_key_ends_what_was_made_with_it(client: Client, alices_key: str) -> None:
    first = await client(alices_key).admin.organization.admin_api_keys.create(name="first")
    second = await client(first.value).admin.organization.admin_api_keys.create(name="second")
    await client(alices_key).admin.organization.admin_api_keys.delete(first.id)
    row = await in_django(ManagementKey.objects.get, public_id=second.id)
    assert row.revoked_at is not None


async def test_a_member_sees_and_ends_their_own_keys_alone(
    client: Client, bobs_key: str, service: IssuedKey, own: IssuedKey
) -> None:
    organization = client(bobs_key).admin.organization
    keys = organization.projects.api_keys
    assert [each.id async for each in keys.list("default")] == [own.key.public_id]
    with pytest.raises(NotFoundError):
        await keys.delete(service.key.public_id, project_id="default")
    for refused in (
        organization.projects.create(name="mine"),
        organization.projects.archive("default"),
        organization.projects.service_accounts.create("default", name="mine"),
        organization.admin_api_keys.list(),
        organization.admin_api_keys.create(name="mine"),
    ):
        with pytest.raises(PermissionDeniedError):
            await refused
    assert (await keys.delete(own.key.public_id, project_id="default")).deleted


async def test_charlie_finds_nothing_of_a_foreign_organization(
    client: Client, charlies_key: str, alices_key: str, service: IssuedKey
) -> None:
    organization = client(charlies_key).admin.organization
    hers = await in_django(ManagementKey.objects.get, made_by__email="alice@example.org")
    assert [each.id async for each in organization.projects.list()] == []
    for refused in (
        organization.projects.retrieve("default"),
        organization.projects.update("default", name="mine"),
        organization.projects.archive("default"),
        organization.projects.api_keys.list("default"),
        organization.projects.api_keys.delete(service.key.public_id, project_id="default"),
        organization.projects.service_accounts.create("default", name="mine"),
        organization.admin_api_keys.retrieve(hers.public_id),
        organization.admin_api_keys.delete(hers.public_id),
    ):
        with pytest.raises(NotFoundError):
            await refused
    foreign = client(charlies_key, organization="acme").admin.organization
    with pytest.raises(PermissionDeniedError):
        await foreign.projects.list()
    await in_django(service.key.refresh_from_db)
    assert service.key.status == "active"


async def test_an_operators_key_names_the_organization(
    client: Client, operator: User, service: IssuedKey
) -> None:
    key = await in_django(make_management_key, operator, None)
    named = client(key, organization="acme").admin.organization
    assert [each.id async for each in named.projects.list()] == ["default"]
    with pytest.raises(BadRequestError, match="OpenAI-Organization"):
        await client(key).admin.organization.projects.list()
    with pytest.raises(PermissionDeniedError):
        await client(key, organization="never").admin.organization.projects.list()


async def test_a_reading_key_writes_nothing(
    client: Client, alice: User, acme: Organization, service: IssuedKey
) -> None:
    key = await in_django(make_management_key, alice, acme, scope="read")
    organization = client(key).admin.organization
    assert [each.id async for each in organization.projects.list()] == ["default"]
    for refused in (
        organization.projects.create(name="new"),
        organization.projects.api_keys.delete(service.key.public_id, project_id="default"),
        organization.admin_api_keys.create(name="more"),
    ):
        with pytest.raises(PermissionDeniedError, match="only read"):
            await refused


async def test_what_contradicts_is_a_conflict(
    client: Client, alices_key: str, acme: Organization, operator: User
) -> None:
    def delete() -> None:
        acme.status = Organization.Status.DELETED
        acme.save()

    key = await in_django(make_management_key, operator, None)
    await in_django(delete)
    projects = client(key, organization="acme").admin.organization.projects
    with pytest.raises(ConflictError):
        await projects.create(name="late")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"{}", "name"),
        (b'{"name": 5}', "name"),
        (b'{"name": ""}', "name"),
        (b'{"name": "x", "colour": "red"}', "colour"),
        (b'{"name": "x", "residency": {"region": "eu"}}', "residency"),
        (b"[]", None),
        (b"{", None),
    ],
)
async def test_what_makes_no_project_is_refused_by_its_field(
    served: Served, alices_key: str, body: bytes, field: str | None
) -> None:
    answer = await served.client.post(
        "/v1/organization/projects",
        content=body,
        headers={"authorization": f"Bearer {alices_key}"},
    )
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == field


async def test_keys_of_calls_and_nobody_are_refused(
    served: Served, service: IssuedKey, alices_key: str
) -> None:
    path = "/v1/organization/projects"
    for key in (service.plaintext, "tgm_nonsense", ""):
        headers: dict[str, Any] = {"authorization": f"Bearer {key}".strip()}
        answer = await served.client.get(path, headers=headers)
        assert answer.status_code == 401
        assert answer.json()["error"]["code"] == "invalid_api_key"
    ours = {"authorization": f"Bearer {alices_key}"}
    assert (await served.client.get("/v1/models", headers=ours)).status_code == 401
    assert (await served.client.get("/v1/organization/never", headers=ours)).status_code == 404
    put = await served.client.put(path, headers=ours)
    assert (put.status_code, put.headers["allow"]) == (405, "GET, POST")


async def test_who_guesses_has_to_wait(served: Served, alices_key: str) -> None:
    statuses = [
        (
            await served.client.get(
                "/v1/organization/projects", headers={"authorization": f"Bearer tgm_{number}"}
            )
        ).status_code
        for number in range(32)
    ]
    assert set(statuses[:30]) == {401}
    assert statuses[31] == 429
