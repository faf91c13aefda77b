"""The audit by OpenAI's own client: who changed what, by its names of events."""

from __future__ import annotations

from typing import Any

import pytest
from openai import BadRequestError, PermissionDeniedError

from accounts.invitations import invite, revoke_invitation
from accounts.issuance import change_key, issue_key, revoke_key
from accounts.members import add_member, change_role, remove_member
from accounts.models import AuditEvent, Organization, Project, User
from accounts.organizations import archive_project, make_project, rename_project
from billing.quotas import end_quota, parse_quota, set_quota
from gateway.endpoints.organization.audit_logs import _is_of_type, name_type
from tests.calls.serving import in_django
from tests.organization.conftest import Client

pytestmark = pytest.mark.django_db(transaction=True)


def live(acme: Organization, alice: User) -> None:
    """Everything that has a name of its own happens once."""
    project = make_project(acme, slug="search", name="Search")
    rename_project(project, "Find")
    key = issue_key(project=project, name="ci").key
    change_key(key, {"name": "deploy"})
    revoke_key(key, "leaked")
    fields = parse_quota({"unit": "cost", "limit": "1.00", "window": "day"}, scope="project")
    place: dict[str, Any] = {"organization": acme.pk, "scope": "project", "scope_id": project.pk}
    quota, _ = set_quota(**place, fields=fields)
    end_quota(quota)
    member = add_member(acme, email="dave@example.org", role="member")
    change_role(member, "viewer")
    remove_member(member)
    revoke_invitation(invite(acme, email="eve@example.org", role="member", invited_by=alice)[0])
    archive_project(project)


HAPPENED = [
    *("project.created", "project.updated", "api_key.created", "api_key_secret.created"),
    "api_key.updated",
    *("api_key.deleted", "rate_limit.created", "rate_limit.deleted", "user.added"),
    *("user.updated", "user.deleted", "invite.sent", "invite.deleted", "project.archived"),
]


async def test_what_happened_is_told_by_openais_names(
    client: Client, alices_key: str, acme: Organization, alice: User
) -> None:
    logs = client(alices_key).admin.organization.audit_logs
    before = (await logs.list(limit=1)).data[0].id
    await in_django(live, acme, alice)
    found = [each async for each in logs.list(limit=3) if int(each.id) > int(before)]
    assert [each.type for each in reversed(found)] == HAPPENED
    made = next(each for each in found if each.type == "api_key.created")
    assert made.project is not None
    assert (made.project.id, made.project.name) == ("search", "Find")
    for name in HAPPENED:
        only = await logs.list(event_types=[name], limit=100)  # type: ignore[list-item]
        assert {each.type for each in only.data} == {name}


async def test_who_did_it_and_what_it_was_is_there(client: Client, alices_key: str) -> None:
    program = client(alices_key)
    project = await program.admin.organization.projects.create(name="New")
    logs = program.admin.organization.audit_logs
    [log] = (await logs.list(resource_ids=[project.id])).data
    assert log.actor is not None
    assert log.actor.api_key is not None
    assert log.actor.api_key.id == alices_key.partition("_")[2][:12]
    assert log.project_created is not None
    assert log.project_created.id == "new"
    mine = await logs.list(actor_ids=[log.actor.api_key.id], project_ids=["new"])
    assert [each.id for each in mine.data] == [log.id]
    assert (await logs.list(actor_emails=["nobody@example.org"])).data == []
    assert (await logs.list(effective_at={"gt": log.effective_at + 1})).data == []
    since = await logs.list(effective_at={"gte": log.effective_at, "lt": log.effective_at + 1})
    assert log.id in [each.id for each in since.data]


async def test_pages_go_both_ways(
    client: Client, alices_key: str, acme: Organization, alice: User
) -> None:
    logs = client(alices_key).admin.organization.audit_logs
    await in_django(live, acme, alice)
    every = [each.id for each in (await logs.list(limit=100)).data]
    assert [each.id for each in (await logs.list(limit=3, after=every[2])).data] == every[3:6]
    assert [each.id for each in (await logs.list(limit=3, before=every[5])).data] == every[2:5]


async def test_what_cannot_be_read_is_named(client: Client, alices_key: str) -> None:
    logs = client(alices_key).admin.organization.audit_logs
    for name, query in (
        ("after", {"after": "x"}),
        ("tenant_only", {"tenant_only": True}),
        ("effective_at[gt]", {"effective_at": {"gt": "soon"}}),
        ("limit", {"limit": 101}),
        ("colour", {"extra_query": {"colour": "red"}}),
    ):
        with pytest.raises(BadRequestError) as refused:
            await logs.list(**query)
        assert refused.value.param == name


async def test_bob_may_not_and_charlie_sees_his_own(
    client: Client, bobs_key: str, charlies_key: str, project: Project
) -> None:
    with pytest.raises(PermissionDeniedError):
        await client(bobs_key).admin.organization.audit_logs.list()
    theirs = client(charlies_key).admin.organization.audit_logs.list(limit=100)
    assert "project.created" not in [each.type async for each in theirs]


def test_names_are_asked_for_as_they_are_given(acme: Organization, alice: User) -> None:
    live(acme, alice)
    for event in AuditEvent.objects.all():
        named = AuditEvent.objects.filter(_is_of_type(name_type(event)))
        assert event in named
        assert {name_type(each) for each in named} == {name_type(event)}
