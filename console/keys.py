"""Keys: the list, making one, and the one page that shows its secret. Changes: keychanges.py."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.contrib import messages
from django.db.models import Max, Q, QuerySet, Sum
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from accounts import issuance
from accounts.access import Right
from accounts.errors import AccountsError, InvalidField
from accounts.issuance import IssuedKey
from accounts.models import ApiKey, Membership, Project
from accounts.repeats import find_repeat, keep_repeat
from billing.calls import find_last_used
from billing.models import Quota, Rollup
from billing.quotas import parse_quota, set_quota
from billing.quotas.standing import find_added, find_windows
from console.catalog import list_endpoints, list_models
from console.keyforms import SERVICE, NewKey
from console.shell import Place, complain, inside, show, writing
from console.snippets import compose_snippets
from console.usage import find_period

PAGE = 200
# The endpoints that console.js can make a test call at, the one that it prefers first.
TEST_PATHS = {
    "chat.completions": "/v1/chat/completions",
    "messages": "/v1/messages",
    "responses": "/v1/responses",
}
MOST_SOUGHT = 100


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key with what it did: `limit` is that of its monthly quota of cost, if it has one."""

    key: ApiKey
    spent_ticks: int
    limit: int | None
    used: int
    used_at: datetime | None


@inside(Right.SEE_ALL_KEYS, Right.MAKE_OWN_KEYS)
def show_all(request: HttpRequest, place: Place) -> HttpResponse:
    """List the keys that may be seen: living ones first, revoked ones when asked for."""
    wanted = request.GET.get("show", "living")
    sought = request.GET.get("q", "").strip().replace("\0", "")[:MOST_SOUGHT]
    keys = seek(visible_keys(place), sought)
    revoked = keys.filter(status=ApiKey.Status.REVOKED)
    found = revoked if wanted == "revoked" else keys.exclude(status=ApiKey.Status.REVOKED)
    rows = read_rows(place, list(found[:PAGE]))
    return show(
        request,
        "keys",
        place,
        section="keys",
        rows=rows,
        wanted=wanted,
        sought=sought,
        revoked=revoked.count(),
        page=PAGE,
        has_projects=Project.objects.filter(
            organization=place.organization, archived_at=None
        ).exists(),
    )


def seek(keys: QuerySet[ApiKey], text: str) -> QuerySet[ApiKey]:
    """Return the keys that people would call so: by name, public id, project or owner."""
    if not text:
        return keys
    return keys.filter(
        Q(name__icontains=text)
        | Q(public_id__startswith=text)
        | Q(project__name__icontains=text)
        | Q(owner__user__email__icontains=text)
        | Q(owner__user__name__icontains=text)
    )


@inside(Right.MANAGE_ALL_KEYS, Right.MAKE_OWN_KEYS)
def make(request: HttpRequest, place: Place) -> HttpResponse:
    """Make a key; the answer to the form is the only page that ever shows its secret."""
    form = NewKey(place, request.POST or None, initial={"once": secrets.token_urlsafe(24)})
    if request.method == "POST" and form.is_valid():
        try:
            issued = issue(place, form)
        except AccountsError as error:
            complain(form, translate(error))
        else:
            return show_secret(request, place, issued)
    return show(request, "new_key", place, section="keys", form=form)


def issue(place: Place, form: NewKey) -> IssuedKey | ApiKey:
    """Make what the form says, with its quotas, once: a repeat finds the key without a secret."""
    request = {name: value for name, value in form.cleaned_data.items() if name != "once"}
    asked = {
        "organization": place.organization,
        "actor": place.user.email,
        "idempotency_key": form.cleaned_data["once"],
        "request": request,
    }
    owner = find_owner(place, form.cleaned_data.get("owner"))
    projects = Project.objects.filter(organization=place.organization)
    project = projects.get(slug=form.cleaned_data["project"])
    with writing():
        made = find_repeat(**asked)
        if made is not None:
            return made
        issued = issuance.issue_key(project=project, owner=owner, **form.read())
        keep_repeat(issued.key, **asked)
        limit(place, issued.key, form)
    return issued


