"""The addresses of this app's resources, below /api/v1. A model's name may hold slashes."""

from __future__ import annotations

from django.urls import path

from gateway.api import health, models, providers, routes

urlpatterns = [
    path("health", health.Health.as_view()),
    path("health/check-ledger", health.CheckLedger.as_view()),
    path("providers", providers.Providers.as_view()),
    path("providers/<slug:provider>", providers.OneProvider.as_view()),
    path("providers/<slug:provider>/credential", providers.SetCredential.as_view()),
    path("providers/<slug:provider>/test", providers.AskProvider.as_view()),
    path("models", models.Models.as_view()),
    path("models/<path:model>", models.OneModel.as_view()),
    path("routes", routes.Routes.as_view()),
    path("routes/<int:route>", routes.OneRoute.as_view()),
]
