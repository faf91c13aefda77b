"""One limit: how it stands, what raises it for a while, asking for more and the answer to that."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.http import require_POST

from accounts.access import Right
from accounts.errors import AccountsError, InvalidField
from billing.models import Quota, RaiseRequest
from billing.quotas import active_raises, write_amount
from billing.quotas.asking import approve, ask_for_more, decline, find_requests, may_ask
from console.forms import Day, Form, Reason
from console.keyforms import end_of_day
from console.limits import find_quota, name_members
from console.shell import Place, complain, find, inside, show, writing
from console.standings import may_manage, read_standings

SHOWN_REQUESTS = 20
DEFAULT_DAYS = 7


class Request(Form):
    amount = forms.CharField(
        max_length=30,
        label="How much more",
        widget=forms.TextInput(attrs={"inputmode": "decimal"}),
    )
    reason = forms.CharField(
        max_length=500, widget=forms.Textarea(attrs={"rows": 3}), label="What for"
    )

    def __init__(self, quota: Quota, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        is_cost = quota.unit == "cost"
        self.fields["amount"].help_text = "In USD, such as 10.00." if is_cost else "A whole number."


class Approval(Form):
    amount = forms.CharField(max_length=30, label="Raise by")
    until = Day(label="Until the end of")


@inside(Right.SEE_QUOTAS)
def show_one(request: HttpRequest, place: Place, quota: int) -> HttpResponse:
    """Show a limit; whoever belongs to the organization asks for more here."""
    found = find_quota(place, quota)
    form = Request(found, request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            ask(place, found, form)
        except AccountsError as error:
            complain(form, name_quota(error))
        else:
            messages.success(request, "Asked. Whoever may raise it sees that under Limits.")
            return redirect("limit", organization=place.organization.slug, quota=quota)
    members = name_members(place)
    requests = find_requests(place.organization, place.standing).filter(quota=found)
    return show(
        request,
        "limit",
        place,
        section="limits",
        standing=read_standings(place, [found])[0],
        raises=active_raises(found),
        requests=[
            (each, members.get(each.member, "somebody"))
            for each in requests.select_related("quota_raise")[:SHOWN_REQUESTS]
        ],
        form=form,
        may_ask=may_ask(place.standing, found),
    )


def ask(place: Place, quota: Quota, form: Request) -> None:
    if not may_ask(place.standing, quota) or place.standing.membership is None:
        raise PermissionDenied("This limit cannot be asked about.")
    with writing():
        ask_for_more(quota, member=place.standing.membership, **form.cleaned_data)


@inside(Right.SEE_QUOTAS)
def grant_request(request: HttpRequest, place: Place, number: int) -> HttpResponse:
    """Approve: raise the limit by an amount until the end of a day."""
    found = find_open_request(place, number)
    zone = ZoneInfo(place.organization.time_zone)
    initial = {
        "amount": write_amount(found.quota.unit, found.amount),
        "until": timezone.localdate(timezone=zone) + timedelta(days=DEFAULT_DAYS),
    }
    form = Approval(request.POST or None, initial=initial)
    if request.method == "POST" and form.is_valid():
        day: date = form.cleaned_data["until"]
        ends_at = end_of_day(day, zone)
        try:
            with writing():
                approve(
                    found,
                    amount=form.cleaned_data["amount"],
                    ends_at=ends_at,
                    by=place.user.email,
                )
        except AccountsError as error:
            complain(form, name_quota(error))
        else:
            messages.success(request, "Approved. Gateways know it within a second.")
            return redirect("limits", organization=place.organization.slug)
    return show(
        request,
        "approve",
        place,
        section="limits",
        form=form,
        asked=found,
        standing=read_standings(place, [found.quota])[0],
        asker=name_members(place).get(found.member, "somebody"),
        refusal=Reason(prefix="no"),
    )


@require_POST
@inside(Right.SEE_QUOTAS)
def refuse_request(request: HttpRequest, place: Place, number: int) -> HttpResponse:
    found = find_open_request(place, number)
    form = Reason(request.POST, prefix="no")
    if form.is_valid():
        try:
            with writing():
                decline(found, answer=form.cleaned_data["reason"], by=place.user.email)
        except AccountsError as error:
            messages.error(request, error.message)
        else:
            messages.success(request, "Declined.")
    return redirect("limits", organization=place.organization.slug)


def find_open_request(place: Place, number: int) -> RaiseRequest:
    """Return a request that waits, for whoever may answer it."""
    ours = RaiseRequest.objects.filter(organization=place.organization.pk, decided_at=None)
    found = find(ours.select_related("quota"), pk=number)
    find_quota(place, found.quota_id)
    if not may_manage(place, found.quota):
        raise PermissionDenied("Your role in this organization does not allow this.")
    return found


def name_quota(error: AccountsError) -> AccountsError:
    """Name the field of the form; what is wrong with the quota itself stands above the form."""
    if isinstance(error, InvalidField) and error.field == "ends_at":
        return InvalidField("until", error.reason)
    if isinstance(error, InvalidField) and error.field == "quota":
        return AccountsError(f"This limit {error.reason}.")
    return error
