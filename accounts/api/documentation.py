"""/api/v1/schema and /docs/api: the API as OpenAPI, and a page to read and try it.

The page loads nothing from elsewhere and has no script or style of its own in it, so it stands
under the strict policy of all pages.
"""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_safe

from accounts.api.schema import describe_api


@require_safe
def show_schema(request: HttpRequest) -> HttpResponse:
    return HttpResponse(describe_api(), content_type="application/json")


@require_safe
@ensure_csrf_cookie
def show_documentation(request: HttpRequest) -> HttpResponse:
    """Show the API; what is tried there is done in the name of who is logged in."""
    return render(request, "accounts/api_documentation.html")
