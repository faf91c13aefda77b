"""The operator's pages for people, organizations and keys. Nothing here decides what is allowed.

A key is issued through issuance.py and its text stands once in the answer, in no message, cookie or
session. Digests are never shown. The logs can be read and not changed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin as BaseUserAdmin
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from accounts import ending, issuance, leaving, members, organizations
from accounts.errors import AccountsError, InvalidField
from accounts.models import (
    ApiKey,
    AuditEvent,
    ChangeLog,
    Membership,
    Organization,
    Project,
    User,
)

# What issuance calls a field, where the column has another name.
COLUMNS = {
    "models": "allowed_models",
    "endpoints": "allowed_endpoints",
    "networks": "allowed_networks",
}
ARGUMENTS = ("name", "owner", "expires_at", *COLUMNS, "tags")
EDITABLE = tuple(COLUMNS.get(name, name) for name in ARGUMENTS)


class ApiKeyForm(forms.ModelForm):  # type: ignore[type-arg]
    """Refuses what issuance refuses, beside the field concerned."""

    class Meta:
        model = ApiKey
        fields = ("project", *EDITABLE)

    def clean(self) -> dict[str, Any]:
        values = {**(super().clean() or {})}
        if self.errors:
            return values
        # An expired key, or one whose owner has left, may still be renamed.
        unchanged = {"expires_at", "owner"} - {*self.changed_data}
        asked = {
            name: values[COLUMNS.get(name, name)] for name in ARGUMENTS if name not in unchanged
        }
        try:
            checked = issuance.check_key(
                project=values.get("project") or self.instance.project, **asked
            )
        except InvalidField as error:
            self.add_error(COLUMNS.get(error.field, error.field), error.reason)
            return values
        return values | {
            COLUMNS.get(name, name): checked[COLUMNS.get(name, name)] for name in asked
        }


@admin.register(ApiKey)
class ApiKeyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    form = ApiKeyForm
    list_display = ("public_id", "name", "project", "owner", "status", "expires_at", "made_at")
    list_filter = ("status", "organization")
    list_select_related = ("project__organization", "owner__user", "owner__organization")
    search_fields = ("public_id", "name")
    raw_id_fields = ("owner",)
    actions = ("revoke", "disable", "enable", "make_service_keys")

    def get_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> tuple[str, ...]:
        if obj is None:
            return ("project", *EDITABLE)
        return (*EDITABLE, *self.get_readonly_fields(request, obj))

    def get_readonly_fields(
        self, request: HttpRequest, obj: ApiKey | None = None
    ) -> tuple[str, ...]:
        if obj is None:
            return ()
        ends = ("status", "revoked_at", "revoke_reason")
        return ("public_id", "organization", "project", *ends, "made_at", "changed_at")

    def formfield_for_foreignkey(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        if db_field.name == "project":
            kwargs["queryset"] = Project.objects.filter(archived_at=None).select_related(
                "organization"
            )
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def has_delete_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        return False  # A key's history outlives it: it is revoked instead.

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        if change:
            # Only what was edited: the rest may have changed since this page was read.
            obj.save(update_fields=[*form.changed_data, "changed_at"])
            return
        values = form.cleaned_data
        issued = issuance.issue_key(
            project=values["project"],
            **{name: values[COLUMNS.get(name, name)] for name in ARGUMENTS},
        )
        obj.pk = issued.key.pk
        obj.refresh_from_db()
        request.issued_key = issued  # type: ignore[attr-defined]

    def response_add(
        self, request: HttpRequest, obj: ApiKey, post_url_continue: str | None = None
    ) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": "The new key",
            "issued": request.issued_key,  # type: ignore[attr-defined]
        }
        return TemplateResponse(request, "accounts/issued_key.html", context)

    @admin.action(description="Revoke the selected keys, for good", permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        ended = sum(issuance.revoke_key(key, "revoked by an operator") for key in queryset)
        self.message_user(request, f"{ended} revoked.", messages.SUCCESS)

    @admin.action(description="Disable the selected keys", permissions=["change"])
    def disable(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        self._switch(request, queryset, issuance.disable_key)

    @admin.action(description="Enable the selected keys", permissions=["change"])
    def enable(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        self._switch(request, queryset, issuance.enable_key)

    @admin.action(description="Make service keys of the selected keys", permissions=["change"])
    def make_service_keys(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        moved = leaving.hand_over(queryset, None)
        self.message_user(request, f"{moved} made service keys.", messages.SUCCESS)

    def _switch(self, request: HttpRequest, queryset: QuerySet[ApiKey], switch: Any) -> None:
        do_to_each(self, request, queryset, switch)


def do_to_each(
    page: admin.ModelAdmin[Any], request: HttpRequest, rows: QuerySet[Any], do: Callable[[Any], Any]
) -> None:
    """Do something to each row that was selected; what is refused is told beside its name."""
    for row in rows:
        try:
            do(row)
        except AccountsError as error:
            page.message_user(request, f"{row}: {error.message}", messages.ERROR)


@admin.register(User)
class UserAdmin(BaseUserAdmin):  # type: ignore[type-arg]
    """People log in with their e-mail address, which is kept in lower case."""

    fieldsets = (
        (None, {"fields": ("email", "name", "password")}),
        ("Permissions", {"fields": ("is_active", "is_staff", "is_superuser", "groups")}),
        ("Dates", {"fields": ("last_login", "date_joined")}),
    )
    add_fieldsets = (
        (None, {"fields": ("email", "name", "usable_password", "password1", "password2")}),
    )
    readonly_fields = ("last_login", "date_joined")
    list_display = ("email", "name", "is_staff", "is_active")
    list_filter = ("is_staff", "is_superuser", "is_active")
    search_fields = ("email", "name")
    ordering = ("email",)
    filter_horizontal = ("groups",)


class MembershipInline(admin.TabularInline):  # type: ignore[type-arg]
    model = Membership
    fields = ("user", "role", "left_at")
    raw_id_fields = ("user",)
    readonly_fields = ("left_at",)
    extra = 0
    can_delete = False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False  # Roles change and memberships end on their own page, owner by owner.


@admin.register(Organization)
class OrganizationAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ("slug", "name", "status", "time_zone")
    list_filter = ("status",)
    search_fields = ("slug", "name")
    inlines = (MembershipInline,)
    readonly_fields = ("status",)
    actions = ("suspend", "resume", "delete_for_good")

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False  # Facts name it: delete_for_good keeps the row.

    @admin.action(description="Suspend: refuse all calls, let members read", permissions=["change"])
    def suspend(self, request: HttpRequest, queryset: QuerySet[Organization]) -> None:
        def do(organization: Organization) -> None:
            reason = organization.status_reason or "suspended by an operator"
            organizations.suspend_organization(organization, reason)

        do_to_each(self, request, queryset, do)

    @admin.action(description="End the suspension", permissions=["change"])
    def resume(self, request: HttpRequest, queryset: QuerySet[Organization]) -> None:
        do_to_each(self, request, queryset, organizations.resume_organization)

    @admin.action(
        description="Delete for good those that are suspended", permissions=["delete_for_good"]
    )
    def delete_for_good(self, request: HttpRequest, queryset: QuerySet[Organization]) -> None:
        suspended = queryset.filter(status=Organization.Status.SUSPENDED)
        ended = sum(ending.delete_organization(each) for each in suspended)
        told = f"{ended} deleted. Only a suspended organization can be deleted."
        self.message_user(request, told, messages.SUCCESS)

    def has_delete_for_good_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("accounts.delete_organization")


class FixedOnceMade(admin.ModelAdmin):  # type: ignore[type-arg]
    """What a row belongs to is chosen when it is made and stays."""

    fixed: ClassVar[tuple[str, ...]]

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        always = tuple(self.readonly_fields)
        return (*self.fixed, *always) if obj else always


@admin.register(Membership)
class MembershipAdmin(FixedOnceMade):
    fixed = ("organization", "user")
    list_display = ("user", "organization", "role", "made_at", "left_at")
    list_filter = ("role", "organization")
    list_select_related = ("user", "organization")
    search_fields = ("user__email", "organization__slug")
    raw_id_fields = ("user",)
    readonly_fields = ("left_at",)
    actions = ("remove",)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False  # It ends, and stays for history.

    def save_model(self, request: HttpRequest, obj: Membership, form: Any, change: bool) -> None:
        if not change:
            super().save_model(request, obj, form, change)
            return
        try:
            members.change_role(Membership.objects.get(pk=obj.pk), form.cleaned_data["role"])
        except AccountsError as error:
            self.message_user(request, f"Not changed. {error.message}", messages.ERROR)

    @admin.action(description="Remove: their keys refuse at once", permissions=["change"])
    def remove(self, request: HttpRequest, queryset: QuerySet[Membership]) -> None:
        do_to_each(self, request, queryset, members.remove_member)


@admin.register(Project)
class ProjectAdmin(FixedOnceMade):
    fixed = ("organization",)
    list_display = ("slug", "name", "organization", "made_at", "archived_at")
    list_filter = ("organization",)
    list_select_related = ("organization",)
    search_fields = ("slug", "name", "organization__slug")
    readonly_fields = ("archived_at",)
    actions = ("archive", "unarchive")

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False  # Facts name it.

    @admin.action(description="Archive: refuse all calls of its keys", permissions=["change"])
    def archive(self, request: HttpRequest, queryset: QuerySet[Project]) -> None:
        do_to_each(self, request, queryset, organizations.archive_project)

    @admin.action(description="Take out of the archive", permissions=["change"])
    def unarchive(self, request: HttpRequest, queryset: QuerySet[Project]) -> None:
        do_to_each(self, request, queryset, organizations.unarchive_project)


class ReadOnly(admin.ModelAdmin):  # type: ignore[type-arg]
    """A log: triggers write it, people read it."""

    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


@admin.register(AuditEvent)
class AuditEventAdmin(ReadOnly):
    list_display = ("at", "actor", "via", "address", "action", "object_kind", "object_id")
    list_filter = ("via", "action", "object_kind")
    search_fields = ("actor", "=object_id", "=organization")
    ordering = ("-id",)


@admin.register(ChangeLog)
class ChangeLogAdmin(ReadOnly):
    list_display = ("seq", "at", "kind", "object_id", "organization")
    list_filter = ("kind",)
    ordering = ("-seq",)
