"""The addresses of this app's resources, below /api/v1."""

from __future__ import annotations

from django.urls import path

from billing.api import (
    calls,
    prices,
    quotas,
    raise_requests,
    raises,
    refusals,
    suspensions,
    usage,
)

ONE = "organizations/<slug:organization>"
QUOTA = f"{ONE}/quotas/<int:quota>"
ASKED = f"{ONE}/raise-requests/<int:raise_request>"
SUSPENSION = "route-suspensions/<int:suspension>"

urlpatterns = [
    path("prices", prices.Prices.as_view()),
    path("prices/<int:price>", prices.OnePrice.as_view()),
    path(f"{ONE}/quotas", quotas.Quotas.as_view()),
    path(QUOTA, quotas.OneQuota.as_view()),
    path(f"{QUOTA}/raises", raises.Raises.as_view()),
    path(f"{QUOTA}/raises/<int:quota_raise>", raises.OneRaise.as_view()),
    path(f"{QUOTA}/raise-requests", raise_requests.Ask.as_view()),
    path(f"{ONE}/raise-requests", raise_requests.RaiseRequests.as_view()),
    path(ASKED, raise_requests.OneRaiseRequest.as_view()),
    path(f"{ASKED}/approve", raise_requests.Approve.as_view()),
    path(f"{ASKED}/decline", raise_requests.Decline.as_view()),
    path("route-suspensions", suspensions.RouteSuspensions.as_view()),
    path(SUSPENSION, suspensions.OneRouteSuspension.as_view()),
    path(f"{SUSPENSION}/acknowledge", suspensions.Acknowledge.as_view()),
    path(f"{ONE}/usage", usage.Usage.as_view()),
    path(f"{ONE}/calls", calls.Calls.as_view()),
    path(f"{ONE}/calls/<uuid:call>", calls.OneCall.as_view()),
    path(f"{ONE}/refusals", refusals.Refusals.as_view()),
]
