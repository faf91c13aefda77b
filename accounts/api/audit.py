"""/audit: who changed what, of one organization or (operators) of all. Written by triggers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.access import Right
from accounts.api.fields import Moment, Query, SlugText, Text
from accounts.api.paging import answer_page, page_of
from accounts.api.views import View
from accounts.models import AuditEvent, Organization


class AuditOut(serializers.ModelSerializer[AuditEvent]):
    class Meta:
        model = AuditEvent
        fields = (
            *("id", "at", "organization", "actor", "via", "address", "action", "object_kind"),
            *("object_id", "before", "after"),
        )


class AuditQuery(Query):
    object_kind = Text(max_length=30, required=False, help_text="api_key, ...")
    object_id = serializers.IntegerField(required=False, min_value=0, max_value=2**63 - 1)
    actor = Text(max_length=254, required=False)
    via = Text(max_length=20, required=False)
    action = serializers.ChoiceField(["insert", "update", "delete"], required=False)
    since = Moment(required=False)
    until = Moment(required=False)


class PlatformAuditQuery(AuditQuery):
    organization = SlugText(required=False)


class OrganizationAudit(View):
    @extend_schema(parameters=[AuditQuery], responses=page_of(AuditOut))
    def get(self, request: Request, organization: str) -> Response:
        self.enter(organization, Right.SEE_AUDIT)
        query = self.read_query(AuditQuery)
        found = AuditEvent.objects.filter(organization=self.organization.pk)
        return answer_page(filter_events(found, query), query, show_events)


class PlatformAudit(View):
    @extend_schema(parameters=[PlatformAuditQuery], responses=page_of(AuditOut))
    def get(self, request: Request) -> Response:
        """Read the audit of all organizations, and of what belongs to none (operators)."""
        self.enter_platform()
        query = self.read_query(PlatformAuditQuery)
        found = AuditEvent.objects.all()
        if "organization" in query:
            whose = Organization.objects.filter(slug=query["organization"]).first()
            found = found.filter(organization=whose.pk) if whose else found.none()
        return answer_page(filter_events(found, query), query, show_events)


COLUMNS = {
    **{name: name for name in ("object_kind", "object_id", "actor", "via", "action")},
    "since": "at__gte",
    "until": "at__lt",
}


def filter_events(events: QuerySet[AuditEvent], query: Mapping[str, Any]) -> QuerySet[AuditEvent]:
    return events.filter(
        **{column: query[name] for name, column in COLUMNS.items() if name in query}
    )


def show_events(events: Sequence[AuditEvent]) -> list[Any]:
    return list(AuditOut(events, many=True).data)
