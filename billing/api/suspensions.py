"""/route-suspensions: routes that strict quotas leave out until an operator has looked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.fields import Fields, Query, Text
from accounts.api.paging import answer_page, page_of
from accounts.api.views import View, find
from accounts.errors import AnsweredAlready
from billing.models import RouteSuspension
from billing.pricing import format_usd
from billing.suspensions import LONGEST_NOTE, acknowledge


class RouteSuspensionOut(serializers.ModelSerializer[RouteSuspension]):
    attempt = serializers.UUIDField(source="event_id", help_text="The usage event that showed it.")
    held_usd = serializers.SerializerMethodField(help_text="The most that it could have cost.")
    cost_usd = serializers.SerializerMethodField(help_text="What it cost.")
    acknowledged_at = serializers.DateTimeField(
        allow_null=True, help_text="Null: strict quotas still leave it out."
    )
    note = serializers.CharField()

    class Meta:
        model = RouteSuspension
        fields = (
            *("id", "model", "provider", "upstream_model", "attempt", "held_usd", "cost_usd"),
            *("at", "acknowledged_at", "note"),
        )

    def get_held_usd(self, suspension: RouteSuspension) -> str:
        return format_usd(suspension.held_ticks)

    def get_cost_usd(self, suspension: RouteSuspension) -> str:
        return format_usd(suspension.cost_ticks)


class Acknowledgement(Fields):
    note = Text(max_length=LONGEST_NOTE, help_text="What was found, and what was done about it.")


class RouteSuspensionQuery(Query):
    acknowledged = serializers.BooleanField(required=False)
    model = Text(max_length=200, required=False)
    provider = Text(max_length=50, required=False)


class RouteSuspensions(View):
    @extend_schema(parameters=[RouteSuspensionQuery], responses=page_of(RouteSuspensionOut))
    def get(self, request: Request) -> Response:
        self.enter_platform()
        query = self.read_query(RouteSuspensionQuery)
        found = RouteSuspension.objects.filter(
            **{name: query[name] for name in ("model", "provider") if name in query}
        )
        if "acknowledged" in query:
            found = found.filter(acknowledged_at__isnull=not query["acknowledged"])
        return answer_page(found, query, show_suspensions)


class OneRouteSuspension(View):
    @extend_schema(responses=RouteSuspensionOut)
    def get(self, request: Request, suspension: int) -> Response:
        self.enter_platform()
        found = find(RouteSuspension.objects.all(), pk=suspension)
        return self.answer(show_suspensions([found])[0])


class Acknowledge(View):
    changes_one = True

    @extend_schema(request=Acknowledgement, responses=RouteSuspensionOut)
    def post(self, request: Request, suspension: int) -> Response:
        """Let strict quotas use the route again."""
        self.enter_platform()
        note = self.read(Acknowledgement)["note"]
        with self.writing():
            found = find(RouteSuspension.objects.all(), pk=suspension)
            self.require_match(show_suspensions([found])[0])
            if not acknowledge(found, note=note):
                raise AnsweredAlready("Somebody acknowledged this suspension before.")
            found.refresh_from_db()
        return self.answer(show_suspensions([found])[0])


def show_suspensions(suspensions: Sequence[RouteSuspension]) -> list[Any]:
    return list(RouteSuspensionOut(suspensions, many=True).data)
