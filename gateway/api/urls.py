"""The addresses of this app's resources, below /api/v1. A model's name may hold slashes."""

from __future__ import annotations

from django.urls import path

from gateway.api import models, providers, routes

urlpatterns = [
    path("providers", providers.Providers.as_view()),
    path("providers/<slug:provider>", providers.OneProvider.as_view()),
    path("providers/<slug:provider>/credential", providers.SetCredential.as_view()),
    path("models", models.Models.as_view()),
    path("models/<path:model>", models.OneModel.as_view()),
    path("routes", routes.Routes.as_view()),
    path("routes/<int:route>", routes.OneRoute.as_view()),
]
