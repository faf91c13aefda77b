"""/organizations/X/refusals: samples of the calls that were not forwarded, kept for some days."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.fields import Moment, Query, SlugText, Text
from accounts.api.paging import answer_page, page_of
from accounts.models import ApiKey
from billing.api.usage import UsageView
from billing.models import Refusal


class RefusalOut(serializers.ModelSerializer[Refusal]):
    key = serializers.SerializerMethodField(help_text="The public id.")
    project = serializers.SerializerMethodField(help_text="The slug.")
    sampled = serializers.IntegerField(help_text="How many refusals this one stands for.")

    class Meta:
        model = Refusal
        fields = (
            *("call_id", "at", "project", "key", "model", "endpoint", "code", "http_status"),
            *("quota", "message", "sampled"),
        )

    def get_key(self, refusal: Refusal) -> str | None:
        names: dict[int | None, str] = self.context["names"]["key"]
        return names.get(refusal.key)

    def get_project(self, refusal: Refusal) -> str | None:
        names: dict[int | None, str] = self.context["names"]["project"]
        return names.get(refusal.project)


class RefusalQuery(Query):
    since = Moment(required=False)
    until = Moment(required=False)
    project = SlugText(required=False)
    key = Text(max_length=12, required=False)
    code = Text(max_length=50, required=False)
    model = Text(max_length=200, required=False)
    call_id = serializers.UUIDField(required=False)


class Refusals(UsageView):
    @extend_schema(parameters=[RefusalQuery], responses=page_of(RefusalOut))
    def get(self, request: Request, organization: str) -> Response:
        """List why calls were refused; who sees their own use alone sees those of their keys."""
        mine = self.enter_usage(organization)
        query = self.read_query(RefusalQuery)
        found = Refusal.objects.filter(
            organization=self.organization.pk, **self.find_numbers(query, ("project", "key"))
        )
        if mine:
            keys = ApiKey.objects.filter(organization=self.organization, owner=mine["member"])
            found = found.filter(key__in=keys.values("pk"))
        columns = {"since": "at__gte", "until": "at__lt", "code": "code", "model": "model"}
        columns["call_id"] = "call_id"
        found = found.filter(
            **{column: query[name] for name, column in columns.items() if name in query}
        )
        return answer_page(found, query, self.show)

    def show(self, refusals: Sequence[Refusal]) -> list[Any]:
        keys = self.name_keys({refusal.key for refusal in refusals if refusal.key is not None})
        names = {"key": keys, "project": self.name_projects()}
        return list(RefusalOut(refusals, many=True, context={"names": names}).data)
