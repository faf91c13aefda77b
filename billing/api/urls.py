"""The addresses of this app's resources, below /api/v1."""

from __future__ import annotations

from django.urls import path

from billing.api import calls, prices, quotas, raises, refusals, usage

ONE = "organizations/<slug:organization>"
QUOTA = f"{ONE}/quotas/<int:quota>"

urlpatterns = [
    path("prices", prices.Prices.as_view()),
    path("prices/<int:price>", prices.OnePrice.as_view()),
    path(f"{ONE}/quotas", quotas.Quotas.as_view()),
    path(QUOTA, quotas.OneQuota.as_view()),
    path(f"{QUOTA}/raises", raises.Raises.as_view()),
    path(f"{QUOTA}/raises/<int:quota_raise>", raises.OneRaise.as_view()),
    path(f"{ONE}/usage", usage.Usage.as_view()),
    path(f"{ONE}/calls", calls.Calls.as_view()),
    path(f"{ONE}/calls/<uuid:call>", calls.OneCall.as_view()),
    path(f"{ONE}/refusals", refusals.Refusals.as_view()),
]
