"""What follows when people leave or hand keys over; the membership itself is members.py's.

A key is refused from the moment its owner's membership has ended, so whoever wants it to live
hands it over first, in one transaction. Whether the person who asks may do so is access.py's
question. Nothing here touches a running call: it finishes and settles under the key it began with.
"""

from __future__ import annotations

from collections.abc import Iterable

from django.db import transaction
from django.db.models import CASCADE, F
from django.utils import timezone

from accounts.changes import wait_for_turn
from accounts.errors import InvalidField
from accounts.models import ApiKey, Invitation, Membership, Organization, User

FORGOTTEN_DOMAIN = "@deleted.invalid"  # Where the addresses of forgotten people are.


def hand_over(keys: Iterable[ApiKey], to: Membership | None) -> int:
    """Give keys to another member of their organization, or make them service keys (`to` None).

    Secrets, quotas and history stay with a key; what it uses from now on counts for its new owner.
    Revoked keys are left alone. Returns how many changed hands. Raises InvalidField, and then none.
    """
    ids = {key.pk for key in keys}
    with transaction.atomic():
        wait_for_turn()
        found = ApiKey.objects.filter(pk__in=ids).exclude(status=ApiKey.Status.REVOKED)
        if to is not None:
            to.refresh_from_db()
            _require_receiver(to, found.exclude(organization=to.organization_id).exists())
        moved = found.exclude(owner=to) if to is not None else found.exclude(owner=None)
        return moved.update(owner=to, changed_at=timezone.now())


def end_access(membership: Membership) -> None:
    """Do what an ended membership asks for: no invitation that was open leads back, and who is in
    no other organization and is no operator is logged out everywhere."""
    user = membership.user
    _take_back_invitations(membership.organization, email=user.email)
    if not user.is_staff and not user.memberships.filter(left_at=None).exists():
        end_sessions(user)


def end_sessions(user: User) -> None:
    """Log a person out everywhere, whatever holds the sessions."""
    User.objects.filter(pk=user.pk).update(session_epoch=F("session_epoch") + 1)
    user.refresh_from_db(fields=["session_epoch"])


def forget_person(user: User) -> None:
    """Take out of a user's row, and of the rows that are parts of it, what says who it was.

    The row stays, because facts and the audit name its number. Invitations of other organizations
    stay too: they are theirs, and whoever has the address may come anew.
    """
    for relation in user._meta.related_objects:
        if getattr(relation, "on_delete", None) is CASCADE and not relation.many_to_many:
            parts = relation.related_model._base_manager
            parts.filter(**{relation.field.name: user}).delete()
    user.groups.clear()
    user.user_permissions.clear()
    user.email = f"deleted-{user.pk}{FORGOTTEN_DOMAIN}"
    user.name = ""
    user.is_active = user.is_superuser = False
    user.set_unusable_password()
    user.save(update_fields=["email", "name", "is_active", "is_superuser", "password"])
    end_sessions(user)


def _take_back_invitations(organization: Organization, *, email: str) -> None:
    invitations = Invitation.objects.filter(organization=organization, email=email)
    invitations.filter(accepted_at=None, revoked_at=None).update(revoked_at=timezone.now())


def _require_receiver(to: Membership, has_foreign_keys: bool) -> None:
    if to.left_at is not None:
        raise InvalidField("owner", "has left the organization")
    if not to.user.is_active:
        raise InvalidField("owner", "was deactivated by the operator")
    if has_foreign_keys:
        raise InvalidField("owner", "is not a member of the organization of these keys")
