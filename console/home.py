"""`/`: where somebody goes who only knows the address; and the page that operators begin at."""

from __future__ import annotations

from datetime import UTC, datetime

from django.contrib.auth.decorators import login_required
from django.db import connection
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.cache import never_cache

from accounts import access
from accounts.models import Organization
from billing import reports
from console.entrance import find_waiting, waiting_token
from console.shell import person_of, show
from gateway.overview import read_overview

SHOWN_ORGANIZATIONS = 50


@never_cache
@login_required
def show_home(request: HttpRequest) -> HttpResponse:
    """Lead to the invitation that is waiting, the one organization, or a choice."""
    invitation = find_waiting(request)
    if invitation is not None:
        return redirect("invitation", token=waiting_token(request))
    user = person_of(request)
    living = access.find_organizations(user).exclude(status=Organization.Status.DELETED)
    found = list(living[:SHOWN_ORGANIZATIONS])
    if len(found) == 1:
        return redirect("organization", organization=found[0].slug)
    return show(request, "home", organizations=found)


@never_cache
@login_required
def show_operations(request: HttpRequest) -> HttpResponse:
    """Say how the installation is, and what each organization used today."""
    if not access.may_manage_platform(person_of(request)):
        raise Http404
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    sums = reports.by_organization(since=today, most=SHOWN_ORGANIZATIONS)
    found = Organization.objects.in_bulk(sums)
    lines = [(found[number], line) for number, line in sums.items() if number in found]
    overview = read_overview(connection, now=datetime.now(UTC))
    return show(request, "operations", overview=overview, lines=lines)
