"""API keys: issued, changed, rotated, disabled and revoked through issuance.py, never deleted."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.views.decorators.http import require_POST

from accounts import issuance, leaving
from accounts.admin.pages import do_to_each
from accounts.errors import AccountsError, InvalidField
from accounts.models import ApiKey, Project

# What issuance calls a field, where the column has another name.
COLUMNS = {
    "models": "allowed_models",
    "endpoints": "allowed_endpoints",
    "networks": "allowed_networks",
}
ARGUMENTS = ("name", "owner", "expires_at", *COLUMNS, "tags")
EDITABLE = tuple(COLUMNS.get(name, name) for name in ARGUMENTS)


# How long the secret before goes on working after a rotation, in words.
GRACES = {
    "0": ("no grace: it ends at once", timedelta()),
    "1": ("an hour", timedelta(hours=1)),
    "24": ("a day", timedelta(days=1)),
    "168": ("a week", timedelta(days=7)),
}


class ApiKeyForm(forms.ModelForm[ApiKey]):
    """Refuses what issuance refuses, beside the field concerned."""

    class Meta:
        model = ApiKey
        fields = ("project", *EDITABLE)
        help_texts = {
            "expires_at": "UTC. Empty for never.",
            "allowed_models": "Separated by commas. Empty allows all.",
            "allowed_endpoints": "Such as chat.completions. Empty allows all.",
            "allowed_networks": "Such as 10.0.0.0/8. Empty allows calls from anywhere.",
            "tags": 'Such as {"team": "search"}: reports can be by them.',
        }
        widgets = {"tags": forms.Textarea(attrs={"rows": 3})}

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
class ApiKeyAdmin(admin.ModelAdmin[ApiKey]):
    form = ApiKeyForm
    change_form_template = "accounts/admin_key.html"
    list_display = ("public_id", "name", "project", "holder", "status", "expires_at", "made_at")
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

    @admin.display(description="owner", ordering="owner__user__email")
    def holder(self, key: ApiKey) -> str:
        return str(key.owner.user) if key.owner is not None else "service key"

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
        issued = request.issued_key  # type: ignore[attr-defined]
        return show_once(self, request, "The new key", issued)

    def get_urls(self) -> list[URLPattern]:
        rotate = self.admin_site.admin_view(require_POST(self.rotate))
        return [
            path("<int:pk>/rotate/", rotate, name="accounts_apikey_rotate"),
            *super().get_urls(),
        ]

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        graces = [(value, words) for value, (words, _) in GRACES.items()]
        return super().change_view(
            request, object_id, form_url, {"graces": graces, **(extra_context or {})}
        )

    def rotate(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Give a key a new secret and show it; the one before ends after the chosen grace."""
        if not self.has_change_permission(request):
            raise PermissionDenied
        key = get_object_or_404(ApiKey.objects.select_related("project__organization"), pk=pk)
        try:
            _, grace = GRACES[request.POST.get("grace", "")]
            issued = issuance.rotate_key(key, grace)
        except KeyError:
            raise SuspiciousOperation("no such grace") from None
        except AccountsError as error:
            self.message_user(request, f"Not rotated. {error.message}", messages.ERROR)
            return HttpResponseRedirect(reverse("admin:accounts_apikey_change", args=[pk]))
        return show_once(self, request, "The new secret of the key", issued)

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


def show_once(
    page: admin.ModelAdmin[Any], request: HttpRequest, title: str, issued: object
) -> HttpResponse:
    """Answer the form itself with the text of a key: it is stored nowhere to be shown later."""
    context = {
        **page.admin_site.each_context(request),
        "opts": page.opts,
        "title": title,
        "issued": issued,
    }
    return TemplateResponse(request, "accounts/issued_key.html", context)
