"""Who may sign up and log in, where django-allauth asks. SIGNUP says who; an invitation proves the
address that it was sent to, because nobody else has its token.

Wrong passwords are counted by accounts.login alone, so that no stranger keeps an owner out.
"""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.models import EmailAddress
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.providers.openid_connect.views import login as begin_sign_on
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from accounts.audit import client_address
from accounts.invitations import find_open, has_open
from accounts.models import Invitation, User
from gateway.credentials import CredentialError, open_sealed, seal

log = logging.getLogger(__name__)

# Where the token of an invitation waits until its reader has logged in.
INVITATION = "invitation"
MAX_NAME_LENGTH = 100


def leave_for_provider(request: HttpRequest, provider_id: str) -> HttpResponse:
    """Lead to the identity provider by a page that goes there by itself.

    A redirect in answer to a form may only lead to where the policy lets forms go, however often it
    is redirected on its way; providers send people on to others, whom nobody can name beforehand.
    """
    try:
        answer: HttpResponse = begin_sign_on(request, provider_id=provider_id)
    except OSError as error:  # What the HTTP client raises is of this kind.
        log.warning("the identity provider cannot be reached: %r", error)
        messages.error(request, "Signing in elsewhere is not possible now. Try again shortly.")
        return redirect("account_login")
    if answer.status_code != HTTPStatus.FOUND:
        return answer
    return render(request, "console/leaving.html", {"address": answer["Location"]})


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    """What allauth asks about accounts with a password."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        if settings.SIGNUP == "open":
            return True
        return settings.SIGNUP == "invited" and find_waiting(request) is not None

    def clean_email(self, email: str) -> str:
        """Take the invited address alone, where only the invited may come."""
        email = email.strip().lower()
        if settings.SIGNUP == "invited" and not self.request.user.is_authenticated:
            invitation = find_waiting(self.request)
            if self.request.path == reverse("account_signup") and (
                invitation is None or invitation.email != email
            ):
                raise ValidationError("Sign up with the address that was invited.")
        return email

    def pre_login(self, request: HttpRequest, user: User, **rest: Any) -> HttpResponse | None:
        """Take the address of an account that an operator made for proven, as operators do: only
        whoever signs up says an address of their own. What an identity provider calls verified is
        proven as well: by now nobody else's password opens the account."""
        prove_address(user)
        sociallogin = (rest.get("signal_kwargs") or {}).get("sociallogin")
        for address in sociallogin.email_addresses if sociallogin else ():
            if is_verified(address) and not is_taken(address.email):
                EmailAddress.objects.filter(user=user, email=address.email.lower()).update(
                    verified=True
                )
        answer: HttpResponse | None = super().pre_login(request, user, **rest)
        return answer

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        """Leave wrong passwords to accounts.login, which counts them wherever they come from."""

    def send_account_already_exists_mail(self, email: str) -> None:
        address = settings.PUBLIC_URL + reverse("account_reset_password")
        context = {"request": self.request, "email": email, "password_reset_url": address}
        self.send_mail("account/email/account_already_exists", email, context)

    def get_client_ip(self, request: HttpRequest) -> str:
        return client_address(request) or "0.0.0.0"  # noqa: S104 - no address to listen at.


class SocialAccountAdapter(DefaultSocialAccountAdapter):  # type: ignore[misc]
    """What allauth asks about people of an identity provider."""

    def is_open_for_signup(self, request: HttpRequest, sociallogin: Any) -> bool:
        """Let in whom SIGNUP lets in; a verified address that was invited needs no token."""
        if settings.SIGNUP != "invited":
            return settings.SIGNUP == "open"
        addresses = [each.email for each in sociallogin.email_addresses if is_verified(each)]
        return any(has_open(email) for email in addresses)

    def populate_user(self, request: HttpRequest, sociallogin: Any, data: dict[str, Any]) -> User:
        """Take the name that the provider knows."""
        user: User = super().populate_user(request, sociallogin, data)
        user.name = " ".join(str(data.get("name") or "").split())[:MAX_NAME_LENGTH]
        return user

    def authenticate_by_email(self, sociallogin: Any) -> tuple[User, str] | None:
        """Find the account of an address that the provider calls verified. This is asked before
        anything else believes it."""
        for address in sociallogin.email_addresses:
            address.verified = is_verified(address)
        found: tuple[User, str] | None = super().authenticate_by_email(sociallogin)
        if found is not None:
            prove_address(found[0])
        return found


def is_verified(address: EmailAddress) -> bool:
    """Say whether a provider's word is that the address was verified, in whatever way it says so:
    "false" is a text that Python takes for true."""
    return str(address.verified).lower() == "true"


def is_taken(email: str) -> bool:
    return bool(EmailAddress.objects.filter(email=email.lower(), verified=True).exists())


def prove_address(user: User) -> None:
    """Note the address of an account that came without a letter, because an operator made it."""
    if not EmailAddress.objects.filter(user=user).exists():
        EmailAddress.objects.create(user=user, email=user.email, verified=True, primary=True)


def find_waiting(request: HttpRequest) -> Invitation | None:
    """Return the open invitation that this browser came with."""
    token = waiting_token(request)
    return find_open(token) if token else None


def keep_waiting(request: HttpRequest, token: str) -> None:
    """Remember an invitation until its reader has logged in. Sessions lie in the database, where
    a token is to be read by nobody."""
    request.session[INVITATION] = seal(token).decode()


def waiting_token(request: HttpRequest) -> str | None:
    """Return what keep_waiting() kept; None where there is nothing, or no key opens it any more."""
    sealed = request.session.get(INVITATION)
    try:
        return open_sealed(sealed.encode()).reveal() if sealed else None
    except CredentialError:
        return None
