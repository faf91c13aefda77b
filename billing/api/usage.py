"""/organizations/X/usage: who used what and what it cost, by the sums that reports are made of."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.access import OPERATOR, Right
from accounts.api.fields import Fields, Moment, SlugText, Text
from accounts.api.views import View
from accounts.errors import InvalidField
from accounts.models import ApiKey, Project
from billing import reports
from billing.pricing import format_usd
from billing.rollups import BUCKETS

STEPS = ("hour", "day")

UsageLine = inline_serializer(
    "UsageLine",
    {
        "starts_at": serializers.DateTimeField(allow_null=True, help_text="Null without a step."),
        "project": serializers.CharField(required=False, help_text="The slug."),
        "key": serializers.CharField(required=False, help_text="The public id."),
        "member": serializers.IntegerField(
            required=False, allow_null=True, help_text="Null for service keys."
        ),
        "model": serializers.CharField(required=False),
        "provider": serializers.CharField(required=False),
        "outcome": serializers.CharField(required=False),
        "calls": serializers.IntegerField(),
        "attempts": serializers.IntegerField(),
        **{name: serializers.IntegerField() for name in BUCKETS},
        "cost_ticks": serializers.IntegerField(help_text="10^-10 USD."),
        "cost_usd": serializers.CharField(),
    },
)
UsageOut = inline_serializer(
    "Usage",
    {
        "items": serializers.ListField(child=UsageLine),
        "waiting": serializers.IntegerField(
            help_text="Settlements that are not in these sums yet; they follow within seconds."
        ),
    },
)


class UsageQuery(Fields):
    since = Moment(required=False, help_text="Counted by whole quarters of an hour.")
    until = Moment(required=False)
    by = Text(
        max_length=100,
        required=False,
        help_text=f"Columns with commas between them: {', '.join(reports.DIMENSIONS)}.",
    )
    step = serializers.ChoiceField(STEPS, required=False, help_text="In UTC.")
    project = SlugText(required=False)
    key = Text(max_length=12, required=False)
    member = serializers.IntegerField(required=False, min_value=1, max_value=2**63 - 1)
    model = Text(max_length=200, required=False)


class UsageView(View):
    """What the views of use have in common: whose may be seen, and what numbers are called."""

    def enter_usage(self, organization: str) -> dict[str, int]:
        """Enter, and return the column that use may be seen by: one's own, or of all."""
        self.enter(organization, Right.SEE_ALL_USAGE, Right.SEE_OWN_USAGE)
        if self.may(self.standing, Right.SEE_ALL_USAGE):
            return {}
        return {"member": self.standing.membership or 0}

    def find_numbers(self, query: Mapping[str, Any], names: Collection[str]) -> dict[str, int]:
        """Return the numbers of the project and the key that a query names.

        Raises InvalidField where the organization has none of that name.
        """
        found = {}
        if "project" in names and "project" in query:
            projects = Project.objects.filter(organization=self.organization)
            found["project"] = _number(projects.filter(slug=query["project"]), "project")
        if "key" in names and "key" in query:
            keys = ApiKey.objects.filter(organization=self.organization)
            found["key"] = _number(keys.filter(public_id=query["key"]), "key")
        return found

    def name_keys(self, numbers: Collection[int]) -> dict[int, str]:
        keys = ApiKey.objects.filter(organization=self.organization, pk__in=numbers)
        return dict(keys.values_list("pk", "public_id"))

    def name_projects(self) -> dict[int, str]:
        projects = Project.objects.filter(organization=self.organization)
        return dict(projects.values_list("pk", "slug"))


class Usage(UsageView):
    @extend_schema(parameters=[UsageQuery], responses=UsageOut)
    def get(self, request: Request, organization: str) -> Response:
        """Add up what was used, by as many columns as are asked for, in steps or as a whole."""
        mine = self.enter_usage(organization)
        query = self.read_query(UsageQuery)
        by = self.read_columns(query.get("by", ""))
        only: dict[str, Any] = self.find_numbers(query, ("project", "key"))
        only |= {name: query[name] for name in ("member", "model") if name in query}
        if "member" in mine and only.setdefault("member", mine["member"]) != mine["member"]:
            raise InvalidField("member", "must be you: you see your own use alone")
        groups = reports.grouped(
            self.organization,
            since=query.get("since"),
            until=query.get("until"),
            by=by,
            step=query.get("step"),
            only={name: [value] for name, value in only.items()},
        )
        waiting = reports.waiting(self.organization)
        return Response({"items": self.show(groups), "waiting": waiting})

    def read_columns(self, text: str) -> list[str]:
        names = [name.strip() for name in text.split(",") if name.strip()]
        known = [name for name in reports.DIMENSIONS if self.may_group_by(name)]
        for name in names:
            if name not in known:
                raise InvalidField("by", f"{name!r} is none of {', '.join(known)}")
        return list(dict.fromkeys(names))

    def may_group_by(self, name: str) -> bool:
        return name != "provider" or self.standing.role == OPERATOR

    def show(self, groups: Sequence[reports.Group]) -> list[dict[str, Any]]:
        keys = {key for g in groups if isinstance(key := g.values.get("key"), int)}
        names: dict[str, dict[Any, str]] = {
            "key": self.name_keys(keys),
            "project": self.name_projects(),
        }
        return [show_group(group, names) for group in groups]


def show_group(group: reports.Group, names: Mapping[str, Mapping[Any, str]]) -> dict[str, Any]:
    """Return a line; a number without a name is one of something that is gone."""
    values = {
        column: names[column].get(value, str(value)) if column in names else value
        for column, value in group.values.items()
    }
    return {
        "starts_at": group.starts_at,
        **values,
        "calls": group.calls,
        "attempts": group.attempts,
        **{name: getattr(group.usage, name) for name in BUCKETS},
        "cost_ticks": group.cost_ticks,
        "cost_usd": format_usd(group.cost_ticks),
    }


def _number(rows: Any, field: str) -> int:
    row = rows.first()
    if row is None:
        raise InvalidField(field, f"there is no such {field} in this organization")
    return int(row.pk)
