"""Invitations: an offer of a membership, sent to a mailbox, good once and for seven days.

The token leaves in the letter alone; a digest of it is kept. It is accepted by a logged-in person
of that very address: neither the token nor the address is enough.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta

from django.conf import settings
from django.core.mail import send_mail
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from accounts import rows
from accounts.ending import living
from accounts.errors import InvalidField, InvitationIsOver
from accounts.members import join
from accounts.models import Invitation, Membership, Organization, User

GOOD_FOR = timedelta(days=7)


def invite(
    organization: Organization, *, email: str, role: str, invited_by: User
) -> tuple[Invitation, str]:
    """Make an invitation and send its letter once this is committed; return it with its token.

    An open one to the same address is revoked. Raises InvalidField and OrganizationIsDeleted.
    """
    email = email.strip().lower()
    token = secrets.token_urlsafe(32)
    with living(organization):
        members = Membership.objects.filter(organization=organization, left_at=None)
        if members.filter(user__email=email).exists():
            raise InvalidField("email", f"{email} is a member already")
        now = timezone.now()
        _open(organization).filter(email=email).update(revoked_at=now)
        invitation = rows.insert(
            Invitation(
                organization=organization,
                email=email,
                role=role,
                digest=_digest(token),
                invited_by=invited_by,
                expires_at=now + GOOD_FOR,
            )
        )
        transaction.on_commit(lambda: _send(invitation, token))
    return invitation, token


def revoke_invitation(invitation: Invitation) -> bool:
    """Take an invitation back; return False if it was accepted or revoked before."""
    open_ones = Invitation.objects.filter(pk=invitation.pk, accepted_at=None, revoked_at=None)
    revoked = open_ones.update(revoked_at=timezone.now())
    invitation.refresh_from_db()
    return revoked == 1


def find_invitation(token: str, user: User) -> Invitation | None:
    """Return the invitation of that token if it was sent to this person."""
    return (
        Invitation.objects.select_related("organization")
        .filter(digest=_digest(token), email=user.email)
        .first()
    )


def find_open(token: str) -> Invitation | None:
    """Return the invitation of that token if it can be accepted still, whoever asks."""
    now = timezone.now()
    found = Invitation.objects.filter(digest=_digest(token), accepted_at=None, revoked_at=None)
    return found.filter(expires_at__gt=now).select_related("organization", "invited_by").first()


def has_open(email: str) -> bool:
    """Say whether an organization waits for somebody of that address."""
    waiting = Invitation.objects.filter(accepted_at=None, revoked_at=None)
    return waiting.filter(email=email.strip().lower(), expires_at__gt=timezone.now()).exists()


def accept_invitation(invitation: Invitation, user: User) -> Membership:
    """Make the person a member, once.

    Raises InvitationIsOver, OrganizationIsDeleted, and InvalidField for a member.
    """
    now = timezone.now()
    # Who ends memberships ends invitations after them: in this order nobody waits in a circle.
    with living(invitation.organization):
        taken = Invitation.objects.filter(
            pk=invitation.pk, accepted_at=None, revoked_at=None, expires_at__gt=now
        ).update(accepted_at=now)
        if not taken:
            raise InvitationIsOver(
                "This invitation was used or taken back, or its time is up: ask for a new one."
            )
        return join(invitation.organization, user, invitation.role)


def _open(organization: Organization) -> QuerySet[Invitation]:
    return Invitation.objects.filter(organization=organization, accepted_at=None, revoked_at=None)


def _digest(token: str) -> bytes:
    # The token has 256 random bits: nothing slower than one hash would make it harder to guess.
    return hashlib.sha256(token.encode(errors="replace")).digest()


def _send(invitation: Invitation, token: str) -> None:
    name = invitation.organization.name
    send_mail(
        subject=f"You are invited to {' '.join(name.split())}",
        message=(
            f"{invitation.invited_by.email} invites you to {name} on {settings.PUBLIC_URL}"
            f" as {invitation.role}.\n\nLog in as {invitation.email} and accept it here:\n"
            f"{settings.PUBLIC_URL}/invitations/{token}\n\n"
            f"It is good until {invitation.expires_at:%Y-%m-%d %H:%M} UTC. If you did not expect"
            " it, do nothing.\n"
        ),
        from_email=None,
        recipient_list=[invitation.email],
        fail_silently=False,
    )
