"""Members come, change their role and leave here. An organization keeps at least one owner.

Whether the person may do this is access.may_give_role(). A member who leaves takes every key of
their own out of service at once: the keyring sees it by the row alone.
"""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from accounts import rows
from accounts.changes import wait_for_turn
from accounts.ending import living
from accounts.errors import InvalidField, LastOwner
from accounts.leaving import end_access
from accounts.models import Membership, Organization, User


def add_member(organization: Organization, *, email: str, role: str) -> Membership:
    """Make somebody a member; an address that is new here becomes a user without a password."""
    email = email.strip().lower()
    with living(organization):
        user = User.objects.filter(email=email).first()
        if user is None:
            user = User(email=email)
            user.set_unusable_password()
            rows.insert(user)
        return join(organization, user, role)


def join(organization: Organization, user: User, role: str) -> Membership:
    """Make a user a member. Raises InvalidField for one who is a member already, and
    OrganizationIsDeleted."""
    with living(organization):
        if Membership.objects.filter(organization=organization, user=user, left_at=None).exists():
            raise InvalidField("email", f"{user.email} is a member already")
        return rows.insert(Membership(organization=organization, user=user, role=role))


def change_role(membership: Membership, role: str) -> None:
    """Give a member another role. Raises InvalidField and LastOwner."""
    with transaction.atomic():
        wait_for_turn()
        membership.refresh_from_db(fields=["role"])
        was_owner = membership.role == Membership.Role.OWNER
        rows.change(membership, {"role": role})
        if was_owner:
            _require_owner(membership.organization_id)


def remove_member(membership: Membership) -> bool:
    """End a membership; return False if it had ended before. Raises LastOwner."""
    with transaction.atomic():
        ended = Membership.objects.filter(pk=membership.pk, left_at=None).update(
            left_at=timezone.now()
        )
        membership.refresh_from_db()
        if ended and membership.role == Membership.Role.OWNER:
            _require_owner(membership.organization_id)
        if ended:
            end_access(membership)
    return ended == 1


def _require_owner(organization: int) -> None:
    """Asked after the change: writers of this table take turns until they commit, so of two at
    once the second one sees what the first one did."""
    owners = Membership.objects.filter(
        organization=organization, role=Membership.Role.OWNER, left_at=None
    )
    if not owners.exists():
        raise LastOwner("An organization needs an owner: make somebody else one first.")
