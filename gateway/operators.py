"""The operators' site at /admin/: what it is called, how it is sorted, and the page of its health.

Each app says in its admin.py what can be seen and done; this says where it stands. What a page
needs comes from this origin alone, because the policy allows nothing else.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from allauth.mfa.utils import is_mfa_enabled
from django import forms
from django.contrib import admin, messages
from django.contrib.admin.forms import AdminAuthenticationForm
from django.core.exceptions import ValidationError
from django.db import connection
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, path, reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST
from kombu.exceptions import OperationalError

from accounts.models import Organization, User
from billing import reports
from billing.pricing import format_usd
from billing.tasks import check_ledger
from gateway.overview import read_overview

# The pages by what an operator is about; what is named nowhere stands under "Other".
GROUPS = {
    "Organizations": ("Organization", "Project", "Membership", "Invitation", "User", "Group"),
    "Keys": ("ApiKey", "ManagementKey"),
    "Providers": ("Provider", "Model", "Route", "Price", "RouteSuspension"),
    "Limits": ("Quota", "QuotaRaise", "RaiseRequest", "QuotaWindow"),
    "Usage": ("UsageEvent", "Refusal", "Adjustment", "RejectedEvent", "SettlementConflict"),
    "Installation": ("GatewayProcess", "AuditEvent", "ChangeLog"),
}


# Whose models have pages here. What packages would register of their own shows secrets, such as
# that of a second factor.
APPS = {"accounts", "billing", "gateway", "console", "auth"}


class OperatorLoginForm(AdminAuthenticationForm):
    """Asks for a password alone, so it lets in nobody who has a second factor."""

    def confirm_login_allowed(self, user: User) -> None:
        super().confirm_login_allowed(user)
        if is_mfa_enabled(user):
            raise ValidationError(
                "This account has a second factor: sign in at /accounts/login/ and come back.",
                code="second_factor",
            )


class OperatorSite(admin.AdminSite):
    login_form = OperatorLoginForm
    site_title = "Tollgate"
    site_header = "Tollgate"
    index_title = gettext_lazy("Operations")
    site_url = "/"

    def register(self, model_or_iterable: Any, admin_class: Any = None, **options: Any) -> None:
        """Register a page, unless it is a package's own."""
        models = (
            model_or_iterable if isinstance(model_or_iterable, Iterable) else [model_or_iterable]
        )
        ours = [model for model in models if model._meta.app_label in APPS]
        super().register(ours, admin_class, **options)

    def get_urls(self) -> list[URLPattern | URLResolver]:
        own: list[URLPattern | URLResolver] = [
            path("health/", self.admin_view(self.show_health), name="health"),
            path("usage/", self.admin_view(show_usage), name="usage"),
            path(
                "health/check-ledger/",
                self.admin_view(require_POST(self.ask_for_check)),
                name="check_ledger",
            ),
        ]
        return own + super().get_urls()

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """Sort the pages by GROUPS; the list of one app stays as Django makes it."""
        apps = super().get_app_list(request, app_label)
        if app_label is not None:
            return apps
        found = {page["object_name"]: page for app in apps for page in app["models"]}
        groups = [
            _group(name, [found.pop(each) for each in pages if each in found])
            for name, pages in GROUPS.items()
        ]
        groups.append(_group("Other", list(found.values())))
        return [group for group in groups if group["models"]]

    def index(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        overview = read_overview(connection, now=datetime.now(UTC))
        return super().index(request, {"troubles": overview.troubles, **(extra_context or {})})

    def show_health(self, request: HttpRequest) -> HttpResponse:
        """Queue lag, completeness, the ledger's checks, routes and processes, on one page."""
        context = {
            **self.each_context(request),
            "title": "Health",
            "overview": read_overview(connection, now=datetime.now(UTC)),
        }
        return TemplateResponse(request, "operators/health.html", context)

    def ask_for_check(self, request: HttpRequest) -> HttpResponse:
        """Have a worker check the ledger now; on a large one that takes minutes."""
        try:
            check_ledger.apply_async(retry=False)
        except OperationalError:
            messages.error(request, "Redis is away, so no worker can be asked.")
        else:
            messages.success(request, "A worker was asked to check the ledger; reload to see it.")
        return HttpResponseRedirect(reverse("admin:health"))


class UsageForm(forms.Form):
    """Which report: of whom, by what, of how many days."""

    organization = forms.ModelChoiceField(Organization.objects.all(), to_field_name="slug")
    by = forms.ChoiceField(choices=[(name, name) for name in reports.GROUPINGS])
    days = forms.TypedChoiceField(
        choices=[(n, f"last {n} days") for n in (1, 7, 30, 90, 400)], coerce=int, initial=30
    )


def show_usage(request: HttpRequest) -> HttpResponse:
    """Who used what and what it cost, of one organization; as a table, or as CSV for finance."""
    first = Organization.objects.first()
    asked = {"organization": first and first.slug, "by": "model", "days": 30, **request.GET.dict()}
    form = UsageForm(asked)
    lines: list[reports.Line] = []
    if form.is_valid():
        since = timezone.now() - timedelta(days=form.cleaned_data["days"])
        report = reports.GROUPINGS[form.cleaned_data["by"]]
        lines = report(form.cleaned_data["organization"], since=since)
        if request.GET.get("format") == "csv":
            return write_csv(lines)
    context = {
        **admin.site.each_context(request),
        "title": "Usage",
        "form": form,
        "lines": [(line, format_usd(line.cost_ticks)) for line in lines],
        "total": format_usd(sum(line.cost_ticks for line in lines)),
        "query": urlencode({**asked, "format": "csv"}),
    }
    return TemplateResponse(request, "operators/usage.html", context)


def write_csv(lines: Sequence[reports.Line]) -> HttpResponse:
    answer = HttpResponse(content_type="text/csv")
    answer["content-disposition"] = 'attachment; filename="usage.csv"'
    writer = csv.writer(answer)
    writer.writerow(["label", "calls", "attempts", "input_tokens", "output_tokens", "cost_usd"])
    for line in lines:
        used = (line.usage.input_tokens, line.usage.output_tokens)
        # A label that begins like a formula must not be one in somebody's spreadsheet.
        label = f"'{line.label}" if line.label[:1] in "=+-@\t\r" else line.label
        cost = format_usd(line.cost_ticks)
        writer.writerow([label, line.calls, line.attempts, *used, cost])
    return answer


def _group(name: str, pages: list[dict[str, Any]]) -> dict[str, Any]:
    label = name.lower()
    return {
        "name": name,
        "app_label": label,
        "app_url": f"{reverse('admin:index')}#{label}",
        "has_module_perms": True,
        "models": pages,
    }
