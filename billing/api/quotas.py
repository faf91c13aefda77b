"""/organizations/X/quotas and their raises: what may be used, by whom, in which time."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from django.db.models import Q, QuerySet
from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import NotFound, PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import access
from accounts.access import Right
from accounts.api.fields import Fields, Flag, Query, Text
from accounts.api.paging import answer_page, page_of
from accounts.api.views import View, find
from accounts.errors import InvalidField
from accounts.models import ApiKey, Membership, Organization, Project
from billing.models import Quota, QuotaWindow
from billing.pricing import format_usd
from billing.quotas import end_quota, parse_quota, set_quota
from billing.quotas.standing import find_visible, find_windows

AMOUNT = 'USD for cost ("100.00"), else a whole number; both as text.'


class WindowOut(serializers.ModelSerializer[QuotaWindow]):
    used = serializers.SerializerMethodField(help_text="Settled so far.")
    drawn = serializers.SerializerMethodField(help_text="In the hands of gateways, not settled.")

    class Meta:
        model = QuotaWindow
        fields = ("starts_at", "ends_at", "used", "drawn")

    def get_used(self, window: QuotaWindow) -> str:
        return write_amount(window.quota.unit, window.posted + window.overrun)

    def get_drawn(self, window: QuotaWindow) -> str:
        return write_amount(window.quota.unit, window.drawn)


class QuotaOut(serializers.ModelSerializer[Quota]):
    scope_id = serializers.SerializerMethodField(
        help_text="The slug of a project, the public id of a key, the number of a member."
    )
    limit = serializers.SerializerMethodField(help_text=f"{AMOUNT} Null counts without refusing.")
    model = serializers.CharField(help_text="Empty: for all models.")
    window_now = serializers.SerializerMethodField(
        help_text="Null where nothing was used yet. Of what is counted by the minute, and of calls "
        "at once, `drawn` is all that is known."
    )

    class Meta:
        model = Quota
        fields = (
            *("id", "scope", "scope_id", "unit", "limit", "window", "model", "mode", "hold"),
            *("clamp", "made_at", "ends_at", "window_now"),
        )

    def get_scope_id(self, quota: Quota) -> str:
        return str(self.context["places"].get((quota.scope, quota.scope_id), quota.scope_id))

    @extend_schema_field({"type": "string", "nullable": True})
    def get_limit(self, quota: Quota) -> str | None:
        return None if quota.limit is None else write_amount(quota.unit, quota.limit)

    @extend_schema_field(WindowOut(allow_null=True))
    def get_window_now(self, quota: Quota) -> dict[str, Any] | None:
        window = self.context["windows"].get(quota.pk)
        return None if window is None else WindowOut(window).data


class QuotaChange(Fields):
    limit = Text(max_length=50, required=False, allow_null=True, help_text=AMOUNT)
    mode = serializers.ChoiceField(Quota.Mode.choices, required=False)
    hold = serializers.ChoiceField(Quota.Hold.choices, required=False)
    clamp = Flag(required=False)


class QuotaIn(QuotaChange):
    scope = serializers.ChoiceField(Quota.Scope.choices)
    scope_id = Text(
        max_length=50,
        required=False,
        help_text="The slug of a project, the public id of a key, the number of a member; not"
        " for the organization.",
    )
    unit = serializers.ChoiceField(Quota.Unit.choices)
    limit = Text(max_length=50, allow_null=True, help_text=AMOUNT)
    window = serializers.ChoiceField(Quota.Window.choices)
    model = Text(max_length=200, required=False, help_text="For this model's calls alone.")


class QuotaQuery(Query):
    scope = serializers.ChoiceField(Quota.Scope.choices, required=False)
    scope_id = Text(max_length=50, required=False, help_text="Needs `scope`.")
    unit = serializers.ChoiceField(Quota.Unit.choices, required=False)
    ended = serializers.BooleanField(default=False, help_text="Those that were ended, instead.")


class QuotaView(View):
    volatile = frozenset({"window_now"})

    def enter_quotas(self, organization: str) -> QuerySet[Quota]:
        """Enter, and return the quotas that may be seen: of others' keys and persons none, unless
        their usage may be seen too."""
        self.enter(organization, Right.SEE_QUOTAS)
        return find_visible(self.organization, self.standing)

    def require_manage(self, scope: str) -> None:
        if access.may_manage_quota(self.standing, organization=self.organization.pk, scope=scope):
            return
        if scope == Quota.Scope.ORGANIZATION and self.may(self.standing, Right.MANAGE_QUOTAS):
            raise PermissionDenied("Only operators limit an organization as a whole.")
        raise PermissionDenied("Your role in this organization does not allow this.")

    def show(self, quotas: Sequence[Quota]) -> list[Any]:
        return show_quotas(self.organization, quotas)


class Quotas(QuotaView):
    @extend_schema(parameters=[QuotaQuery], responses=page_of(QuotaOut))
    def get(self, request: Request, organization: str) -> Response:
        found = self.enter_quotas(organization)
        query = self.read_query(QuotaQuery)
        is_living = Q(ends_at=None) | Q(ends_at__gt=timezone.now())
        found = found.exclude(is_living) if query["ended"] else found.filter(is_living)
        if "scope" in query:
            found = found.filter(scope=query["scope"])
        if "scope_id" in query:
            if "scope" not in query:
                raise InvalidField("scope_id", "needs scope")
            place = find_place(self.organization, query["scope"], query["scope_id"])
            found = found.filter(scope_id=place) if place is not None else found.none()
        if "unit" in query:
            found = found.filter(unit=query["unit"])
        return answer_page(found, query, self.show)

    @extend_schema(request=QuotaIn, responses={200: QuotaOut, 201: QuotaOut})
    def post(self, request: Request, organization: str) -> Response:
        """Make the scope's quota of that unit, window and model, or change the one it has (200)."""
        self.enter(organization, Right.MANAGE_QUOTAS)
        fields = self.read(QuotaIn)
        scope = fields.pop("scope")
        self.require_manage(scope)
        name = fields.pop("scope_id", self.organization.slug if scope == "organization" else None)
        if name is None:
            raise InvalidField("scope_id", "is missing")
        parsed = parse_quota(fields, scope=scope)
        with self.writing():
            place = find_place(self.organization, scope, name)
            if place is None:
                raise InvalidField("scope_id", f"the organization has no {scope} {name}")
            quota, what = set_quota(
                organization=self.organization.pk, scope=scope, scope_id=place, fields=parsed
            )
        return self.answer(self.show([quota])[0], status=201 if what == "made" else 200)


