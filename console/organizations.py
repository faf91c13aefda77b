"""An organization's own pages: making one, its overview, its settings."""

from __future__ import annotations

import re

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.text import slugify
from django.views.decorators.cache import never_cache

from accounts import access
from accounts.access import Right
from accounts.errors import AccountsError
from accounts.models import Organization
from accounts.organizations import change_organization, found_organization
from console.forms import Form, time_zones
from console.overview import read_overview
from console.shell import Place, complain, inside, person_of, show, writing


class NewOrganization(Form):
    name = forms.CharField(max_length=100, help_text="Your company or team.")
    slug = forms.SlugField(
        max_length=50,
        required=False,
        label="Short name",
        help_text="Stands in addresses and stays for good. Left out, it is made from the name.",
    )
    time_zone = forms.ChoiceField(
        choices=time_zones, initial="UTC", help_text="Days and months of limits begin by it."
    )

    def clean_slug(self) -> str:
        slug: str = self.cleaned_data["slug"] or slugify(self.cleaned_data.get("name", ""))[:50]
        if not slug:
            raise forms.ValidationError("Choose one of letters, digits and hyphens.")
        if re.match(r"deleted-\d", slug):
            raise forms.ValidationError("Names that begin so are taken.")
        return slug.lower()


class Settings(Form):
    name = forms.CharField(max_length=100)
    time_zone = forms.ChoiceField(
        choices=time_zones, help_text="Windows of limits that are open now go on to their end."
    )
    hang_up = forms.ChoiceField(
        label="When the caller of a stream goes away",
        choices=[
            (Organization.HangUp.CLOSE, "Stop the model at once"),
            (Organization.HangUp.DRAIN, "Let it finish, and count what it really used"),
        ],
    )


@never_cache
@login_required
def make(request: HttpRequest) -> HttpResponse:
    """Make an organization that its maker owns, with a first project."""
    user = person_of(request)
    if not access.may_found_organization(user):
        raise PermissionDenied("Only operators make organizations here; ask for an invitation.")
    form = NewOrganization(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            with writing():
                organization = found_organization(user, **form.cleaned_data)
        except AccountsError as error:
            complain(form, error)
        else:
            messages.success(request, f"{organization.name} is there. Now make a key.")
            return redirect("organization", organization=organization.slug)
    return show(request, "new_organization", form=form)


@inside(Right.SEE_ORGANIZATION)
def show_overview(request: HttpRequest, place: Place) -> HttpResponse:
    """What there is to know and to do, on one page."""
    return show(request, "overview", place, section="overview", context=read_overview(place))


@inside(Right.SEE_ORGANIZATION)
def change(request: HttpRequest, place: Place) -> HttpResponse:
    """Change name, time zone and what a hang-up does; show them to whom may not."""
    organization = place.organization
    may_change = place.may(Right.MANAGE_ORGANIZATION)
    now = {name: getattr(organization, name) for name in ("name", "time_zone", "hang_up")}
    form = Settings(request.POST or None, initial=now)
    if request.method == "POST":
        if not may_change:
            raise PermissionDenied("Your role in this organization does not allow this.")
        if form.is_valid():
            try:
                with writing():
                    change_organization(organization, form.cleaned_data)
            except AccountsError as error:
                complain(form, error)
            else:
                messages.success(request, "Saved.")
                return redirect("settings", organization=organization.slug)
    return show(request, "settings", place, section="settings", form=form, may_change=may_change)
