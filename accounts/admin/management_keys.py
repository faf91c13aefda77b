"""Management keys: shown once when made, revoked by an action, never changed or deleted."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from accounts.admin.keys import show_once
from accounts.management_keys import issue_management_key, revoke_management_key
from accounts.models import ManagementKey, User


class ManagementKeyForm(forms.ModelForm[ManagementKey]):
    class Meta:
        model = ManagementKey
        fields = ("organization", "name", "scope", "expires_at")
        help_texts = {"organization": "Empty for an operator's key, which may do what you may."}

    def clean(self) -> dict[str, Any]:
        """Refuse what issue_management_key() refuses, beside the field concerned."""
        values = super().clean() or self.cleaned_data
        expires_at = values.get("expires_at")
        if expires_at is not None and expires_at <= timezone.now():
            self.add_error("expires_at", "Lies in the past.")
        if not str(values.get("name", "")).isprintable():
            self.add_error("name", "Holds characters that cannot be printed.")
        return values


@admin.register(ManagementKey)
class ManagementKeyAdmin(admin.ModelAdmin[ManagementKey]):
    form = ManagementKeyForm
    list_display = ("public_id", "name", "organization", "scope", "made_by", "expires_at", "ended")
    list_filter = ("scope", ("revoked_at", admin.EmptyFieldListFilter))
    list_select_related = ("organization", "made_by")
    search_fields = ("public_id", "name", "made_by__email")
    ordering = ("-id",)
    actions = ("revoke",)

    def get_fields(self, request: HttpRequest, obj: ManagementKey | None = None) -> tuple[str, ...]:
        made = ("organization", "name", "scope", "expires_at")
        return made if obj is None else ("public_id", *made, "made_by", "made_at", "revoked_at")

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False  # What it may do was shown to whoever took it: make another.

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("accounts.change_managementkey"))

    @admin.display(description="revoked", boolean=True)
    def ended(self, key: ManagementKey) -> bool:
        return key.revoked_at is not None

    def save_model(self, request: HttpRequest, obj: ManagementKey, form: Any, change: bool) -> None:
        assert isinstance(request.user, User)
        issued = issue_management_key(made_by=request.user, **form.cleaned_data)
        obj.pk = issued.key.pk
        obj.refresh_from_db()
        request.issued_key = issued  # type: ignore[attr-defined]

    def response_add(
        self, request: HttpRequest, obj: ManagementKey, post_url_continue: str | None = None
    ) -> HttpResponse:
        issued = request.issued_key  # type: ignore[attr-defined]
        return show_once(self, request, "The new management key", issued)

    @admin.action(description="Revoke the selected keys, for good", permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ManagementKey]) -> None:
        ended = sum(revoke_management_key(key) for key in queryset)
        self.message_user(request, f"{ended} revoked.", messages.SUCCESS)
