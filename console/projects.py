"""What keys belong to: making, renaming and archiving projects."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.text import slugify
from django.views.decorators.http import require_POST

from accounts.access import Right
from accounts.errors import AccountsError
from accounts.models import ApiKey, Project
from accounts.organizations import archive_project, make_project, rename_project, unarchive_project
from console.forms import Form
from console.shell import Place, complain, find, inside, show, writing


class NewProject(Form):
    name = forms.CharField(max_length=100)
    slug = forms.SlugField(
        max_length=50,
        required=False,
        label="Short name",
        help_text="Left out, it is made from the name.",
    )

    def clean_slug(self) -> str:
        slug: str = self.cleaned_data["slug"] or slugify(self.cleaned_data.get("name", ""))[:50]
        if not slug:
            raise forms.ValidationError("Choose one of letters, digits and hyphens.")
        return slug


class ProjectName(Form):
    name = forms.CharField(max_length=100)


@inside(Right.SEE_ORGANIZATION)
def show_all(request: HttpRequest, place: Place) -> HttpResponse:
    """List the projects; whoever manages them makes one here."""
    form = NewProject(request.POST or None)
    if request.method == "POST":
        if not place.may(Right.MANAGE_PROJECTS):
            raise PermissionDenied("Your role in this organization does not allow this.")
        if form.is_valid():
            try:
                with writing():
                    project = make_project(place.organization, **form.cleaned_data)
            except AccountsError as error:
                complain(form, error)
            else:
                messages.success(request, f"{project.name} is there.")
                return redirect("projects", organization=place.organization.slug)
    living = ~Q(keys__status=ApiKey.Status.REVOKED)
    projects = Project.objects.filter(organization=place.organization)
    counted = projects.annotate(living_keys=Count("keys", filter=living)).order_by("name")
    return show(request, "projects", place, section="projects", form=form, projects=counted)


@inside(Right.MANAGE_PROJECTS)
def change(request: HttpRequest, place: Place, project: str) -> HttpResponse:
    """Rename a project; its short name stays."""
    found = find_project(place, project)
    form = ProjectName(request.POST or None, initial={"name": found.name})
    if request.method == "POST" and form.is_valid():
        try:
            with writing():
                rename_project(found, form.cleaned_data["name"])
        except AccountsError as error:
            complain(form, error)
        else:
            messages.success(request, "Saved.")
            return redirect("projects", organization=place.organization.slug)
    keys = found.keys.exclude(status=ApiKey.Status.REVOKED).order_by("name")
    return show(request, "project", place, section="projects", form=form, project=found, keys=keys)


@require_POST
@inside(Right.MANAGE_PROJECTS)
def archive(request: HttpRequest, place: Place, project: str) -> HttpResponse:
    """Refuse all calls of its keys from now on; its history stays."""
    found = find_project(place, project)
    with writing():
        archive_project(found)
    messages.success(request, f"{found.name} is archived; its keys are refused.")
    return redirect("projects", organization=place.organization.slug)


@require_POST
@inside(Right.MANAGE_PROJECTS)
def unarchive(request: HttpRequest, place: Place, project: str) -> HttpResponse:
    found = find_project(place, project)
    with writing():
        unarchive_project(found)
    messages.success(request, f"{found.name} is back; its keys work again.")
    return redirect("projects", organization=place.organization.slug)


def find_project(place: Place, slug: str) -> Project:
    return find(Project.objects.filter(organization=place.organization), slug=slug)
