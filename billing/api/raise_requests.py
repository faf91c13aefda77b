"""Asking for more than a quota allows, and the one answer to that, which may be a raise.

/organizations/X/quotas/N/raise-requests is where one asks; /organizations/X/raise-requests has
one's own requests and those that one may answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.authentication import actor_of
from accounts.api.fields import Fields, Moment, Query, Text
from accounts.api.paging import answer_page, page_of
from accounts.api.views import find
from billing.api.quotas import AMOUNT, QuotaView, write_amount
from billing.models import RaiseRequest
from billing.quotas.asking import approve, ask_for_more, decline, find_requests, may_ask
from billing.quotas.raises import MAX_REASON_LENGTH


class RaiseRequestOut(serializers.ModelSerializer[RaiseRequest]):
    quota = serializers.IntegerField(source="quota_id", help_text="The number of the quota.")
    amount = serializers.SerializerMethodField(help_text=f"What was asked for. {AMOUNT}")
    quota_raise = serializers.IntegerField(
        source="quota_raise_id", allow_null=True, help_text="The raise that it led to."
    )
    answer = serializers.CharField(help_text="What was said to a refusal.")

    class Meta:
        model = RaiseRequest
        fields = (
            *("id", "quota", "member", "amount", "reason", "made_at"),
            *("decided_at", "decided_by", "quota_raise", "answer"),
        )

    def get_amount(self, request: RaiseRequest) -> str:
        return write_amount(request.quota.unit, request.amount)


class RaiseRequestIn(Fields):
    amount = Text(max_length=50, help_text=f"How much more. {AMOUNT}")
    reason = Text(max_length=MAX_REASON_LENGTH, help_text="What for.")


class Approval(Fields):
    amount = Text(max_length=50, required=False, help_text="Left out: what was asked for.")
    ends_at = Moment(help_text="Until when the limit is raised.")


class Refusal(Fields):
    answer = Text(max_length=MAX_REASON_LENGTH, allow_blank=True, default="")


class RaiseRequestQuery(Query):
    quota = serializers.IntegerField(required=False, min_value=1, max_value=2**63 - 1)
    open = serializers.BooleanField(required=False, help_text="Those without an answer.")


class RaiseRequestView(QuotaView):
    volatile = frozenset()

    def find_requests(self, organization: str) -> Any:
        """Enter, and return the requests that may be seen."""
        self.enter_quotas(organization)
        return find_requests(self.organization, self.standing)


class RaiseRequests(RaiseRequestView):
    @extend_schema(parameters=[RaiseRequestQuery], responses=page_of(RaiseRequestOut))
    def get(self, request: Request, organization: str) -> Response:
        """List one's own requests and those that one may answer."""
        found = self.find_requests(organization)
        query = self.read_query(RaiseRequestQuery)
        if "quota" in query:
            found = found.filter(quota=query["quota"])
        if "open" in query:
            found = found.filter(decided_at__isnull=query["open"])
        return answer_page(found, query, show_requests)


class Ask(RaiseRequestView):
    @extend_schema(request=RaiseRequestIn, responses={201: RaiseRequestOut})
    def post(self, request: Request, organization: str, quota: int) -> Response:
        """Ask for more, as a member; whoever may raise the limit sees it and answers."""
        found = find(self.enter_quotas(organization), pk=quota)
        fields = self.read(RaiseRequestIn)
        member = self.standing.membership
        if member is None or not may_ask(self.standing, found):
            raise PermissionDenied("This limit cannot be asked about.")
        with self.writing():
            asked = ask_for_more(found, member=member, **fields)
        return self.answer(show_requests([asked])[0], status=201)


class OneRaiseRequest(RaiseRequestView):
    @extend_schema(responses=RaiseRequestOut)
    def get(self, request: Request, organization: str, raise_request: int) -> Response:
        found = find(self.find_requests(organization), pk=raise_request)
        return self.answer(show_requests([found])[0])


class AnswerView(RaiseRequestView):
    """An answer to a request. There is only one."""

    changes_one = True

    def find_answerable(self, organization: str, number: int) -> RaiseRequest:
        found: RaiseRequest = find(self.find_requests(organization), pk=number)
        self.require_manage(found.quota.scope)
        return found

    def prepare(self, asked: RaiseRequest) -> None:
        """Read the request again and compare it, within the transaction that answers it."""
        asked.refresh_from_db()
        self.require_match(show_requests([asked])[0])


class Approve(AnswerView):
    @extend_schema(request=Approval, responses=RaiseRequestOut)
    def post(self, request: Request, organization: str, raise_request: int) -> Response:
        """Raise the limit, by what was asked for or by another amount."""
        asked = self.find_answerable(organization, raise_request)
        fields = self.read(Approval)
        fields.setdefault("amount", write_amount(asked.quota.unit, asked.amount))
        with self.writing():
            self.prepare(asked)
            approve(asked, **fields, by=actor_of(request))
        return self.answer(show_requests([asked])[0])


class Decline(AnswerView):
    @extend_schema(request=Refusal, responses=RaiseRequestOut)
    def post(self, request: Request, organization: str, raise_request: int) -> Response:
        """Refuse, with a word to whoever asked."""
        asked = self.find_answerable(organization, raise_request)
        fields = self.read(Refusal)
        with self.writing():
            self.prepare(asked)
            decline(asked, **fields, by=actor_of(request))
        return self.answer(show_requests([asked])[0])


def show_requests(requests: Sequence[RaiseRequest]) -> list[Any]:
    return list(RaiseRequestOut(requests, many=True).data)
