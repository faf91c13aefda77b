"""The page that the letter of an invitation leads to. Its token is not shown or logged."""

from __future__ import annotations

from allauth.account.adapter import get_adapter
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.cache import never_cache

from accounts.errors import AccountsError
from accounts.invitations import accept_invitation, find_invitation, find_open
from accounts.models import User
from console.entrance import INVITATION, keep_waiting
from console.shell import show, writing


@never_cache
def answer(request: HttpRequest, token: str) -> HttpResponse:
    """Accept an invitation, or lead to where its reader can log in or sign up first."""
    invitation = find_open(token)
    if invitation is None:
        request.session.pop(INVITATION, None)
        return show(request, "invitation_over", status=404)
    user = request.user
    if not isinstance(user, User):
        keep_waiting(request, token)
        # Whoever has the token reads that mailbox.
        get_adapter(request).stash_verified_email(request, invitation.email)
        has_account = User.objects.filter(email=invitation.email).exclude(password="").exists()
        return show(request, "invitation", invitation=invitation, has_account=has_account)
    if user.email != invitation.email:
        return show(request, "invitation_of_another", invitation=invitation)
    if request.method == "POST":
        return accept(request, user, token)
    return show(request, "invitation", invitation=invitation)


def accept(request: HttpRequest, user: User, token: str) -> HttpResponse:
    invitation = find_invitation(token, user)
    if invitation is None:
        raise Http404
    request.session.pop(INVITATION, None)
    try:
        with writing():
            accept_invitation(invitation, user)
    except AccountsError as error:
        messages.error(request, error.message)
        return redirect("home")
    messages.success(request, f"Welcome to {invitation.organization.name}.")
    return redirect("organization", organization=invitation.organization.slug)
