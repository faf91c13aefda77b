"""The addresses of Django's pages. `/v1` and the probes are the gateway's; see asgi.py."""

from django.contrib import admin
from django.urls import include, path

from accounts.api.documentation import show_documentation, show_schema
from accounts.api.views import NothingHere

urlpatterns = [
    path("admin/", admin.site.urls),
    path("api/v1/schema", show_schema),
    path("api/v1/", include("accounts.api.urls")),
    path("api/v1/", include("billing.api.urls")),
    path("api/v1/", include("gateway.api.urls")),
    path("api/<path:rest>", NothingHere.as_view()),
    path("docs/api", show_documentation),
    path("", include("console.urls")),
]
handler400 = "accounts.api.errors.answer_unreadable"
handler404 = "accounts.api.errors.answer_missing"
handler500 = "accounts.api.errors.answer_failure"
