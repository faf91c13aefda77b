"""What every page stands in: who asks, in which organization, and what they may do there.

A page enters an organization with the right that it needs before it reads anything else. To a
stranger the organization looks like one that does not exist; who belongs to it and may not is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeVar

from django import forms
from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.db import models, transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache

from accounts import access
from accounts.access import Right, Standing
from accounts.changes import wait_for_turn
from accounts.errors import AccountsError, InvalidField
from accounts.models import Organization, User

Row = TypeVar("Row", bound=models.Model)
View = Callable[..., HttpResponse]


@dataclass(frozen=True, slots=True)
class Place:
    """A person in an organization."""

    user: User
    organization: Organization
    standing: Standing

    def may(self, right: Right) -> bool:
        return access.may(self.standing, right, organization=self.organization.pk)

    def may_manage_key(self, owner: int | None) -> bool:
        return access.may_manage_key(self.standing, organization=self.organization.pk, owner=owner)

    def may_give_role(self, before: str | None, after: str | None) -> bool:
        return access.may_give_role(
            self.standing, organization=self.organization.pk, before=before, after=after
        )

    @property
    def may_see_keys(self) -> bool:
        return self.may(Right.SEE_ALL_KEYS) or self.may(Right.MAKE_OWN_KEYS)

    @property
    def may_make_keys(self) -> bool:
        return self.may(Right.MANAGE_ALL_KEYS) or self.may(Right.MAKE_OWN_KEYS)

    @property
    def rights(self) -> dict[str, bool]:
        """What templates ask for: `place.rights.MANAGE_MEMBERS`."""
        return {right.name: self.may(right) for right in Right}


def inside(*rights: Right) -> Callable[[View], View]:
    """Let a view of an organization be asked by whom any one of the rights lets in.

    With none given, every standing does. The view gets the place instead of the slug.
    """

    def decorate(view: View) -> View:
        @never_cache
        @login_required
        @wraps(view)
        def entered(request: HttpRequest, organization: str, **parts: Any) -> HttpResponse:
            place = find_place(request, organization)
            if rights and not any(place.may(right) for right in rights):
                raise PermissionDenied("Your role in this organization does not allow this.")
            return view(request, place, **parts)

        return entered

    return decorate


def find_place(request: HttpRequest, slug: str) -> Place:
    """Return where a person stands. Raises Http404 for strangers."""
    user = person_of(request)
    organization = Organization.objects.filter(slug=slug).first()
    standing = access.find_standing(user, organization) if organization else None
    if organization is None or standing is None:
        raise Http404
    return Place(user, organization, standing)


def person_of(request: HttpRequest) -> User:
    assert isinstance(request.user, User)
    return request.user


@contextmanager
def writing() -> Iterator[None]:
    """Write all of this block or nothing, with no other writer of watched tables in between."""
    with transaction.atomic():
        wait_for_turn()
        yield


def find(rows: models.QuerySet[Row], **identity: Any) -> Row:
    """Return the one row. Raises Http404, which tells nothing about why."""
    row = rows.filter(**identity).first()
    if row is None:
        raise Http404
    return row


def complain(form: forms.BaseForm, error: AccountsError) -> None:
    """Put what was refused beside its field, or above the form."""
    if isinstance(error, InvalidField) and error.field in form.fields:
        form.add_error(error.field, write_sentence(error.reason))
    else:
        form.add_error(None, error.message)


def write_sentence(reason: str) -> str:
    """Begin with a capital, unless the first word is an address, and end with one full stop."""
    first, _, _ = reason.partition(" ")
    begun = reason if "@" in first else f"{reason[:1].upper()}{reason[1:]}"
    return f"{begun.rstrip('.')}."


def show(
    request: HttpRequest,
    template: str,
    place: Place | None = None,
    *,
    status: int = 200,
    context: Mapping[str, object] | None = None,
    **more: object,
) -> HttpResponse:
    """Render a page of the console; `section` names its entry in the navigation."""
    shown = {"place": place, **(context or {}), **more}
    return render(request, f"console/{template}.html", shown, status=status)


def describe_installation(request: HttpRequest) -> dict[str, Any]:
    """Return what the shell of every page needs; lazily, as most are the admin's."""
    return {
        "public_url": settings.PUBLIC_URL,
        "version": settings.VERSION,
        "signup": settings.SIGNUP,
        "passkeys": settings.MFA_PASSKEY_LOGIN_ENABLED,
        "our_organizations": lambda: _find_ours(request),
    }


def _find_ours(request: HttpRequest) -> list[Organization]:
    if not isinstance(request.user, User):
        return []
    living = access.find_organizations(request.user).exclude(status=Organization.Status.DELETED)
    return list(living[:50])
