"""Who belongs to an organization: inviting, roles, removing and leaving."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.http import require_POST

from accounts.access import Right
from accounts.errors import AccountsError
from accounts.invitations import invite, revoke_invitation
from accounts.members import change_role, remove_member
from accounts.models import Invitation, Membership
from console.forms import Form
from console.shell import Place, complain, find, inside, show, writing

ROLES = {
    Membership.Role.OWNER: "Owner: everything, and makes owners",
    Membership.Role.ADMIN: "Admin: people, projects, all keys and limits",
    Membership.Role.MEMBER: "Member: keys of their own",
    Membership.Role.BILLING: "Billing: sees what was used and what it cost",
    Membership.Role.VIEWER: "Viewer: sees everything, changes nothing",
}


class RoleForm(Form):
    role = forms.ChoiceField()

    def __init__(self, place: Place, before: str | None, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["role"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [
            (role.value, text) for role, text in ROLES.items() if place.may_give_role(before, role)
        ]
        field.initial = before or Membership.Role.MEMBER.value


class InvitationForm(RoleForm):
    email = forms.EmailField(max_length=254, label="E-mail address")
    field_order = ("email", "role")


@inside(Right.SEE_MEMBERS)
def show_all(request: HttpRequest, place: Place) -> HttpResponse:
    members = Membership.objects.filter(organization=place.organization, left_at=None)
    rows = [
        {
            "member": member,
            "is_you": member.pk == place.standing.membership,
            "may_change": place.may_give_role(member.role, None),
        }
        for member in members.select_related("user").order_by("user__email")
    ]
    waiting = Invitation.objects.filter(
        organization=place.organization,
        accepted_at=None,
        revoked_at=None,
        expires_at__gt=timezone.now(),
    )
    invitations = waiting.order_by("email") if place.may(Right.MANAGE_MEMBERS) else []
    return show(request, "people", place, section="people", rows=rows, invitations=invitations)


@inside(Right.MANAGE_MEMBERS)
def send_invitation(request: HttpRequest, place: Place) -> HttpResponse:
    form = InvitationForm(place, None, request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            with writing():
                invitation, _ = invite(
                    place.organization, **form.cleaned_data, invited_by=place.user
                )
        except AccountsError as error:
            complain(form, error)
        else:
            messages.success(request, f"A letter is on its way to {invitation.email}.")
            return redirect("people", organization=place.organization.slug)
    return show(request, "invite", place, section="people", form=form)


@inside(Right.MANAGE_MEMBERS)
def set_role(request: HttpRequest, place: Place, member: int) -> HttpResponse:
    """Give another role. Owners are made and unmade by owners alone."""
    found = find_member(place, member)
    require_role(place, found.role, None)
    form = RoleForm(place, found.role, request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            with writing():
                found.refresh_from_db()
                require_role(place, found.role, form.cleaned_data["role"])
                change_role(found, form.cleaned_data["role"])
        except AccountsError as error:
            complain(form, error)
        else:
            messages.success(request, f"{found.user.email} is now {found.role}.")
            return redirect("people", organization=place.organization.slug)
    return show(request, "role", place, section="people", form=form, member=found)


@inside(Right.MANAGE_MEMBERS)
def remove(request: HttpRequest, place: Place, member: int) -> HttpResponse:
    """End a membership, after saying what ends with it."""
    found = find_member(place, member)
    require_role(place, found.role, None)
    form = Form(request.POST if request.method == "POST" else None)
    if form.is_valid():
        try:
            with writing():
                remove_member(found)
        except AccountsError as error:
            complain(form, error)
        else:
            messages.success(request, f"{found.user.email} is no longer a member.")
            return redirect("people", organization=place.organization.slug)
    return show(
        request, "remove", place, section="people", form=form, member=found, keys=list_keys(found)
    )


@inside()
def leave(request: HttpRequest, place: Place) -> HttpResponse:
    """End one's own membership. The last owner cannot."""
    if place.standing.membership is None:
        raise Http404
    found = find_member(place, place.standing.membership)
    form = Form(request.POST if request.method == "POST" else None)
    if form.is_valid():
        try:
            with writing():
                remove_member(found)
        except AccountsError as error:
            complain(form, error)
        else:
            messages.success(request, f"You have left {place.organization.name}.")
            return redirect("home")
    return show(request, "leave", place, section="settings", form=form, keys=list_keys(found))


@require_POST
@inside(Right.MANAGE_MEMBERS)
def take_back(request: HttpRequest, place: Place, invitation: int) -> HttpResponse:
    ours = Invitation.objects.filter(organization=place.organization)
    found = find(ours, pk=invitation)
    with writing():
        revoke_invitation(found)
    messages.success(request, f"The invitation of {found.email} no longer works.")
    return redirect("people", organization=place.organization.slug)


def find_member(place: Place, member: int) -> Membership:
    members = Membership.objects.filter(organization=place.organization, left_at=None)
    return find(members.select_related("user"), pk=member)


def require_role(place: Place, before: str, after: str | None) -> None:
    if not place.may_give_role(before, after):
        raise PermissionDenied("Only an owner makes and unmakes owners.")


def list_keys(member: Membership) -> list[str]:
    """Return the keys that end with a membership, as people call them."""
    return [str(key) for key in member.keys.exclude(status="revoked").order_by("name")]
