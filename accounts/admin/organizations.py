"""Organizations and their projects: both end by an action, and their rows stay."""

from __future__ import annotations

from django import forms
from django.contrib import admin, messages
from django.db.models import Model, QuerySet
from django.http import HttpRequest

from accounts import ending, organizations
from accounts.admin.pages import FixedOnceMade, do_to_each
from accounts.models import Membership, Organization, Project


class MembershipInline(admin.TabularInline[Membership, Organization]):
    model = Membership
    fields = ("user", "role", "left_at")
    raw_id_fields = ("user",)
    readonly_fields = ("left_at",)
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Organization | None = None) -> bool:
        is_deleted = obj is not None and obj.status == Organization.Status.DELETED
        return not is_deleted and super().has_add_permission(request, obj)

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False  # Roles change and memberships end on their own page, owner by owner.


class OrganizationForm(forms.ModelForm[Organization]):
    class Meta:
        model = Organization
        fields = ("slug", "name", "time_zone", "hang_up", "status_reason")
        help_texts = {
            "time_zone": "Such as Europe/Berlin: days and months of quotas begin by it.",
            "hang_up": "When the caller of a stream goes away: close the provider's, or read it"
            " to its end for exact usage.",
            "status_reason": "Shown to members while the organization is suspended.",
        }


@admin.register(Organization)
class OrganizationAdmin(admin.ModelAdmin[Organization]):
    form = OrganizationForm
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
