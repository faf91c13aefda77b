"""Organizations and their projects are made, changed, suspended and archived here.

Whether the person may is access.py's question. Nothing is deleted: history refers to it. What
keys do after that is the keyring's, which triggers tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.utils import timezone

from accounts import rows
from accounts.ending import living
from accounts.members import join
from accounts.models import Membership, Organization, Project, User


def make_organization(*, slug: str, name: str, time_zone: str = "UTC") -> Organization:
    """Make an organization without members. Raises InvalidField."""
    return rows.insert(Organization(slug=slug, name=name, time_zone=time_zone))


def found_organization(
    founder: User, *, slug: str, name: str, time_zone: str = "UTC"
) -> Organization:
    """Make an organization that its founder owns, with a first project. Raises InvalidField."""
    with transaction.atomic():
        organization = make_organization(slug=slug, name=name, time_zone=time_zone)
        join(organization, founder, Membership.Role.OWNER)
        make_project(organization, slug="default", name="Default")
    return organization


def change_organization(organization: Organization, changes: Mapping[str, Any]) -> None:
    """Change its name, time_zone or hang_up, those that are given.

    Raises InvalidField and OrganizationIsDeleted.
    """
    with living(organization):
        rows.change(organization, changes)


def suspend_organization(organization: Organization, reason: str = "") -> None:
    """Refuse all calls of its keys until resume_organization(). Raises OrganizationIsDeleted."""
    suspended = {"status": Organization.Status.SUSPENDED, "status_reason": reason.strip()}
    with living(organization):
        rows.change(organization, suspended)


def resume_organization(organization: Organization) -> None:
    """Let its keys call again. Raises OrganizationIsDeleted."""
    with living(organization):
        rows.change(organization, {"status": Organization.Status.ACTIVE, "status_reason": ""})


def make_project(organization: Organization, *, slug: str, name: str) -> Project:
    """Make a project. Raises InvalidField, also where the organization has one of that slug, and
    OrganizationIsDeleted."""
    with living(organization):
        return rows.insert(Project(organization=organization, slug=slug, name=name))


def rename_project(project: Project, name: str) -> None:
    """Change the name that people read; the slug stays."""
    rows.change(project, {"name": name})


def archive_project(project: Project) -> bool:
    """Refuse all calls of its keys from now on. Return False if that had been done before."""
    now = timezone.now()
    archived = Project.objects.filter(pk=project.pk, archived_at=None).update(archived_at=now)
    project.refresh_from_db()
    return archived == 1


def unarchive_project(project: Project) -> bool:
    """Let a project's keys call again, but for those that were disabled or revoked.

    Return False if it was not archived. Raises OrganizationIsDeleted.
    """
    with living(project.organization):
        restored = Project.objects.filter(pk=project.pk, archived_at__isnull=False).update(
            archived_at=None
        )
    project.refresh_from_db()
    return restored == 1
