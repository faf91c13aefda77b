"""An organization is deleted here, by operators only. What can be undone is organizations.py's.

Its keys are revoked and its people forgotten, for good. Facts, quotas, prices and the audit stay
for as long as they are kept, under the organization's number. Nothing here touches a running call:
it finishes and settles.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import transaction
from django.utils import timezone

from accounts.changes import wait_for_turn
from accounts.errors import OrganizationIsActive, OrganizationIsDeleted
from accounts.leaving import forget_person
from accounts.models import ApiKey, Membership, Organization, User


def delete_organization(organization: Organization) -> bool:
    """End an organization for good, and free its slug. Return False if that was done before.

    Its keys are revoked, its projects archived, its memberships ended and its invitations removed
    at once. Who belonged to no other organization is logged out, deactivated, and without name and
    address.
    """
    with transaction.atomic():
        wait_for_turn()
        organization.refresh_from_db()
        if organization.status == Organization.Status.DELETED:
            return False
        now = timezone.now()
        _revoke_keys(organization)
        organization.projects.filter(archived_at=None).update(archived_at=now)
        organization.memberships.filter(left_at=None).update(left_at=now)
        organization.invitations.all().delete()
        for user in _find_homeless(organization):
            forget_person(user)
        # Random, so that nobody can keep an organization from going by taking its next name.
        organization.slug = f"deleted-{organization.pk}-{secrets.token_hex(4)}"
        organization.status = Organization.Status.DELETED
        organization.status_reason = ""
        organization.save(update_fields=["slug", "status", "status_reason"])
    return True


def delete_suspended(organization: Organization) -> bool:
    """End an organization as delete_organization() does. Raises OrganizationIsActive: what cannot
    be undone takes two steps."""
    with transaction.atomic():
        wait_for_turn()
        organization.refresh_from_db()
        if organization.status == Organization.Status.ACTIVE:
            raise OrganizationIsActive("Suspend the organization first: deleting it is final.")
        return delete_organization(organization)


@contextmanager
def living(organization: Organization) -> Iterator[None]:
    """Write in an organization that nobody can delete before this block has committed.

    Raises OrganizationIsDeleted where somebody did; the database refuses it as well (migration
    0008).
    """
    with transaction.atomic():
        wait_for_turn()
        organization.refresh_from_db(fields=["status"])
        if organization.status == Organization.Status.DELETED:
            raise OrganizationIsDeleted("This organization was deleted, which is final.")
        yield


def _revoke_keys(organization: Organization) -> None:
    now = timezone.now()
    reason = "the organization was deleted"
    organization.keys.exclude(status=ApiKey.Status.REVOKED).update(
        status=ApiKey.Status.REVOKED, revoked_at=now, revoke_reason=reason, changed_at=now
    )
    organization.management_keys.filter(revoked_at=None).update(revoked_at=now)


def _find_homeless(organization: Organization) -> list[User]:
    """Return the people who belonged to this organization and now belong to none."""
    elsewhere = Membership.objects.filter(left_at=None).values("user")
    people = User.objects.filter(memberships__organization=organization, is_staff=False)
    return list(people.exclude(pk__in=elsewhere).distinct())
