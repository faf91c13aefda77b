"""/organizations/X/invitations, and /invitations/accept for who was invited."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound, PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import access
from accounts.access import Right
from accounts.api.authentication import person_of
from accounts.api.fields import Fields, Query, Text
from accounts.api.members import MemberIn, MemberOut, show_members
from accounts.api.paging import answer_page, page_of
from accounts.api.views import View, find
from accounts.invitations import accept_invitation, find_invitation, invite, revoke_invitation
from accounts.models import Invitation, Membership

STATES = ("open", "accepted", "revoked", "expired")


class InvitationOut(serializers.ModelSerializer[Invitation]):
    invited_by = serializers.EmailField(source="invited_by.email")
    state = serializers.SerializerMethodField()

    class Meta:
        model = Invitation
        fields = (
            *("id", "email", "role", "state", "invited_by", "made_at", "expires_at"),
            *("accepted_at", "revoked_at"),
        )

    def get_state(self, invitation: Invitation) -> str:
        if invitation.accepted_at is not None:
            return "accepted"
        if invitation.revoked_at is not None:
            return "revoked"
        return "open" if invitation.expires_at > timezone.now() else "expired"


class Acceptance(Fields):
    token = Text(max_length=100, help_text="What stands in the letter.")


class Invitations(View):
    @extend_schema(parameters=[Query], responses=page_of(InvitationOut))
    def get(self, request: Request, organization: str) -> Response:
        self.enter(organization, Right.MANAGE_MEMBERS)
        found = Invitation.objects.filter(organization=self.organization)
        return answer_page(
            found.select_related("invited_by"), self.read_query(Query), show_invitations
        )

    @extend_schema(request=MemberIn, responses={201: InvitationOut})
    def post(self, request: Request, organization: str) -> Response:
        """Invite somebody by letter; an open invitation to the same address is replaced."""
        self.enter(organization, Right.MANAGE_MEMBERS)
        fields = self.read(MemberIn)
        if not access.may_give_role(
            self.standing, organization=self.organization.pk, before=None, after=fields["role"]
        ):
            raise PermissionDenied("Only an owner makes owners.")
        with self.writing():
            invitation, _ = invite(self.organization, **fields, invited_by=person_of(request))
        return self.answer(show_invitations([invitation])[0], status=201)


class OneInvitation(View):
    @extend_schema(responses=InvitationOut)
    def get(self, request: Request, organization: str, invitation: int) -> Response:
        self.enter(organization, Right.MANAGE_MEMBERS)
        return self.answer(show_invitations([self.find(invitation)])[0])

    @extend_schema(responses={204: None})
    def delete(self, request: Request, organization: str, invitation: int) -> Response:
        """Take the invitation back. One that was accepted stays accepted."""
        self.enter(organization, Right.MANAGE_MEMBERS)
        with self.writing():
            found = self.find(invitation)
            self.require_match(show_invitations([found])[0])
            revoke_invitation(found)
        return Response(status=204)

    def find(self, invitation: int) -> Invitation:
        found = Invitation.objects.filter(organization=self.organization)
        return find(found.select_related("invited_by"), pk=invitation)


class Accept(View):
    @extend_schema(request=Acceptance, responses={201: MemberOut})
    def post(self, request: Request) -> Response:
        """Become a member. You have to be logged in under the address that was invited."""
        self.require_person()
        user, token = person_of(request), self.read(Acceptance)["token"]
        with self.writing():
            invitation = find_invitation(token, user)
            if invitation is None:
                raise NotFound
            member: Membership = accept_invitation(invitation, user)
        return self.answer(show_members([member])[0], status=201)


def show_invitations(invitations: Sequence[Invitation]) -> list[Any]:
    return list(InvitationOut(invitations, many=True).data)
