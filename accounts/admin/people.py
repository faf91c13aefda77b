"""People: users, their memberships, and invitations to become a member."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin as BaseUserAdmin
from django.contrib.auth.forms import UserChangeForm
from django.core.exceptions import ValidationError
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from accounts import invitations, leaving, members, people
from accounts.admin.pages import FixedOnceMade, do_to_each
from accounts.errors import AccountsError, LastOperator
from accounts.models import Invitation, Membership, User


class PersonForm(UserChangeForm[User]):
    """The installation keeps an operator."""

    def clean_is_staff(self) -> bool:
        is_staff: bool = self.cleaned_data["is_staff"]
        if not is_staff:
            try:
                people.require_another_operator(User.objects.get(pk=self.instance.pk))
            except LastOperator as error:
                raise ValidationError(str(error)) from None
        return is_staff


@admin.register(User)
class UserAdmin(BaseUserAdmin[User]):
    """People log in with their e-mail address, which is kept in lower case."""

    form = PersonForm
    fieldsets = (
        (None, {"fields": ("email", "name", "password")}),
        ("Permissions", {"fields": ("is_active", "is_staff", "is_superuser", "groups")}),
        ("Dates", {"fields": ("last_login", "date_joined")}),
    )
    add_fieldsets = (
        (None, {"fields": ("email", "name", "usable_password", "password1", "password2")}),
    )
    readonly_fields = ("is_active", "last_login", "date_joined")
    list_display = ("email", "name", "is_staff", "is_active")
    list_filter = ("is_staff", "is_superuser", "is_active")
    search_fields = ("email", "name")
    ordering = ("email",)
    actions = ("deactivate", "reactivate", "log_out", "remove_second_factors")
    filter_horizontal = ("groups",)

    @admin.action(
        description="Deactivate: sessions end, their keys refuse at once", permissions=["change"]
    )
    def deactivate(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        do_to_each(self, request, queryset, people.deactivate)

    @admin.action(description="Reactivate: their keys work as before", permissions=["change"])
    def reactivate(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        do_to_each(self, request, queryset, people.reactivate)

    @admin.action(description="Log out everywhere", permissions=["change"])
    def log_out(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        for user in queryset:
            leaving.end_sessions(user)
        self.message_user(request, "Logged out everywhere.", messages.SUCCESS)

    @admin.action(
        description="Remove second factors of people who lost theirs", permissions=["change"]
    )
    def remove_second_factors(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        removed = sum(people.remove_second_factors(user) for user in queryset)
        self.message_user(
            request, f"{removed} removed. They can set up new ones.", messages.SUCCESS
        )


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


class InvitationForm(forms.ModelForm[Invitation]):
    class Meta:
        model = Invitation
        fields = ("organization", "email", "role")

    def clean(self) -> dict[str, Any]:
        """Refuse what invite() refuses, beside the field concerned."""
        values = super().clean() or self.cleaned_data
        email = str(values.get("email", "")).strip().lower()
        members = Membership.objects.filter(organization=values.get("organization"), left_at=None)
        if members.filter(user__email=email).exists():
            self.add_error("email", f"{email} is a member already.")
        return {**values, "email": email}


@admin.register(Invitation)
class InvitationAdmin(admin.ModelAdmin[Invitation]):
    """Made here, they are sent like any other; what stands in the letter is not shown again."""

    form = InvitationForm
    list_display = ("email", "organization", "role", "invited_by", "made_at", "expires_at", "state")
    list_filter = ("role",)
    list_select_related = ("organization", "invited_by")
    search_fields = ("email", "organization__slug")
    ordering = ("-id",)
    actions = ("take_back",)

    def get_fields(self, request: HttpRequest, obj: Invitation | None = None) -> tuple[str, ...]:
        asked = ("organization", "email", "role")
        times = ("made_at", "expires_at", "accepted_at", "revoked_at")
        return asked if obj is None else (*asked, "invited_by", *times)

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_take_back_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("accounts.change_invitation"))

    @admin.display(description="state")
    def state(self, invitation: Invitation) -> str:
        if invitation.accepted_at:
            return "accepted"
        if invitation.revoked_at:
            return "taken back"
        return "open" if invitation.expires_at > timezone.now() else "expired"

    def save_model(self, request: HttpRequest, obj: Invitation, form: Any, change: bool) -> None:
        assert isinstance(request.user, User)
        values = form.cleaned_data
        made, _ = invitations.invite(
            values["organization"],
            email=values["email"],
            role=values["role"],
            invited_by=request.user,
        )
        obj.pk = made.pk
        obj.refresh_from_db()

    @admin.action(description="Take back the selected invitations", permissions=["take_back"])
    def take_back(self, request: HttpRequest, queryset: QuerySet[Invitation]) -> None:
        ended = sum(invitations.revoke_invitation(each) for each in queryset)
        self.message_user(request, f"{ended} taken back.", messages.SUCCESS)
