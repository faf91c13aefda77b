"""/organizations/X/calls: attempts as they were recorded, and all of one call."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.access import OPERATOR
from accounts.api.fields import Moment, Query, SlugText, Text
from accounts.api.paging import answer_page, page_of
from billing.api.usage import UsageView
from billing.calls import find_attempts, find_call, find_corrections, moment_of
from billing.models import Adjustment, UsageEvent
from billing.pricing import format_usd
from billing.rollups import BUCKETS
from billing.usage import Outcome, UsageSource

OF_OPERATORS = ("provider", "upstream_model", "upstream_id")


class CorrectionOut(serializers.ModelSerializer[Adjustment]):
    """What was heard of an attempt afterwards: to be added to its figures."""

    cost_ticks = serializers.IntegerField(source="amount")
    usage = serializers.DictField(child=serializers.IntegerField())

    class Meta:
        model = Adjustment
        fields = ("at", "reason", "cost_ticks", "usage")


class AttemptOut(serializers.ModelSerializer[UsageEvent]):
    at = serializers.SerializerMethodField()
    key = serializers.SerializerMethodField(help_text="The public id.")
    project = serializers.SerializerMethodField(help_text="The slug.")
    outcome = serializers.ChoiceField([each.value for each in Outcome])
    usage_source = serializers.ChoiceField([each.value for each in UsageSource])
    provider = serializers.CharField(allow_null=True, help_text="Shown to operators.")
    upstream_model = serializers.CharField(allow_null=True, help_text="Shown to operators.")
    upstream_id = serializers.CharField(allow_null=True, help_text="Shown to operators.")
    cost_usd = serializers.SerializerMethodField()
    tags = serializers.DictField(child=serializers.CharField())

    class Meta:
        model = UsageEvent
        fields = (
            *("id", "call_id", "attempt_no", "at", "project", "key", "member", "model"),
            *OF_OPERATORS,
            *("protocol", "endpoint", "outcome", "http_status", "usage_source"),
            *BUCKETS,
            *("cost_ticks", "cost_usd", "first_byte_ms", "total_ms", "tags"),
        )

    def get_at(self, attempt: UsageEvent) -> str:
        return moment_of(attempt).isoformat().replace("+00:00", "Z")

    def get_key(self, attempt: UsageEvent) -> str:
        names: dict[int, str] = self.context["names"]["key"]
        return names.get(attempt.key, str(attempt.key))

    def get_project(self, attempt: UsageEvent) -> str:
        names: dict[int, str] = self.context["names"]["project"]
        return names.get(attempt.project, str(attempt.project))

    def get_cost_usd(self, attempt: UsageEvent) -> str:
        return format_usd(attempt.cost_ticks)


CallOut = inline_serializer(
    "Call",
    {
        "id": serializers.UUIDField(help_text="Also `x-request-id` of the answer."),
        "attempts": AttemptOut(many=True),
        "corrections": serializers.DictField(
            child=CorrectionOut(many=True), help_text="By the id of the attempt."
        ),
    },
)


class CallQuery(Query):
    since = Moment(required=False)
    until = Moment(required=False)
    project = SlugText(required=False)
    key = Text(max_length=12, required=False)
    member = serializers.IntegerField(required=False, min_value=1, max_value=2**63 - 1)
    model = Text(max_length=200, required=False)
    outcome = serializers.ChoiceField([each.value for each in Outcome], required=False)


class Calls(UsageView):
    @extend_schema(parameters=[CallQuery], responses=page_of(AttemptOut))
    def get(self, request: Request, organization: str) -> Response:
        """List attempts, the newest first; a call that was tried twice has two."""
        mine = self.enter_usage(organization)
        query = self.read_query(CallQuery)
        columns = self.find_numbers(query, ("project", "key"))
        columns |= {name: query[name] for name in ("member", "model", "outcome") if name in query}
        found = find_attempts(
            self.organization, since=query.get("since"), until=query.get("until"), **columns
        )
        return answer_page(found.filter(**mine), query, self.show)

    def show(self, attempts: Sequence[UsageEvent]) -> list[Any]:
        return show_attempts(self, attempts)


class OneCall(UsageView):
    @extend_schema(responses=CallOut)
    def get(self, request: Request, organization: str, call: uuid.UUID) -> Response:
        """Show every attempt of a call, and what was heard of them afterwards."""
        mine = self.enter_usage(organization)
        attempts = list(find_call(self.organization, call).filter(**mine).order_by("attempt_no"))
        if not attempts:
            raise NotFound
        corrections = find_corrections(attempts)
        return Response(
            {
                "id": str(call),
                "attempts": show_attempts(self, attempts),
                "corrections": {
                    str(pk): CorrectionOut(each, many=True).data for pk, each in corrections.items()
                },
            }
        )


def show_attempts(view: UsageView, attempts: Sequence[UsageEvent]) -> list[Any]:
    names = {
        "key": view.name_keys({attempt.key for attempt in attempts}),
        "project": view.name_projects(),
    }
    shown = list(AttemptOut(attempts, many=True, context={"names": names}).data)
    if view.standing.role != OPERATOR:
        shown = [{**each, **dict.fromkeys(OF_OPERATORS)} for each in shown]
    return shown