def limit(place: Place, key: ApiKey, form: NewKey) -> None:
    """Give a new key the quotas that the form names."""
    for field, unit, window in (
        ("monthly_usd", "cost", "month"),
        ("minutely_requests", "requests", "minute"),
    ):
        amount = form.cleaned_data.get(field)
        if not amount:
            continue
        try:
            fields = parse_quota({"unit": unit, "limit": amount, "window": window}, scope="key")
        except InvalidField as error:
            raise InvalidField(field, error.reason) from None
        set_quota(organization=place.organization.pk, scope="key", scope_id=key.pk, fields=fields)


def find_owner(place: Place, chosen: str | None) -> Membership | None:
    """Return the owner that was chosen, None for a service key; oneself without a choice."""
    if chosen == SERVICE:
        return None
    number = int(chosen) if chosen else place.standing.membership or 0
    return Membership.objects.get(organization=place.organization, pk=number, left_at=None)


def translate(error: AccountsError) -> AccountsError:
    """Name the form's field where issuance names its own."""
    if isinstance(error, InvalidField) and error.field == "expires_at":
        return InvalidField("expires_on", error.reason)
    return error


def show_secret(request: HttpRequest, place: Place, issued: IssuedKey | ApiKey) -> HttpResponse:
    """Show a secret with what to do with it. It is stored nowhere, so this is its only page."""
    if isinstance(issued, ApiKey):
        messages.info(request, "This key was made before; its secret was shown then, once.")
        return redirect("key", organization=place.organization.slug, key=issued.public_id)
    models = list_models(issued.key.allowed_models)
    endpoints = issued.key.allowed_endpoints or list_endpoints()
    model = models[0] if models else "MODEL"
    return show(
        request,
        "secret",
        place,
        section="keys",
        key=issued.key,
        secret=issued.plaintext,
        models=models,
        endpoints=endpoints,
        test_path=find_test_path(endpoints) if models else "",
        snippets=compose_snippets(
            public_url=settings.PUBLIC_URL,
            key=issued.plaintext,
            model=model,
            endpoints=set(endpoints) & set(list_endpoints()),
        ),
    )


def find_test_path(endpoints: Collection[str]) -> str:
    """Return where the page makes its test call; "" where it speaks with none of the endpoints."""
    return next((path for name, path in TEST_PATHS.items() if name in endpoints), "")


def visible_keys(place: Place) -> QuerySet[ApiKey]:
    """Return the keys that may be seen: members see their own alone."""
    found = ApiKey.objects.filter(organization=place.organization)
    if not place.may(Right.SEE_ALL_KEYS):
        found = found.filter(owner=place.standing.membership, owner__isnull=False)
    return found.select_related("project", "owner__user").prefetch_related("secrets")


def read_rows(place: Place, keys: list[ApiKey]) -> list[KeyRow]:
    """Put beside each key what it spent this month, and when it was used last."""
    ids = [key.pk for key in keys]
    since, _ = find_period(place.organization, "month").bounds(place.organization)
    rollups = Rollup.objects.filter(organization=place.organization.pk, key__in=ids)
    spent = dict(
        rollups.filter(quarter__gte=since)
        .values_list("key")
        .annotate(Sum("cost_ticks"))
        .values_list("key", "cost_ticks__sum")
    )
    # Of those that were used lately, to the second; of others the quarter of an hour.
    used_at = {
        **dict(rollups.values_list("key").annotate(Max("quarter"))),
        **find_last_used(keys),
    }
    quotas = Quota.objects.filter(
        organization=place.organization.pk, scope="key", scope_id__in=ids, ends_at=None
    ).filter(unit="cost", window="month", model="")
    windows, added = find_windows(quotas), find_added(quotas)
    limits = {quota.scope_id: quota for quota in quotas}
    rows = []
    for key in keys:
        quota = limits.get(key.pk)
        window = windows.get(quota.pk) if quota else None
        rows.append(
            KeyRow(
                key=key,
                spent_ticks=spent.get(key.pk, 0),
                limit=quota.limit + added.get(quota.pk, 0)
                if quota and quota.limit is not None
                else None,
                used=window.posted + window.overrun if window else 0,
                used_at=used_at.get(key.pk),
            )
        )
    return rows
