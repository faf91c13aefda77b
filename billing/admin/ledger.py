"""The ledger's own: windows and what is drawn from them, processes, routes that were suspended."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from accounts.admin.pages import ReadOnlyAdmin, name_holder
from billing import models
from billing.pricing import format_usd
from billing.quotas import show_amount
from billing.suspensions import acknowledge


@admin.register(models.QuotaWindow)
class QuotaWindowAdmin(ReadOnlyAdmin):
    """What was counted: amounts in the unit of the quota, dollars for cost."""

    list_display = ("id", "quota", "whose", "starts_at", "most", "used", "drawn_now")
    list_select_related = ("quota",)
    list_filter = ("quota__unit", "quota__window")
    search_fields = ("=quota__id",)
    search_help_text = "The number of a quota."
    fields = ("quota", "whose", "starts_at", "ends_at", "most", "used", "beyond", "drawn_now")
    readonly_fields = ("whose", "most", "used", "beyond", "drawn_now", "allowances")

    def get_fields(self, request: HttpRequest, obj: models.QuotaWindow | None = None) -> Any:
        return (*self.fields, "allowances")

    @admin.display(description="of")
    def whose(self, window: models.QuotaWindow) -> str:
        return name_holder(window.quota.scope, window.quota.scope_id)

    @admin.display(description="limit")
    def most(self, window: models.QuotaWindow) -> str:
        limit = window.quota.limit if window.limit is None else window.limit
        return "none" if limit is None else _show(window, limit)

    @admin.display(description="used")
    def used(self, window: models.QuotaWindow) -> str:
        return _show(window, window.posted + window.overrun)

    @admin.display(description="beyond its bound")
    def beyond(self, window: models.QuotaWindow) -> str:
        return _show(window, window.overrun)

    @admin.display(description="drawn")
    def drawn_now(self, window: models.QuotaWindow) -> str:
        return _show(window, window.drawn)

    @admin.display(description="drawn by")
    def allowances(self, window: models.QuotaWindow) -> str:
        drawn = models.Allowance.objects.filter(window=window)
        told = (f"process {each.process_id}: {_show(window, each.amount)}" for each in drawn)
        return "; ".join(told) or "nobody"


def _show(window: models.QuotaWindow, amount: int) -> str:
    return show_amount(window.quota.unit, amount)


@admin.register(models.GatewayProcess)
class GatewayProcessAdmin(ReadOnlyAdmin):
    list_display = ("id", "host", "started_at", "lease_until", "ended_at", "finished", "ails")
    list_filter = (("ended_at", admin.EmptyFieldListFilter),)

    @admin.display(description="said to ail it")
    def ails(self, process: models.GatewayProcess) -> str:
        return ", ".join((process.report or {}).get("degraded", ())) or "–"


@admin.register(models.RouteSuspension)
class RouteSuspensionAdmin(ReadOnlyAdmin):
    """Routes that strict quotas leave out; the action lets them be used again."""

    list_display = ("id", "at", "model", "provider", "held", "cost", "acknowledged_at", "note")
    list_filter = (("acknowledged_at", admin.EmptyFieldListFilter), "provider")
    actions = ("acknowledge",)

    def has_acknowledge_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("billing.change_routesuspension"))

    @admin.action(
        description="Acknowledge: strict quotas use these routes again",
        permissions=["acknowledge"],
    )
    def acknowledge(self, request: HttpRequest, queryset: QuerySet[models.RouteSuspension]) -> None:
        done = sum(acknowledge(each, note="acknowledged in the admin") for each in queryset)
        self.message_user(request, f"{done} acknowledged.")

    @admin.display(description="held, USD")
    def held(self, suspension: models.RouteSuspension) -> str:
        return format_usd(suspension.held_ticks)

    @admin.display(description="cost, USD")
    def cost(self, suspension: models.RouteSuspension) -> str:
        return format_usd(suspension.cost_ticks)
