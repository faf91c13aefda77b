"""What operators see of billing. Prices are added and quotas set, in USD; the rest is to be read.

Facts and windows cannot be changed here or anywhere else, and tables that grow without end are
neither counted to the last row nor searched without an index.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest

from accounts.admin.pages import ReadOnlyAdmin
from accounts.errors import InvalidField
from accounts.models import Organization
from billing import models
from billing.prices import figures_of
from billing.pricing import PRICES, format_price, format_usd, parse_prices
from billing.quotas import parse_quota, require_scope, show_amount, write_amount
from billing.suspensions import acknowledge
from billing.usage import first_id_at

ATTEMPTS_MS = 24 * 3600 * 1000  # No call goes on trying for longer.


def add_field_error(form: forms.BaseForm, error: InvalidField) -> None:
    """Show an error at its field, or at the top where the form has no such field."""
    name = error.field.partition("[")[0]
    form.add_error(name if name in form.fields else None, f"{error.field}: {error.reason}")


class PriceForm(forms.ModelForm[models.Price]):
    """A new price, in USD per million tokens."""

    above = forms.JSONField(
        required=False,
        help_text='Tiers, such as [{"input_tokens": 200000, "input": "6.00"}].',
    )

    class Meta:
        model = models.Price
        fields = ("model", "provider", "effective_from", *PRICES)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in PRICES:
            if name in self.fields:
                self.fields[name] = forms.CharField(
                    required=name in {"input", "output"}, help_text="USD per million tokens"
                )

    def clean(self) -> dict[str, Any]:
        """Put ticks in the place of what was written."""
        cleaned = super().clean() or self.cleaned_data
        written = {name: cleaned[name] for name in (*PRICES, "above") if cleaned.get(name)}
        cleaned.update(dict.fromkeys(PRICES))
        try:
            figures = parse_prices(written)
        except InvalidField as error:
            add_field_error(self, error)
            cleaned.update(dict.fromkeys({"input", "output"} - self.errors.keys(), 0))
        else:
            cleaned.update(figures.ticks)
            self.instance.tiers = figures.tiers
        return cleaned


@admin.register(models.Price)
class PriceAdmin(admin.ModelAdmin[models.Price]):
    """Add only: a change of price is a new row from a later date on."""

    form = PriceForm
    list_display = ("model", "provider", "effective_from", "usd_per_million_tokens")
    list_filter = ("provider",)
    search_fields = ("model",)
    ordering = ("model", "-effective_from")

    def get_fields(self, request: HttpRequest, obj: models.Price | None = None) -> Any:
        if obj is not None:
            return ("model", "provider", "effective_from", "usd_per_million_tokens", "made_at")
        return ("model", "provider", "effective_from", *PRICES, "above")

    def get_readonly_fields(self, request: HttpRequest, obj: models.Price | None = None) -> Any:
        return ("usd_per_million_tokens", "made_at") if obj is not None else ()

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    @admin.display(description="USD per million tokens")
    def usd_per_million_tokens(self, price: models.Price) -> str:
        figures = figures_of(price)
        tiers = [("", figures.ticks)]
        tiers += [(f"from {t['input_tokens']} input tokens: ", t) for t in figures.tiers]
        return "; ".join(
            start + ", ".join(f"{n} {format_price(each[n])}" for n in PRICES if n in each)
            for start, each in tiers
        )


class QuotaForm(forms.ModelForm[models.Quota]):
    """A rule. Whose and what it is of cannot be changed later."""

    organization = forms.ModelChoiceField(Organization.objects.all())
    limit = forms.CharField(
        required=False,
        help_text="USD for cost, else a number. Empty counts without refusing; 0 refuses all.",
    )

    class Meta:
        model = models.Quota
        fields = (
            *("organization", "scope", "scope_id", "unit", "window", "model"),
            *("limit", "mode", "hold", "clamp", "ends_at"),
        )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk is not None:
            limit = self.instance.limit
            self.initial["limit"] = "" if limit is None else write_amount(self.instance.unit, limit)
            for name in ("organization", "scope", "scope_id", "unit", "window", "model"):
                self.fields[name].disabled = True

    def clean_organization(self) -> int:
        return int(self.cleaned_data["organization"].pk)

    def clean(self) -> dict[str, Any]:
        """Put ticks in the place of what was written."""
        cleaned = super().clean() or self.cleaned_data
        limit, cleaned["limit"] = cleaned.get("limit") or None, None
        if self.errors:
            return cleaned
        names = ("unit", "window", "model", "mode", "hold", "clamp")
        written = {"limit": limit, **{name: cleaned[name] for name in names}}
        try:
            cleaned["limit"] = parse_quota(written, scope=cleaned["scope"]).limit
            whose = {name: cleaned[name] for name in ("organization", "scope", "scope_id")}
            require_scope(**whose)
        except InvalidField as error:
            add_field_error(self, error)
        return cleaned


@admin.register(models.Quota)
class QuotaAdmin(admin.ModelAdmin[models.Quota]):
    """A quota ends by its date; it is not deleted, as its windows are history."""

    form = QuotaForm
    list_display = ("id", "organization", "scope", "scope_id", "model", "unit", "window", "shown")
    list_filter = ("scope", "unit", "window", "mode")

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    @admin.display(description="limit")
    def shown(self, quota: models.Quota) -> str:
        return "none" if quota.limit is None else show_amount(quota.unit, quota.limit)


@admin.register(models.QuotaWindow)
class QuotaWindowAdmin(ReadOnlyAdmin):
    list_display = ("id", "quota", "starts_at", "limit", "posted", "overrun", "drawn")
    list_select_related = ("quota",)
    readonly_fields = ("allowances",)

    @admin.display(description="drawn by")
    def allowances(self, window: models.QuotaWindow) -> str:
        drawn = models.Allowance.objects.filter(window=window)
        return "; ".join(f"{each.process_id}: {each.amount}" for each in drawn) or "nobody"


@admin.register(models.GatewayProcess)
class GatewayProcessAdmin(ReadOnlyAdmin):
    list_display = ("id", "host", "started_at", "lease_until", "ended_at")


@admin.register(models.UsageEvent)
class UsageEventAdmin(ReadOnlyAdmin):
    """Searched by the call's id alone, which says when its attempts were."""

    list_display = ("id", "at", "organization", "key", "model", "provider", "outcome", "usd")
    search_fields = ("call_id",)
    search_help_text = "The id of a call, as in its x-request-id."

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        if not search_term:
            return queryset, False
        try:
            call = uuid.UUID(search_term.strip())
        except ValueError:
            return queryset.none(), False
        began_ms = call.int >> 80
        first, after = first_id_at(began_ms), first_id_at(min(began_ms + ATTEMPTS_MS, 2**48 - 1))
        return queryset.filter(call_id=call, id__gte=first, id__lt=after), False

    @admin.display(ordering="id")
    def at(self, event: models.UsageEvent) -> datetime:
        return datetime.fromtimestamp((event.pk.int >> 80) / 1000, UTC)

    @admin.display(description="cost, USD")
    def usd(self, event: models.UsageEvent) -> str:
        return format_usd(event.cost_ticks)


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


@admin.register(models.Adjustment)
class AdjustmentAdmin(ReadOnlyAdmin):
    list_display = ("id", "at", "reason", "window_id", "event_id", "process", "amount")


@admin.register(models.SettlementConflict)
class SettlementConflictAdmin(ReadOnlyAdmin):
    list_display = ("id", "at", "event_id")


@admin.register(models.RejectedEvent)
class RejectedEventAdmin(ReadOnlyAdmin):
    list_display = ("id", "at", "event_id", "error")


@admin.register(models.Refusal)
class RefusalAdmin(ReadOnlyAdmin):
    list_display = ("id", "at", "organization", "key", "model", "code", "http_status")
