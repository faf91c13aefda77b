"""What people asked for beyond their limits, and the operators' answers."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from accounts.admin.pages import (
    ReadOnlyAdmin,
    do_to_each,
    name_holder,
    show_organization,
    with_organization,
)
from accounts.models import User
from billing import models
from billing.quotas import show_amount, write_amount
from billing.quotas.asking import approve, decline

APPROVED_DAYS = 7


class IsOpen(admin.SimpleListFilter):
    title = "answer"
    parameter_name = "open"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "waits for one"), ("approved", "approved"), ("declined", "declined")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        filters: dict[str, dict[str, Any]] = {
            "yes": {"decided_at": None},
            "approved": {"quota_raise__isnull": False},
            "declined": {"decided_at__isnull": False, "quota_raise": None},
        }
        return queryset.filter(**filters.get(self.value() or "", {}))


@admin.register(models.RaiseRequest)
class RaiseRequestAdmin(ReadOnlyAdmin):
    """Answered as they were asked, or with other terms on the console's page of the request."""

    list_display = (
        *("id", "whose", "quota", "scope", "asker", "shown", "reason", "made_at", "state"),
        *("decided_by", "answer"),
    )
    list_filter = (IsOpen, "quota__unit", "quota__scope")
    list_select_related = ("quota",)
    search_fields = ("=quota__id", "reason", "decided_by")
    search_help_text = "The number of a quota, or a part of what was written."
    actions = ("approve", "decline")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return with_organization(super().get_queryset(request))

    def has_answer_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("billing.change_raiserequest"))

    @admin.action(description=f"Approve as asked, for {APPROVED_DAYS} days", permissions=["answer"])
    def approve(self, request: HttpRequest, queryset: QuerySet[models.RaiseRequest]) -> None:
        ends_at = timezone.now() + timedelta(days=APPROVED_DAYS)

        def do(asked: models.RaiseRequest) -> None:
            amount = write_amount(asked.quota.unit, asked.amount)
            approve(asked, amount=amount, ends_at=ends_at, by=name_of(request))

        do_to_each(self, request, queryset, do)

    @admin.action(description="Decline", permissions=["answer"])
    def decline(self, request: HttpRequest, queryset: QuerySet[models.RaiseRequest]) -> None:
        do_to_each(
            self,
            request,
            queryset,
            lambda asked: decline(asked, answer="", by=name_of(request)),
        )

    @admin.display(description="organization")
    def whose(self, asked: models.RaiseRequest) -> str:
        return show_organization(asked)

    @admin.display(description="of")
    def scope(self, asked: models.RaiseRequest) -> str:
        return name_holder(asked.quota.scope, asked.quota.scope_id)

    @admin.display(description="asked by")
    def asker(self, asked: models.RaiseRequest) -> str:
        return name_holder("member", asked.member)

    @admin.display(description="how much more")
    def shown(self, asked: models.RaiseRequest) -> str:
        return show_amount(asked.quota.unit, asked.amount)

    @admin.display(description="state")
    def state(self, asked: models.RaiseRequest) -> str:
        if asked.decided_at is None:
            return "waits"
        return "declined" if asked.quota_raise_id is None else "approved"


def name_of(request: HttpRequest) -> str:
    assert isinstance(request.user, User)
    return request.user.email
