"""Prices, quotas and what raises them: written in USD or plain numbers, kept in ticks."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import HttpRequest

from accounts.admin.pages import name_holder, show_organization, with_organization
from accounts.errors import InvalidField
from accounts.models import Organization
from billing import models
from billing.prices import figures_of
from billing.pricing import PRICES, format_price, parse_prices
from billing.quotas import (
    end_quota,
    end_raise,
    grant,
    parse_quota,
    raise_limit,
    require_scope,
    show_amount,
    write_amount,
)


def add_field_error(form: forms.BaseForm, error: InvalidField) -> None:
    """Show an error at its field, or at the top where the form has no such field."""
    name = error.field.partition("[")[0]
    form.add_error(name if name in form.fields else None, f"{error.field}: {error.reason}")


class TiersField(forms.JSONField):
    """JSON that is empty where nothing was written, not `null`."""

    def prepare_value(self, value: Any) -> Any:
        return "" if value is None else super().prepare_value(value)


class PriceForm(forms.ModelForm[models.Price]):
    """A new price, in USD per million tokens."""

    above = TiersField(
        required=False,
        label="Above so many input tokens",
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text='Tiers, such as [{"input_tokens": 200000, "input": "6.00"}].',
    )

    class Meta:
        model = models.Price
        fields = ("model", "provider", "effective_from", *PRICES)
        help_texts = {
            "model": "The public name that callers use.",
            "provider": "Empty for any provider of the model.",
            "effective_from": "UTC. Earlier calls keep the price that they had.",
        }

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
        help_texts = {
            "scope_id": "The number of the organization, project, membership or key it is for.",
            "model": "Empty for all models together.",
            "mode": "Observe counts and refuses nothing.",
            "hold": "Strict holds the most that a call can use; bounded holds what is likely.",
            "clamp": "Ask the provider for a shorter answer where the longest does not fit.",
            "ends_at": "UTC. Empty for ever.",
        }

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
    list_display = ("holder", "whose", "shown", "window", "model", "mode", "ends_at")
    list_filter = ("scope", "unit", "window", "mode", ("ends_at", admin.EmptyFieldListFilter))
    actions = ("end",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return with_organization(super().get_queryset(request))

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    @admin.display(description="organization")
    def whose(self, quota: models.Quota) -> str:
        return show_organization(quota)

    @admin.display(description="of")
    def holder(self, quota: models.Quota) -> str:
        return name_holder(quota.scope, quota.scope_id)

    @admin.display(description="limit")
    def shown(self, quota: models.Quota) -> str:
        if quota.limit is None:
            return f"counts {quota.get_unit_display().lower()}"
        amount = show_amount(quota.unit, quota.limit)
        return amount if quota.unit == "cost" else f"{amount} {quota.get_unit_display().lower()}"

    @admin.action(description="End the selected quotas now", permissions=["change"])
    def end(self, request: HttpRequest, queryset: QuerySet[models.Quota]) -> None:
        live = queryset.filter(ends_at=None)
        for quota in live:
            end_quota(quota)
        self.message_user(request, "Ended. What they counted stays.", messages.SUCCESS)


class QuotaRaiseForm(forms.ModelForm[models.QuotaRaise]):
    """More for a while, or a prepaid amount; refused beside the field that is wrong."""

    amount = forms.CharField(help_text="USD for cost, else a number, as the quota's limit is.")

    class Meta:
        model = models.QuotaRaise
        fields = ("quota", "amount", "ends_at", "is_prepaid", "reason")
        help_texts = {"is_prepaid": "Used once; what is left at the end expires."}

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if self.errors:
            return cleaned
        try:
            with transaction.atomic():  # Only to see what would be refused.
                cleaned["amount"] = make_raise(cleaned).amount
                transaction.set_rollback(True)
        except InvalidField as error:
            cleaned["amount"] = 1
            add_field_error(self, error)
        return cleaned


def make_raise(asked: dict[str, Any]) -> models.QuotaRaise:
    """Make what a form asks for. Raises InvalidField."""
    add = grant if asked["is_prepaid"] else raise_limit
    return add(
        asked["quota"], amount=asked["amount"], ends_at=asked["ends_at"], reason=asked["reason"]
    )


@admin.register(models.QuotaRaise)
class QuotaRaiseAdmin(admin.ModelAdmin[models.QuotaRaise]):
    """Made and ended; never changed, as windows have taken it over."""

    form = QuotaRaiseForm
    list_display = ("id", "whose", "quota", "shown", "is_prepaid", "ends_at", "reason")
    list_filter = ("is_prepaid",)
    list_select_related = ("quota",)
    raw_id_fields = ("quota",)
    ordering = ("-id",)
    actions = ("end",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return with_organization(super().get_queryset(request))

    def get_fields(self, request: HttpRequest, obj: models.QuotaRaise | None = None) -> Any:
        asked = ("quota", "amount", "ends_at", "is_prepaid", "reason")
        return asked if obj is None else ("quota", "shown", *asked[2:], "made_at")

    def get_readonly_fields(
        self, request: HttpRequest, obj: models.QuotaRaise | None = None
    ) -> Any:
        return () if obj is None else ("shown", "made_at")

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_end_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("billing.change_quotaraise"))

    def save_model(
        self, request: HttpRequest, obj: models.QuotaRaise, form: Any, change: bool
    ) -> None:
        written = {**form.cleaned_data, "amount": form.data["amount"]}
        obj.pk = make_raise(written).pk
        obj.refresh_from_db()

    @admin.display(description="organization")
    def whose(self, quota_raise: models.QuotaRaise) -> str:
        return show_organization(quota_raise)

    @admin.display(description="amount")
    def shown(self, quota_raise: models.QuotaRaise) -> str:
        return show_amount(quota_raise.quota.unit, quota_raise.amount)

    @admin.action(description="End the selected raises now", permissions=["end"])
    def end(self, request: HttpRequest, queryset: QuerySet[models.QuotaRaise]) -> None:
        for each in queryset:
            end_raise(each)
        self.message_user(request, "Ended.", messages.SUCCESS)
