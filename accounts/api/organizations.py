"""/organizations, as far as the asker has a standing in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import access
from accounts.access import Right
from accounts.api.authentication import key_of, person_of
from accounts.api.fields import Fields, Flag, Nothing, Query, SlugText, Text
from accounts.api.paging import answer_page, page_of
from accounts.api.views import View
from accounts.ending import delete_suspended
from accounts.models import Organization
from accounts.organizations import (
    change_organization,
    found_organization,
    make_organization,
    resume_organization,
    suspend_organization,
)


class OrganizationOut(serializers.ModelSerializer[Organization]):
    role = serializers.SerializerMethodField(help_text="What you are there.")

    class Meta:
        model = Organization
        fields = (
            *("slug", "name", "time_zone", "status", "status_reason", "hang_up", "made_at"),
            "role",
        )

    def get_role(self, organization: Organization) -> str:
        roles: dict[int, str] = self.context.get("roles", {})
        return roles.get(organization.pk, "")


class OrganizationIn(Fields):
    slug = SlugText()
    name = Text(max_length=100)
    time_zone = Text(max_length=64, default="UTC", help_text="Europe/Berlin")
    own = Flag(
        required=False,
        help_text="You become its owner, and it gets a project `default`. Operators may leave it"
        " out and make one for others.",
    )


class OrganizationChange(Fields):
    name = Text(max_length=100, required=False)
    time_zone = Text(max_length=64, required=False)
    hang_up = serializers.ChoiceField(Organization.HangUp.choices, required=False)


class Suspension(Fields):
    reason = Text(max_length=200, allow_blank=True, default="")


class OrganizationQuery(Query):
    status = serializers.ChoiceField(Organization.Status.choices, required=False)


class Organizations(View):
    @extend_schema(parameters=[OrganizationQuery], responses=page_of(OrganizationOut))
    def get(self, request: Request) -> Response:
        """List the organizations that you have a standing in; operators see all."""
        query = self.read_query(OrganizationQuery)
        found = access.find_organizations(person_of(request), key_of(request))
        if "status" in query:
            found = found.filter(status=query["status"])
        return answer_page(found, query, self.show)

    @extend_schema(request=OrganizationIn, responses={201: OrganizationOut})
    def post(self, request: Request) -> Response:
        """Make an organization: for anybody (operators), or your own where people may sign up."""
        user, key = person_of(request), key_of(request)
        if not access.may_found_organization(user, key):
            raise PermissionDenied("Only operators make organizations here.")
        fields = self.read(OrganizationIn)
        is_own = fields.pop("own", not access.may_manage_platform(user, key))
        with self.writing():
            if is_own:
                self.require_person()
                organization = found_organization(user, **fields)
            else:
                self.enter_platform()
                organization = make_organization(**fields)
        return self.answer(self.show([organization])[0], status=201)

    def show(self, organizations: Sequence[Organization]) -> list[Any]:
        return show_organizations(self, organizations)


class OneOrganization(View):
    @extend_schema(responses=OrganizationOut)
    def get(self, request: Request, organization: str) -> Response:
        self.enter(organization, Right.SEE_ORGANIZATION)
        return self.answer(self.show())

    @extend_schema(request=OrganizationChange, responses=OrganizationOut)
    def patch(self, request: Request, organization: str) -> Response:
        self.enter(organization, Right.MANAGE_ORGANIZATION)
        changes = self.read(OrganizationChange)
        with self.writing():
            self.organization.refresh_from_db()
            self.require_match(self.show())
            change_organization(self.organization, changes)
        return self.answer(self.show())

    @extend_schema(responses={204: None})
    def delete(self, request: Request, organization: str) -> Response:
        """End it for good (operators). It has to be suspended first."""
        self.enter(organization, Right.SEE_ORGANIZATION)
        self.enter_platform()
        with self.writing():
            self.organization.refresh_from_db()
            self.require_match(self.show())
            delete_suspended(self.organization)
        return Response(status=204)

    def show(self) -> dict[str, Any]:
        shown: dict[str, Any] = show_organizations(self, [self.organization])[0]
        return shown


class Suspend(OneOrganization):
    http_method_names = ["post", "options"]
    changes_one = True

    @extend_schema(request=Suspension, responses=OrganizationOut)
    def post(self, request: Request, organization: str) -> Response:
        """Refuse all calls of its keys (operators)."""
        self.enter(organization, Right.SUSPEND_ORGANIZATION)
        reason = self.read(Suspension)["reason"]
        with self.writing():
            self.organization.refresh_from_db()
            self.require_match(self.show())
            suspend_organization(self.organization, reason)
        return self.answer(self.show())


class Resume(OneOrganization):
    http_method_names = ["post", "options"]
    changes_one = True

    @extend_schema(request=Nothing, responses=OrganizationOut)
    def post(self, request: Request, organization: str) -> Response:
        """Let its keys call again (operators)."""
        self.enter(organization, Right.SUSPEND_ORGANIZATION)
        self.read()
        with self.writing():
            self.organization.refresh_from_db()
            self.require_match(self.show())
            resume_organization(self.organization)
        return self.answer(self.show())


def show_organizations(view: View, organizations: Sequence[Organization]) -> list[Any]:
    standings = ((each.pk, view.find_standing(each)) for each in organizations)
    roles = {pk: standing.role for pk, standing in standings if standing}
    shown = OrganizationOut(organizations, many=True, context={"roles": roles}).data
    return list(shown)
