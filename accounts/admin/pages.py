"""What several of the operator's pages have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, cast

from django.contrib import admin, messages
from django.core.paginator import Paginator
from django.db.models import Model, QuerySet
from django.http import HttpRequest

from accounts.errors import AccountsError
from accounts.models import Organization

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
