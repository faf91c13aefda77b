"""The audit and the change log: triggers write them, people read them.

Nothing here scans the whole of a log: filters are lists that are known beforehand, and the search
takes whole words that an index knows.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from django.apps import apps
from django.contrib import admin
from django.db import connection
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from accounts.admin.pages import ReadOnlyAdmin, show_organization, with_organization
from accounts.models import AuditEvent, ChangeLog, Organization
from accounts.triggers import list_watched

SHOWN_ORGANIZATIONS = 100
VERBS = {"insert": "added", "update": "changed", "delete": "removed"}
VIA = ("admin", "api", "command", "console", "sql")


class KnownValuesFilter(admin.SimpleListFilter):
    """A filter by a column whose values are known without reading the table."""

    values: dict[str, str] = {}

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return list(self.values.items())

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        return queryset.filter(**{str(self.parameter_name): value}) if value else queryset


class ViaFilter(KnownValuesFilter):
    title, parameter_name = "way", "via"
    values = {way: way for way in VIA}


class ActionFilter(KnownValuesFilter):
    title, parameter_name = "what was done", "action"
    values = VERBS


class KindFilter(KnownValuesFilter):
    title, parameter_name = "kind of object", "object_kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(table, _word(table)) for table in list_watched(connection)]


class KindOfChangeFilter(KindFilter):
    parameter_name = "kind"


class OrganizationFilter(KnownValuesFilter):
    """The first hundred; the search finds any other by its slug."""

    title, parameter_name = "organization", "organization"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        found = Organization.objects.values_list("pk", "slug")[:SHOWN_ORGANIZATIONS]
        return [(str(pk), slug) for pk, slug in found]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value() or ""
        return queryset.filter(organization=value) if value.isdecimal() else queryset


@admin.register(AuditEvent)
class AuditEventAdmin(ReadOnlyAdmin):
    list_display = ("when", "actor", "via", "address", "what", "whose", "changed")
    list_filter = ("at", ViaFilter, ActionFilter, KindFilter, OrganizationFilter)
    search_fields = ("actor",)
    search_help_text = "The whole name of an actor, the slug of an organization, or an object's id."
    fields = ("when", "actor", "via", "address", "what", "whose", "differences")
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[AuditEvent]:
        return with_organization(super().get_queryset(request))

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip().lower()
        if not term:
            return queryset, False
        wanted = Q(actor=term) | Q(
            organization__in=list(
                Organization.objects.filter(slug=term).values_list("pk", flat=True)
            )
        )
        if term.isdecimal() and len(term) < 19:
            wanted |= Q(object_id=int(term))
        return queryset.filter(wanted), False

    @admin.display(description="at (UTC)", ordering="id")
    def when(self, event: AuditEvent) -> str:
        return f"{event.at:%Y-%m-%d %H:%M:%S}"

    @admin.display(description="what")
    def what(self, event: AuditEvent) -> str:
        verb, name = VERBS.get(event.action, event.action), _word(event.object_kind)
        address = _page_of(event.object_kind, event.object_id)
        if address is None or event.action == "delete":
            return f"{verb} {name} {event.object_id}"
        return format_html('{} <a href="{}">{} {}</a>', verb, address, name, event.object_id)

    @admin.display(description="organization")
    def whose(self, event: AuditEvent) -> str:
        return show_organization(event)

    @admin.display(description="fields")
    def changed(self, event: AuditEvent) -> str:
        if event.action != "update":
            return "all"
        return ", ".join(name for name, _, _ in _differences(event)) or "a secret"

    @admin.display(description="before and after")
    def differences(self, event: AuditEvent) -> SafeString:
        rows = format_html_join(
            "",
            "<tr><th scope='row'>{}</th><td>{}</td><td>{}</td></tr>",
            ((name, _show(old), _show(new)) for name, old, new in _differences(event)),
        )
        return format_html(
            "<table class='differences'><thead><tr><th scope='col'>Field</th>"
            "<th scope='col'>Before</th><th scope='col'>After</th></tr></thead>"
            "<tbody>{}</tbody></table>",
            rows,
        )


@admin.register(ChangeLog)
class ChangeLogAdmin(ReadOnlyAdmin):
    list_display = ("seq", "at", "kind", "object_id", "organization")
    list_filter = (KindOfChangeFilter,)


def _differences(event: AuditEvent) -> list[tuple[str, Any, Any]]:
    """Return each field that differs with what it was and what it is, None for not there."""
    before, after = event.before or {}, event.after or {}
    names = dict.fromkeys([*before, *after])
    return [
        (name, before.get(name), after.get(name))
        for name in names
        if before.get(name) != after.get(name) or name not in before or name not in after
    ]


def _show(value: Any) -> str:
    if value is None or value == "":
        return "–"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _word(table: str) -> str:
    return table.removeprefix("accounts_").removeprefix("auth_").replace("_", " ")


def _page_of(table: str, pk: int) -> str | None:
    """Return the address of the operator's page of a row, None where it has none."""
    for model in apps.get_models():
        if model._meta.db_table == table:
            name = model._meta.label_lower.replace(".", "_")
            with suppress(NoReverseMatch):
                return reverse(f"admin:{name}_change", args=[pk])
    return None
