"""What several of the operator's pages have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, cast

from django.contrib import admin, messages
from django.core.paginator import Paginator
from django.db.models import Model, OuterRef, QuerySet, Subquery
from django.http import HttpRequest

from accounts.errors import AccountsError
from accounts.models import ApiKey, Membership, Organization, Project

COUNTED_ROWS = 10_000


class BoundedPaginator(Paginator[Any]):
    """Counts no further than a person turns pages."""

    @property
    def count(self) -> int:
        rows = cast(QuerySet[Any], self.object_list)
        return rows[:COUNTED_ROWS].count()


class ReadOnlyAdmin(admin.ModelAdmin[Any]):
    """Shows rows, newest first, and offers nothing else."""

    ordering = ("-pk",)
    paginator = BoundedPaginator
    show_full_result_count = False
    list_per_page = 50

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class FixedOnceMade(admin.ModelAdmin[Any]):
    """What a row belongs to is chosen when it is made, among what lives, and stays."""

    fixed: ClassVar[tuple[str, ...]]

    def formfield_for_foreignkey(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        if db_field.name == "organization":
            kwargs["queryset"] = Organization.objects.exclude(status=Organization.Status.DELETED)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        always = tuple(self.readonly_fields)
        return (*self.fixed, *always) if obj else always


def do_to_each(
    page: admin.ModelAdmin[Any], request: HttpRequest, rows: QuerySet[Any], do: Callable[[Any], Any]
) -> None:
    """Do something to each row that was selected; what is refused is told beside its name."""
    for row in rows:
        try:
            do(row)
        except AccountsError as error:
            page.message_user(request, f"{row}: {error.message}", messages.ERROR)


def with_organization(rows: QuerySet[Any]) -> QuerySet[Any]:
    """Add the slug of the organization that rows name by its number, for show_organization()."""
    slug = Organization.objects.filter(pk=OuterRef("organization")).values("slug")[:1]
    named: QuerySet[Any] = rows.annotate(organization_slug=Subquery(slug))
    return named


def show_organization(row: Any) -> str:
    return str(row.organization_slug or row.organization or "–")


def with_key(rows: QuerySet[Any]) -> QuerySet[Any]:
    """Add the public id of the key that rows name by its number, for show_key()."""
    public_id = ApiKey.objects.filter(pk=OuterRef("key")).values("public_id")[:1]
    named: QuerySet[Any] = rows.annotate(key_public_id=Subquery(public_id))
    return named


def show_key(row: Any) -> str:
    return str(row.key_public_id or row.key or "–")


def name_holder(scope: str, scope_id: int) -> str:
    """Say whose something is, as people know it: one look-up, for pages of single rows or few."""
    kinds: dict[str, type[Model]] = {
        "organization": Organization,
        "project": Project,
        "member": Membership,
        "key": ApiKey,
    }
    kind = kinds.get(scope)
    holder = kind._default_manager.filter(pk=scope_id).first() if kind is not None else None
    return f"{scope} {holder or scope_id}"
