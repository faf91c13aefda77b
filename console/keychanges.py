"""One key: its page, what it may be used for, a new secret, a pause, and its end."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.http import require_POST

from accounts import issuance
from accounts.access import Right
from accounts.errors import AccountsError
from accounts.models import ApiKey
from billing.calls import LOOKED_BACK, find_attempts, moment_of
from billing.models import GatewayProcess, UsageEvent
from console.forms import Reason
from console.keyforms import Restrictions, Rotation
from console.keys import read_rows, show_secret, translate, visible_keys
from console.shell import Place, complain, find, inside, show, writing
from console.standings import find_standing_of
from console.templatetags.figures import move

SHOWN_CALLS = 20
LIVELY_FOR = timedelta(minutes=15)
INSIDE = (Right.SEE_ALL_KEYS, Right.MAKE_OWN_KEYS)


@inside(*INSIDE)
def show_one(request: HttpRequest, place: Place, key: str) -> HttpResponse:
    found = find(visible_keys(place), public_id=key)
    since = max(found.made_at, timezone.now() - LOOKED_BACK)
    calls = find_attempts(place.organization, since=since, key=found.pk)
    attempts = list(calls.order_by("-id")[:SHOWN_CALLS])
    return show(
        request,
        "key",
        place,
        section="keys",
        key=found,
        row=read_rows(place, [found])[0],
        secrets=sorted(found.secrets.all(), key=lambda secret: secret.pk),
        now=timezone.now(),
        may_change=place.may_manage_key(found.owner_id),
        calls=[(each, moment_of(each)) for each in attempts],
        is_lively=is_lively(found, attempts),
        limits=find_standing_of(place, scope="key", scope_id=found.pk),
        accepted=last_accepted(place, found) if found.revoked_at else [],
    )


def is_lively(key: ApiKey, attempts: Sequence[UsageEvent]) -> bool:
    """Say whether calls may come while somebody looks: the page then asks for them by itself."""
    latest = max([key.made_at, *(moment_of(each) for each in attempts)])
    return key.status == ApiKey.Status.ACTIVE and latest > timezone.now() - LIVELY_FOR


@inside(*INSIDE)
def change(request: HttpRequest, place: Place, key: str) -> HttpResponse:
    """Change a key's name or what it may be used for."""
    found = find_managed(place, key)
    form = Restrictions(place, request.POST or None, key=found, initial=describe(place, found))
    if request.method == "POST" and form.is_valid():
        try:
            with writing():
                issuance.change_key(found, form.read())
        except AccountsError as error:
            complain(form, translate(error))
        else:
            messages.success(request, "Saved. Gateways know it within a second.")
            return redirect("key", organization=place.organization.slug, key=key)
    return show(request, "change_key", place, section="keys", form=form, key=found)


@inside(*INSIDE)
def rotate(request: HttpRequest, place: Place, key: str) -> HttpResponse:
    """Add a secret, and say when the one before stops."""
    found = find_managed(place, key)
    form = Rotation(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            with writing():
                grace = timedelta(seconds=form.cleaned_data["grace"])
                issued = issuance.rotate_key(found, grace)
        except AccountsError as error:
            complain(form, error)
        else:
            return show_secret(request, place, issued)
    return show(request, "rotate_key", place, section="keys", form=form, key=found)


@inside(*INSIDE)
def revoke(request: HttpRequest, place: Place, key: str) -> HttpResponse:
    """End a key for good, after saying what stops with it."""
    found = find_managed(place, key)
    form = Reason(request.POST or None)
    if request.method == "POST" and form.is_valid():
        with writing():
            issuance.revoke_key(found, form.cleaned_data["reason"])
        messages.success(request, f"{found.name} is revoked. Gateways know it within a second.")
        return redirect("key", organization=place.organization.slug, key=key)
    row = read_rows(place, [found])[0]
    return show(request, "revoke_key", place, section="keys", form=form, key=found, row=row)


@require_POST
@inside(*INSIDE)
def disable(request: HttpRequest, place: Place, key: str) -> HttpResponse:
    """Refuse the key's calls until it is enabled again."""
    found = find_managed(place, key)
    with writing():
        issuance.disable_key(found)
    messages.success(request, f"{found.name} is disabled; its calls are refused.")
    return redirect("key", organization=place.organization.slug, key=key)


@require_POST
@inside(*INSIDE)
def enable(request: HttpRequest, place: Place, key: str) -> HttpResponse:
    found = find_managed(place, key)
    try:
        with writing():
            issuance.enable_key(found)
    except AccountsError as error:
        messages.error(request, error.message)
    else:
        messages.success(request, f"{found.name} is active.")
    return redirect("key", organization=place.organization.slug, key=key)


def find_managed(place: Place, key: str) -> ApiKey:
    """Return a key that may be seen and changed; who may only see it is told so."""
    found = find(visible_keys(place), public_id=key)
    if not place.may_manage_key(found.owner_id):
        raise PermissionDenied("Your role in this organization does not allow this.")
    return found


def describe(place: Place, key: ApiKey) -> dict[str, object]:
    """Return a key as its form writes it."""
    ends = key.expires_at and move(key.expires_at, place.organization.time_zone)
    return {
        "name": key.name,
        "expires_on": (ends - timedelta(seconds=1)).date() if ends else None,
        "models": key.allowed_models,
        "endpoints": key.allowed_endpoints,
        "networks": "\n".join(str(network) for network in key.allowed_networks),
        "tags": "\n".join(f"{name}={value}" for name, value in key.tags.items()),
    }


def last_accepted(place: Place, key: ApiKey) -> list[dict[str, object]]:
    """Return the last call of a key in each gateway process that lives or took one of the day
    before it was revoked."""
    assert key.revoked_at is not None
    since = key.revoked_at - timedelta(days=1)
    attempts = find_attempts(place.organization, key=key.pk, since=since).order_by("-id")[:1000]
    last: dict[UUID, datetime] = {}
    for attempt in attempts:
        last.setdefault(attempt.process, moment_of(attempt))
    hosts = dict(GatewayProcess.objects.filter(pk__in=list(last)).values_list("pk", "host"))
    return [
        {"process": str(process)[-12:], "host": hosts.get(process, "gone"), "at": at}
        for process, at in last.items()
    ]
