"""/organizations/X/members: who belongs to it. People come by invitation; operators add at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound, PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import access
from accounts.access import Right
from accounts.api.fields import Fields, Nothing, Query, Text
from accounts.api.paging import answer_page, page_of
from accounts.api.views import View, find
from accounts.members import add_member, change_role, remove_member
from accounts.models import Membership


class MemberOut(serializers.ModelSerializer[Membership]):
    email = serializers.EmailField(source="user.email")
    name = serializers.CharField(source="user.name")

    class Meta:
        model = Membership
        fields = ("id", "email", "name", "role", "made_at", "left_at")


class MemberIn(Fields):
    email = serializers.EmailField(max_length=254)
    role = serializers.ChoiceField(Membership.Role.choices, default=Membership.Role.MEMBER)


class MemberChange(Fields):
    role = serializers.ChoiceField(Membership.Role.choices)


class MemberQuery(Query):
    role = serializers.ChoiceField(Membership.Role.choices, required=False)
    email = Text(max_length=254, required=False)
    left = serializers.BooleanField(default=False, help_text="Those who have left, instead.")


class Members(View):
    @extend_schema(parameters=[MemberQuery], responses=page_of(MemberOut))
    def get(self, request: Request, organization: str) -> Response:
        self.enter(organization, Right.SEE_MEMBERS)
        query = self.read_query(MemberQuery)
        found = Membership.objects.filter(organization=self.organization).select_related("user")
        found = found.filter(left_at__isnull=not query["left"])
        if "role" in query:
            found = found.filter(role=query["role"])
        if "email" in query:
            found = found.filter(user__email=query["email"].lower())
        return answer_page(found, query, show_members)

    @extend_schema(request=MemberIn, responses={201: MemberOut})
    def post(self, request: Request, organization: str) -> Response:
        """Make somebody a member without an invitation (operators)."""
        self.enter(organization)
        self.enter_platform()
        fields = self.read(MemberIn)
        with self.writing():
            member = add_member(self.organization, **fields)
        return self.answer(show_members([member])[0], status=201)


class OneMember(View):
    @extend_schema(responses=MemberOut)
    def get(self, request: Request, organization: str, member: int) -> Response:
        self.enter(organization, Right.SEE_MEMBERS)
        return self.answer(show_members([self.find(member)])[0])

    @extend_schema(request=MemberChange, responses=MemberOut)
    def patch(self, request: Request, organization: str, member: int) -> Response:
        """Change the role. Owners are made and unmade by owners alone."""
        self.enter(organization, Right.MANAGE_MEMBERS)
        with self.writing():
            found = self.find(member, left_at=None)
            self.require_role(found.role, None)
            role = self.read(MemberChange)["role"]
            self.require_role(found.role, role)
            self.require_match(show_members([found])[0])
            change_role(found, role)
        return self.answer(show_members([found])[0])

    @extend_schema(responses={204: None})
    def delete(self, request: Request, organization: str, member: int) -> Response:
        """End the membership. The member's own keys are refused from then on."""
        self.enter(organization, Right.MANAGE_MEMBERS)
        with self.writing():
            found = self.find(member, left_at=None)
            self.require_role(found.role, None)
            self.require_match(show_members([found])[0])
            remove_member(found)
        return Response(status=204)

    def find(self, member: int, **more: Any) -> Membership:
        members = Membership.objects.filter(organization=self.organization)
        return find(members.select_related("user"), pk=member, **more)

    def require_role(self, before: str, after: str | None) -> None:
        if not access.may_give_role(
            self.standing, organization=self.organization.pk, before=before, after=after
        ):
            raise PermissionDenied("Only an owner makes and unmakes owners.")


class Leave(View):
    changes_one = True

    @extend_schema(request=Nothing, responses={204: None})
    def post(self, request: Request, organization: str) -> Response:
        """End one's own membership, in person. The last owner cannot."""
        membership = self.enter(organization).membership
        self.require_person()
        self.read()
        if membership is None:
            raise NotFound
        with self.writing():
            ours = self.organization.memberships.select_related("user")
            found = find(ours, pk=membership, left_at=None)
            self.require_match(show_members([found])[0])
            remove_member(found)
        return Response(status=204)


def show_members(members: Sequence[Membership]) -> list[Any]:
    return list(MemberOut(members, many=True).data)