class OneQuota(QuotaView):
    @extend_schema(responses=QuotaOut)
    def get(self, request: Request, organization: str, quota: int) -> Response:
        found = find(self.enter_quotas(organization), pk=quota)
        return self.answer(self.show([found])[0])

    @extend_schema(request=QuotaChange, responses=QuotaOut)
    def patch(self, request: Request, organization: str, quota: int) -> Response:
        """Change limit, mode, hold or clamp; what its windows have counted goes on counting."""
        visible = self.enter_quotas(organization)
        with self.writing():
            found = self.find_managed(visible, quota)
            changes = self.read(QuotaChange)
            self.require_match(self.show([found])[0])
            limit = None if found.limit is None else write_amount(found.unit, found.limit)
            fields = {
                **{name: getattr(found, name) for name in ("unit", "window", "model")},
                **{name: getattr(found, name) for name in ("mode", "hold", "clamp")},
                "limit": limit,
            }
            parsed = parse_quota({**fields, **changes}, scope=found.scope)
            found, _ = set_quota(
                organization=self.organization.pk,
                scope=found.scope,
                scope_id=found.scope_id,
                fields=parsed,
            )
        return self.answer(self.show([found])[0])

    @extend_schema(responses={204: None})
    def delete(self, request: Request, organization: str, quota: int) -> Response:
        """End it now; what it counted stays."""
        visible = self.enter_quotas(organization)
        with self.writing():
            found = self.find_managed(visible, quota)
            self.require_match(self.show([found])[0])
            end_quota(found)
        return Response(status=204)

    def find_managed(self, visible: QuerySet[Quota], quota: int) -> Quota:
        found = find(visible, pk=quota)
        self.require_manage(found.scope)
        if found.ends_at is not None and found.ends_at <= timezone.now():
            raise NotFound
        return found


def show_quotas(organization: Organization, quotas: Sequence[Quota]) -> list[Any]:
    context = {"places": name_places(organization, quotas), "windows": find_windows(quotas)}
    return list(QuotaOut(quotas, many=True, context=context).data)


def write_amount(unit: str, amount: int) -> str:
    """Write an amount as it is read: USD for cost, else a whole number."""
    return format_usd(amount) if unit == Quota.Unit.COST else str(amount)


def name_places(organization: Organization, quotas: Iterable[Quota]) -> dict[tuple[str, int], str]:
    """Return what people call the scopes of quotas, by scope and number."""
    keys = [quota.scope_id for quota in quotas if quota.scope == Quota.Scope.KEY]
    found = ApiKey.objects.filter(organization=organization, pk__in=keys)
    projects = Project.objects.filter(organization=organization)
    return {
        ("organization", organization.pk): organization.slug,
        **{("project", pk): slug for pk, slug in projects.values_list("pk", "slug")},
        **{("key", pk): public_id for pk, public_id in found.values_list("pk", "public_id")},
    }


def find_place(organization: Organization, scope: str, name: str) -> int | None:
    """Return the number of a scope by what people call it; None where there is no such thing."""
    if scope == Quota.Scope.ORGANIZATION:
        return organization.pk if name == organization.slug else None
    if scope == Quota.Scope.PROJECT:
        project = Project.objects.filter(organization=organization, slug=name).first()
        return project.pk if project else None
    if scope == Quota.Scope.KEY:
        key = ApiKey.objects.filter(organization=organization, public_id=name).first()
        return key.pk if key else None
    if not re.fullmatch(r"[0-9]{1,18}", name):
        return None
    members = Membership.objects.filter(organization=organization, left_at=None)
    member = members.filter(pk=int(name)).first()
    return member.pk if member else None
