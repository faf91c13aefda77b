"""/organizations/X/quotas/N/raises: more than the limit for a while, and prepaid grants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.fields import Fields, Flag, Moment, Query, Text
from accounts.api.paging import answer_page, page_of
from accounts.api.views import find
from billing.api.quotas import AMOUNT, QuotaView, write_amount
from billing.models import Quota, QuotaRaise
from billing.quotas import end_raise, grant, raise_limit
from billing.quotas.raises import MAX_REASON_LENGTH


class RaiseOut(serializers.ModelSerializer[QuotaRaise]):
    amount = serializers.SerializerMethodField(help_text=AMOUNT)

    class Meta:
        model = QuotaRaise
        fields = ("id", "amount", "is_prepaid", "reason", "made_at", "ends_at")

    def get_amount(self, quota_raise: QuotaRaise) -> str:
        return write_amount(quota_raise.quota.unit, quota_raise.amount)


class RaiseIn(Fields):
    amount = Text(max_length=50, help_text=AMOUNT)
    ends_at = Moment()
    reason = Text(max_length=MAX_REASON_LENGTH, allow_blank=True, default="")
    is_prepaid = Flag(
        default=False,
        help_text="To be used once, of a lifetime quota; what is left at its end expires.",
    )


class RaiseQuery(Query):
    active = serializers.BooleanField(required=False)


class RaiseView(QuotaView):
    volatile = frozenset()

    def enter_quota(self, organization: str, quota: int) -> Quota:
        return find(self.enter_quotas(organization), pk=quota)


class Raises(RaiseView):
    @extend_schema(parameters=[RaiseQuery], responses=page_of(RaiseOut))
    def get(self, request: Request, organization: str, quota: int) -> Response:
        found = self.enter_quota(organization, quota).raises.select_related("quota")
        query = self.read_query(RaiseQuery)
        if "active" in query:
            living = {"ends_at__gt": timezone.now()}
            found = found.filter(**living) if query["active"] else found.exclude(**living)
        return answer_page(found, query, show_raises)

    @extend_schema(request=RaiseIn, responses={201: RaiseOut})
    def post(self, request: Request, organization: str, quota: int) -> Response:
        """Let the quota's windows hold more until a time, or add a grant to be used once."""
        found = self.enter_quota(organization, quota)
        self.require_manage(found.scope)
        fields = self.read(RaiseIn)
        add = grant if fields.pop("is_prepaid") else raise_limit
        with self.writing():
            made = add(found, **fields)
        return self.answer(show_raises([made])[0], status=201)


class OneRaise(RaiseView):
    @extend_schema(responses=RaiseOut)
    def get(self, request: Request, organization: str, quota: int, quota_raise: int) -> Response:
        found = self.enter_quota(organization, quota)
        return self.answer(show_raises([find(found.raises.all(), pk=quota_raise)])[0])

    @extend_schema(responses={204: None})
    def delete(self, request: Request, organization: str, quota: int, quota_raise: int) -> Response:
        """End it now; of a grant, what was used stays paid."""
        found = self.enter_quota(organization, quota)
        self.require_manage(found.scope)
        with self.writing():
            ended = find(found.raises.all(), pk=quota_raise)
            self.require_match(show_raises([ended])[0])
            end_raise(ended)
        return Response(status=204)


def show_raises(raises: Sequence[QuotaRaise]) -> list[Any]:
    return list(RaiseOut(raises, many=True).data)
