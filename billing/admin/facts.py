"""Facts and refusals, to be read. They are searched by what an index knows."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from accounts.admin.pages import (
    ReadOnlyAdmin,
    show_key,
    show_organization,
    with_key,
    with_organization,
)
from accounts.models import ApiKey, Organization
from billing import models
from billing.pricing import format_usd
from billing.usage import Usage, first_id_at

ATTEMPTS_MS = 24 * 3600 * 1000  # No call goes on trying for longer.
SEARCH_HELP = "A call's id (its x-request-id), a key's public id, or an organization's slug."


class CallsAdmin(ReadOnlyAdmin):
    """Rows of calls: shown with names, and searched by whom or which call they are of."""

    search_fields = ("call_id",)
    search_help_text = SEARCH_HELP

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return with_key(with_organization(super().get_queryset(request)))

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        try:
            return self.of_call(queryset, uuid.UUID(term)), False
        except ValueError:
            pass
        key = ApiKey.objects.filter(public_id=term).first()
        if key is not None:
            return queryset.filter(key=key.pk), False
        organization = Organization.objects.filter(slug=term.lower()).first()
        if organization is not None:
            return queryset.filter(organization=organization.pk), False
        return queryset.none(), False

    def of_call(self, queryset: QuerySet[Any], call: uuid.UUID) -> QuerySet[Any]:
        return queryset.filter(call_id=call)

    @admin.display(description="organization")
    def whose(self, row: Any) -> str:
        return show_organization(row)

    @admin.display(description="key")
    def by_key(self, row: Any) -> str:
        return show_key(row)


@admin.register(models.UsageEvent)
class UsageEventAdmin(CallsAdmin):
    list_display = ("at", "whose", "by_key", "model", "provider", "outcome", "tokens", "usd")

    def of_call(self, queryset: QuerySet[Any], call: uuid.UUID) -> QuerySet[Any]:
        """A call's id says when its attempts were, and so in which partitions they lie."""
        began_ms = call.int >> 80
        first, after = first_id_at(began_ms), first_id_at(min(began_ms + ATTEMPTS_MS, 2**48 - 1))
        return queryset.filter(call_id=call, id__gte=first, id__lt=after)

    @admin.display(description="at (UTC)", ordering="id")
    def at(self, event: models.UsageEvent) -> str:
        return f"{datetime.fromtimestamp((event.pk.int >> 80) / 1000, UTC):%Y-%m-%d %H:%M:%S}"

    @admin.display(description="tokens in / out")
    def tokens(self, event: models.UsageEvent) -> str:
        used = Usage(**{name: getattr(event, name) for name in Usage.__struct_fields__})
        return f"{used.input_tokens:,} / {used.output_tokens:,}"

    @admin.display(description="cost, USD")
    def usd(self, event: models.UsageEvent) -> str:
        return format_usd(event.cost_ticks)


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
class RefusalAdmin(CallsAdmin):
    list_display = ("at", "whose", "by_key", "model", "code", "status", "sampled", "message")
    ordering = ("-at",)

    @admin.display(description="status", ordering="http_status")
    def status(self, refusal: models.Refusal) -> int:
        return refusal.http_status
