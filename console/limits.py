"""Limits: the list of them, and setting, changing and ending one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect

from accounts import access
from accounts.access import Right
from accounts.errors import AccountsError
from accounts.models import ApiKey, Membership, Organization, Project
from billing.models import Quota
from billing.quotas import end_quota, parse_quota, set_quota, write_amount
from billing.quotas.asking import find_requests
from billing.quotas.standing import find_visible
from console.catalog import list_models
from console.forms import Form
from console.shell import Place, complain, find, inside, person_of, show, writing
from console.standings import living, may_manage, read_standings
from console.templatetags.figures import words

PERIODS = {"lifetime": "ever", "none": "at once"}


class QuotaForm(Form):
    target = forms.ChoiceField(label="Of")
    unit = forms.ChoiceField(
        label="What is counted", choices=[(each, words(each)) for each in Quota.Unit.values]
    )
    limit = forms.CharField(
        required=False,
        max_length=30,
        help_text="USD for cost, such as 25.00, else a whole number. Empty counts without refusing;"
        " 0 refuses all.",
    )
    window = forms.ChoiceField(
        label="In each",
        choices=[(each, PERIODS.get(each, each)) for each in Quota.Window.values],
        initial="month",
        help_text="“At once” is for concurrency alone.",
    )
    model = forms.ChoiceField(required=False)
    mode = forms.ChoiceField(
        choices=[("enforce", "Refuse what is beyond it"), ("observe", "Only count and show")]
    )

    def __init__(self, place: Place, *args: Any, quota: Quota | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if quota is not None:
            for name in ("target", "unit", "window", "model"):
                del self.fields[name]
            return
        for name, choices in (
            ("target", list_targets(place)),
            ("model", [("", "All models"), *((each, each) for each in list_models())]),
        ):
            field = self.fields[name]
            assert isinstance(field, forms.ChoiceField)
            field.choices = choices


@inside(Right.SEE_QUOTAS)
def show_all(request: HttpRequest, place: Place) -> HttpResponse:
    standings = read_standings(place, living(find_visible(place.organization, place.standing)))
    requests = find_requests(place.organization, place.standing).filter(decided_at=None)
    titles = {each.quota.pk: each for each in standings}
    members = name_members(place)
    asked = [
        (each, titles[each.quota_id], members.get(each.member, "somebody"))
        for each in requests.order_by("id")
        if each.quota_id in titles
    ]
    return show(
        request,
        "limits",
        place,
        section="limits",
        standings=standings,
        near=[each for each in standings if each.is_near],
        asked=asked,
        may_make=place.may(Right.MANAGE_QUOTAS),
    )


@inside(Right.MANAGE_QUOTAS)
def make(request: HttpRequest, place: Place) -> HttpResponse:
    initial = {"target": request.GET.get("of", "")}
    form = QuotaForm(place, request.POST or None, initial=initial)
    if request.method == "POST" and form.is_valid():
        scope, _, number = form.cleaned_data["target"].partition("-")
        try:
            fields = read_fields(form, scope, form.cleaned_data)
            with writing():
                set_quota(
                    organization=place.organization.pk,
                    scope=scope,
                    scope_id=int(number),
                    fields=fields,
                )
        except AccountsError as error:
            complain(form, error)
        else:
            messages.success(request, "Set. Gateways hold to it within a second.")
            return redirect("limits", organization=place.organization.slug)
    return show(request, "new_limit", place, section="limits", form=form)


@inside(Right.SEE_QUOTAS)
def change(request: HttpRequest, place: Place, quota: int) -> HttpResponse:
    """Change how much a quota allows; what its windows have counted goes on counting."""
    found = find_managed(place, quota)
    limit = None if found.limit is None else write_amount(found.unit, found.limit)
    initial = {"limit": limit, "mode": found.mode}
    form = QuotaForm(place, request.POST or None, quota=found, initial=initial)
    if request.method == "POST" and form.is_valid():
        kept = {name: getattr(found, name) for name in ("unit", "window", "model")}
        kept |= {"hold": found.hold, "clamp": found.clamp}
        try:
            fields = read_fields(form, found.scope, {**kept, **form.cleaned_data})
            with writing():
                set_quota(
                    organization=place.organization.pk,
                    scope=found.scope,
                    scope_id=found.scope_id,
                    fields=fields,
                )
        except AccountsError as error:
            complain(form, error)
        else:
            messages.success(request, "Saved. Gateways hold to it within a second.")
            return redirect("limit", organization=place.organization.slug, quota=quota)
    standing = read_standings(place, [found])[0]
    return show(request, "change_limit", place, section="limits", form=form, standing=standing)


@inside(Right.SEE_QUOTAS)
def end(request: HttpRequest, place: Place, quota: int) -> HttpResponse:
    """End a quota now, after saying what is no longer held to it; what it counted stays."""
    found = find_managed(place, quota)
    if request.method == "POST":
        with writing():
            end_quota(found)
        messages.success(request, "The limit is gone.")
        return redirect("limits", organization=place.organization.slug)
    standing = read_standings(place, [found])[0]
    return show(request, "end_limit", place, section="limits", standing=standing)


@login_required
def lead(request: HttpRequest, quota: int) -> HttpResponse:
    """Lead from the address that a refusal says to the quota in its organization."""
    found = Quota.objects.filter(pk=quota).first()
    organization = Organization.objects.filter(pk=found.organization).first() if found else None
    standing = organization and access.find_standing(person_of(request), organization)
    if organization is None or standing is None:
        raise Http404
    return redirect("limit", organization=organization.slug, quota=quota)


def read_fields(form: Form, scope: str, fields: Mapping[str, Any]) -> Any:
    names = ("unit", "window", "model", "mode", "hold", "clamp")
    written = {name: fields[name] for name in names if name in fields}
    return parse_quota({**written, "limit": fields["limit"].strip() or None}, scope=scope)


def find_quota(place: Place, quota: int) -> Quota:
    return find(living(find_visible(place.organization, place.standing)), pk=quota)


def find_managed(place: Place, quota: int) -> Quota:
    found = find_quota(place, quota)
    if not may_manage(place, found):
        raise PermissionDenied("Your role in this organization does not allow this.")
    return found


def name_members(place: Place) -> dict[int, str]:
    members = Membership.objects.filter(organization=place.organization)
    return dict(members.values_list("pk", "user__email"))


def list_targets(place: Place) -> list[Any]:
    """Return what a quota can be of, as `scope-number`, in groups."""
    ours = {"organization": place.organization}
    projects = Project.objects.filter(**ours, archived_at=None).order_by("name")
    members = Membership.objects.filter(**ours, left_at=None).select_related("user")
    keys = ApiKey.objects.filter(**ours).exclude(status=ApiKey.Status.REVOKED).order_by("name")
    groups: list[Any] = [
        ("Projects", [(f"project-{each.pk}", each.name) for each in projects]),
        ("People", [(f"member-{each.pk}", each.user.email) for each in members]),
        ("Keys", [(f"key-{each.pk}", str(each)) for each in keys]),
    ]
    whole = Quota(scope="organization", scope_id=place.organization.pk)
    if may_manage(place, whole):
        groups.insert(0, (f"organization-{place.organization.pk}", "The whole organization"))
    return groups
