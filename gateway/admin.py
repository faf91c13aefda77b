"""Where calls go, for operators: providers with their credential, models with their routes.

A credential goes in through a form and never comes out: it is sealed before it is stored, and no
page shows any of it. Prices and quotas are billing's. The test of a provider is probing.py's.
"""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.views.decorators.http import require_POST

from gateway.credentials import check_secret
from gateway.models import Model, Provider, Route
from gateway.probing import MAX_NAME_LENGTH, TooManyProbes, probe
from gateway.providers import set_credential
from gateway.upstream import check_base_url


class ProviderForm(forms.ModelForm[Provider]):
    """A provider, and optionally a new credential for it; an empty field keeps the present one."""

    credential = forms.CharField(
        required=False,
        strip=True,
        max_length=1000,
        widget=forms.PasswordInput(render_value=False, attrs={"autocomplete": "new-password"}),
        help_text="Our API key there. It cannot be read again; leave this empty to keep it.",
    )

    class Meta:
        model = Provider
        fields = ("name", "protocol", "base_url", "responses", "cap_field", "enabled")

    def clean_base_url(self) -> str:
        url = str(self.cleaned_data["base_url"])
        try:
            check_base_url(url, settings.UPSTREAM_ALLOWED_NETWORKS)
        except ValueError as error:
            raise forms.ValidationError(str(error)) from None
        return url

    def clean_credential(self) -> str:
        text = str(self.cleaned_data["credential"])
        if text:
            try:
                check_secret(text)
            except ValueError as error:
                raise forms.ValidationError(f"The credential {error}.") from None
        return text


@admin.register(Provider)
class ProviderAdmin(admin.ModelAdmin[Provider]):
    form = ProviderForm
    change_form_template = "operators/provider.html"
    list_display = ("name", "protocol", "base_url", "enabled", "credential_set_at")
    list_filter = ("protocol", "enabled")
    search_fields = ("name", "base_url")
    readonly_fields = ("credential_set_at",)
    fields = (
        "name",
        "protocol",
        "base_url",
        "responses",
        "cap_field",
        "enabled",
        "credential",
        "credential_set_at",
    )

    @admin.display(description="credential set")
    def credential_set_at(self, provider: Provider) -> str:
        newest = provider.credentials.first() if provider.pk else None
        return f"{newest.made_at:%Y-%m-%d %H:%M} UTC ({newest.source})" if newest else "never"

    def save_model(
        self, request: HttpRequest, obj: Provider, form: forms.ModelForm[Provider], change: bool
    ) -> None:
        super().save_model(request, obj, form, change)
        text = form.cleaned_data["credential"]
        if text:
            set_credential(obj, text, source="admin")

    def get_urls(self) -> list[URLPattern]:
        ask = self.admin_site.admin_view(require_POST(self.ask_provider))
        return [path("<int:pk>/test/", ask, name="gateway_provider_test"), *super().get_urls()]

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        known = _upstream_models(int(object_id)) if object_id.isdecimal() else []
        shown = {"upstream_models": known, **(extra_context or {})}
        return super().change_view(request, object_id, form_url, shown)

    def ask_provider(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Make one small real call to the provider and show what came of it."""
        if not self.has_change_permission(request):
            raise PermissionDenied
        provider = get_object_or_404(Provider, pk=pk)
        asked = request.POST.get("upstream_model", "").strip()[:MAX_NAME_LENGTH]
        known = _upstream_models(pk)
        found, status = None, 200
        try:
            found = probe(provider, asked) if asked else None
        except TooManyProbes as error:
            messages.error(request, str(error))
            status = 429
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": f"Test of {provider}",
            "original": provider,
            "upstream_models": known,
            "asked": asked or next(iter(known), ""),
            "probe": found,
        }
        return TemplateResponse(request, "operators/provider_test.html", context, status=status)


def _upstream_models(provider: int) -> list[str]:
    """Return what a provider's routes ask it for, those that are enabled first."""
    routes = Route.objects.filter(provider_id=provider).order_by("-enabled", "upstream_model")
    return list(dict.fromkeys(routes.values_list("upstream_model", flat=True)))


class RouteInline(admin.TabularInline[Route, Model]):
    model = Route
    extra = 0
    fields = (
        "provider",
        "upstream_model",
        "priority",
        "weight",
        "cap_bounds_reasoning",
        "hides_reasoning",
        "only_responses",
        "enabled",
    )
    show_change_link = True


@admin.register(Model)
class ModelAdmin(admin.ModelAdmin[Model]):
    list_display = ("name", "context_window", "max_output_tokens", "retires_at", "enabled")
    list_filter = ("enabled", "routes__provider")
    search_fields = ("name",)
    inlines = (RouteInline,)


@admin.register(Route)
class RouteAdmin(admin.ModelAdmin[Route]):
    """A route with its timeouts, which the models' pages leave out."""

    list_display = ("model", "provider", "upstream_model", "priority", "weight", "enabled")
    list_filter = ("provider", "enabled")
    search_fields = ("model__name", "upstream_model")
