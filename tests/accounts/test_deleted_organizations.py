"""Deleting is final, also for who had read the organization before and writes at that moment."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import Permission
from django.db import IntegrityError, connection, transaction

from accounts.ending import delete_organization
from accounts.errors import AccountsError, InvitationIsOver, LastOwner, OrganizationIsDeleted
from accounts.invitations import accept_invitation, find_invitation, invite
from accounts.issuance import issue_key
from accounts.members import add_member, change_role, join, remove_member
from accounts.models import ApiKey, Membership, Organization, Project, User
from accounts.organizations import (
    change_organization,
    make_organization,
    make_project,
    resume_organization,
    suspend_organization,
)

pytestmark = pytest.mark.django_db
TURN = "SELECT pg_advisory_xact_lock(8390043843661231205)"
WAITING = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"


@pytest.fixture
def stale(acme: Organization) -> Organization:
    """acme as somebody read it before it was deleted."""
    stale = Organization.objects.get(pk=acme.pk)
    delete_organization(acme)
    return stale


def test_no_function_brings_anything_into_a_deleted_organization(
    project: Project, stale: Organization, charlie: User
) -> None:
    attempts: list[Callable[[], Any]] = [
        lambda: resume_organization(stale),
        lambda: suspend_organization(stale, "late"),
        lambda: change_organization(stale, {"name": "Back"}),
        lambda: make_project(stale, slug="new", name="New"),
        lambda: join(stale, charlie, "owner"),
        lambda: add_member(stale, email="new@example.org", role="owner"),
        lambda: invite(stale, email="new@example.org", role="owner", invited_by=charlie),
        lambda: issue_key(project=project, name="late"),
    ]
    for attempt in attempts:
        with pytest.raises(OrganizationIsDeleted):
            attempt()


def test_no_row_brings_anything_into_it_either(
    project: Project, stale: Organization, charlie: User
) -> None:
    new_key = ApiKey(organization=stale, project=project, public_id="A" * 12, name="late")
    rows: list[Callable[[], object]] = [
        stale.save,
        Membership(organization=stale, user=charlie).save,
        Project(organization=stale, slug="new", name="New").save,
        project.save,  # It was not archived when it was read.
        new_key.save,
    ]
    for save in rows:
        with pytest.raises(IntegrityError, match="is deleted"), transaction.atomic():
            save()


def test_invitations_of_others_survive_and_lead_whoever_comes_anew(
    bob: User, acme: Organization, charlie: User
) -> None:
    """They were removed with the person, although they are another organization's."""
    other = make_organization(slug="other", name="Other")
    _, token = invite(other, email=bob.email, role="member", invited_by=charlie)
    delete_organization(acme)
    anew = User.objects.create_user("bob@example.org")
    invitation = find_invitation(token, anew)
    assert invitation is not None
    assert accept_invitation(invitation, anew).organization == other


def test_who_is_forgotten_keeps_no_permission(bob: User, acme: Organization) -> None:
    bob.is_superuser = True
    bob.save()
    bob.user_permissions.add(Permission.objects.earliest("pk"))
    delete_organization(acme)
    bob.refresh_from_db()
    assert not bob.is_superuser
    assert not bob.user_permissions.exists()


def test_a_role_that_was_read_before_leaves_no_organization_without_an_owner(
    alice: User, bob: User, acme: Organization
) -> None:
    """Whether somebody was an owner was asked of what had been read, not of the database."""
    read_before = Membership.objects.get(user=bob, organization=acme)
    change_role(Membership.objects.get(pk=read_before.pk), "owner")
    remove_member(Membership.objects.get(user=alice, organization=acme))
    with pytest.raises(LastOwner):
        change_role(read_before, "viewer")


@contextmanager
def held_up(dsn: str) -> Iterator[Callable[[Callable[[], Any]], Future[Any]]]:
    """Hold the turn of writers; give a function that starts one behind those that wait.

    They go on when the block ends, in the order in which they were started.
    """
    with (
        ThreadPoolExecutor(4) as threads,
        psycopg.connect(dsn) as holder,
        psycopg.connect(dsn, autocommit=True) as observer,
    ):
        holder.execute(TURN)
        started: list[Future[Any]] = []

        def start(write: Callable[[], Any]) -> Future[Any]:
            started.append(threads.submit(run_alone, write))
            until_waiting(observer, len(started))
            return started[-1]

        yield start
        holder.rollback()


def run_alone(write: Callable[[], Any]) -> Any:
    try:
        return write()
    finally:
        connection.close()


def until_waiting(observer: psycopg.Connection, number: int) -> None:
    deadline = time.monotonic() + 10
    while (row := observer.execute(WAITING).fetchone()) is None or row[0] < number:
        assert time.monotonic() < deadline, "it did not come to wait"
        time.sleep(0.01)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("ends_first", [True, False])
def test_who_accepts_while_the_organization_ends_is_in_or_out_and_nobody_waits_in_a_circle(
    dsn: str, acme: Organization, alice: User, charlie: User, ends_first: bool
) -> None:
    """PostgreSQL ended one of the two: each held what the other one waited for."""
    invitation, _ = invite(acme, email=charlie.email, role="member", invited_by=alice)

    def accept() -> Membership:
        return accept_invitation(invitation, charlie)

    def end() -> bool:
        return delete_organization(Organization.objects.get(pk=acme.pk))

    with held_up(dsn) as start:
        writers = [start(each) for each in ((end, accept) if ends_first else (accept, end))]
    ended, accepted = writers if ends_first else writers[::-1]
    assert ended.result()
    if ends_first:
        with pytest.raises((InvitationIsOver, OrganizationIsDeleted)):
            accepted.result()
    else:
        accepted.result()
    assert not Membership.objects.filter(organization=acme, left_at=None).exists()


@pytest.mark.django_db(transaction=True)
def test_a_key_that_is_made_while_the_organization_ends_does_not_live(
    dsn: str, acme: Organization, project: Project
) -> None:
    with held_up(dsn) as start:
        end = start(lambda: delete_organization(Organization.objects.get(pk=acme.pk)))
        make = start(lambda: issue_key(project=project, name="late"))
    assert end.result()
    with pytest.raises(AccountsError):
        make.result()
    assert not ApiKey.objects.exclude(status="revoked").exists()


@pytest.mark.django_db(transaction=True)
def test_of_two_owners_who_leave_at_once_one_stays(
    dsn: str, acme: Organization, alice: User, bob: User
) -> None:
    change_role(Membership.objects.get(user=bob, organization=acme), "owner")
    owners = list(Membership.objects.filter(organization=acme))
    with held_up(dsn) as start:
        leaving = [start(partial(remove_member, each)) for each in owners]
    assert leaving[0].result()
    with pytest.raises(LastOwner):
        leaving[1].result()
