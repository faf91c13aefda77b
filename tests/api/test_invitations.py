"""/organizations/X/invitations: sent by letter, accepted by whom they were sent to, once."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.utils import timezone

from accounts.models import AuditEvent, Invitation, Membership, Organization, User
from tests.api.asking import NOTHING_FOUND, Api, key_api

pytestmark = pytest.mark.django_db
INVITATIONS = "organizations/acme/invitations"


@pytest.fixture
def invite(
    alices: Api, django_capture_on_commit_callbacks: Callable[..., Any]
) -> Callable[..., str]:
    """Invite somebody, and return the token that stands in their letter."""

    def invite(email: str = "charlie@example.org", role: str = "member") -> str:
        with django_capture_on_commit_callbacks(execute=True):
            answer = alices.post(INVITATIONS, {"email": email, "role": role})
        assert answer.status == 201, answer
        found = re.search(r"/invitations/(\S+)", str(mail.outbox[-1].body))
        assert found is not None
        return found[1]

    return invite


def test_an_invitation_is_a_letter_with_a_token_that_is_kept_nowhere(
    invite: Callable[..., str], alices: Api
) -> None:
    token = invite("Charlie@Example.org")
    assert mail.outbox[-1].to == ["charlie@example.org"]
    shown = alices.get(INVITATIONS).body["items"]
    assert [(each["email"], each["role"], each["state"]) for each in shown] == [
        ("charlie@example.org", "member", "open")
    ]
    assert token not in str(shown)
    assert token.encode() not in bytes(Invitation.objects.get().digest)
    assert token not in str(list(AuditEvent.objects.values()))


def test_who_was_invited_becomes_a_member_once(
    invite: Callable[..., str], charlies: Api, alices: Api
) -> None:
    token = invite(role="viewer")
    accepted = charlies.post("invitations/accept", {"token": token})
    assert (accepted.status, accepted.body["role"]) == (201, "viewer")
    assert charlies.get("organizations/acme").body["role"] == "viewer"
    again = charlies.post("invitations/accept", {"token": token})
    assert (again.status, again.error["code"]) == (409, "invitation_over")
    assert alices.get(INVITATIONS).body["items"][0]["state"] == "accepted"


def test_a_token_is_worth_nothing_to_anybody_else(
    invite: Callable[..., str], bobs: Api, nobody: Api
) -> None:
    token = invite()
    answer = bobs.post("invitations/accept", {"token": token})
    assert (answer.status, answer.error) == (404, NOTHING_FOUND)
    assert nobody.post("invitations/accept", {"token": token}).status == 401
    assert Invitation.objects.get().accepted_at is None


def test_a_program_accepts_no_invitation(
    invite: Callable[..., str], charlies: Api, charlie: User
) -> None:
    api = key_api(charlie, Organization.objects.get(slug="globex"))
    answer = api.post("invitations/accept", {"token": invite()})
    assert (answer.status, answer.error["code"]) == (403, "person_needed")


def test_an_invitation_that_was_taken_back_is_over(
    invite: Callable[..., str], alices: Api, charlies: Api
) -> None:
    token = invite()
    path = f"{INVITATIONS}/{Invitation.objects.get().pk}"
    assert alices.delete(path).status == 204
    assert alices.get(path).body["state"] == "revoked"
    assert charlies.post("invitations/accept", {"token": token}).status == 409
    assert not Membership.objects.filter(
        user__email="charlie@example.org", organization__slug="acme"
    ).exists()


def test_an_invitation_ends_after_a_week(
    invite: Callable[..., str], alices: Api, charlies: Api
) -> None:
    token = invite()
    Invitation.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert charlies.post("invitations/accept", {"token": token}).status == 409
    assert alices.get(INVITATIONS).body["items"][0]["state"] == "expired"


def test_a_second_letter_replaces_the_first(invite: Callable[..., str], charlies: Api) -> None:
    first, second = invite(role="viewer"), invite(role="admin")
    assert charlies.post("invitations/accept", {"token": first}).status == 409
    assert charlies.post("invitations/accept", {"token": second}).body["role"] == "admin"


def test_a_member_is_not_invited_again(alices: Api) -> None:
    answer = alices.post(INVITATIONS, {"email": "bob@example.org"})
    assert (answer.status, answer.error["field"]) == (400, "email")


def test_members_neither_invite_nor_see_who_was(bobs: Api, invite: Callable[..., str]) -> None:
    invite()
    assert bobs.post(INVITATIONS, {"email": "new@example.org"}).status == 403
    assert bobs.get(INVITATIONS).status == 403


def test_charlie_sees_and_ends_no_foreign_invitation(
    charlies: Api, invite: Callable[..., str]
) -> None:
    invite()
    number = Invitation.objects.get().pk
    assert charlies.get(INVITATIONS).status == 404
    for path in (f"{INVITATIONS}/{number}", f"organizations/globex/invitations/{number}"):
        assert charlies.get(path).status == 404
        assert charlies.delete(path).status == 404
    assert Invitation.objects.get().revoked_at is None
