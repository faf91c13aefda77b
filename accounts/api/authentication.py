"""Who asks: a person with a session, whose writes need a CSRF token, or a management key.

A management key comes as `Authorization: Bearer`. `request.user` is then its maker and
`request.auth` the key; what it may do is access.find_key_standing(). Who presents wrong ones again
and again has to wait, before anything is looked up; keys that were right here before do not.
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import AnonymousUser
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework import authentication
from rest_framework.exceptions import AuthenticationFailed, Throttled
from rest_framework.request import Request

from accounts.audit import client_address
from accounts.errors import KeyRefused, MustWait
from accounts.management_keys import recognize
from accounts.models import ManagementKey, User


class ManagementKeyAuthentication(authentication.BaseAuthentication):
    """Recognizes `Authorization: Bearer <management key>`."""

    def authenticate(self, request: Request) -> tuple[User, ManagementKey] | None:
        header = request.META.get("HTTP_AUTHORIZATION", "")
        scheme, _, text = header.partition(" ")
        if not header:
            return None
        if scheme.lower() != "bearer":
            raise AuthenticationFailed("Send a management key as 'Authorization: Bearer KEY'.")
        try:
            key = recognize(text.strip(), address=client_address(request._request))
        except MustWait as error:
            raise Throttled(error.seconds) from None
        except KeyRefused as error:
            raise AuthenticationFailed(error.message, code=f"key_{error.code}") from None
        return key.made_by, key

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="management API"'


class SessionAuthentication(authentication.SessionAuthentication):
    """A logged-in person. Their writes need the CSRF token as `X-CSRFToken`."""


class ManagementKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "accounts.api.authentication.ManagementKeyAuthentication"
    name = "managementKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer"}


class SessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "accounts.api.authentication.SessionAuthentication"
    name = "session"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "apiKey", "in": "cookie", "name": "sessionid"}


def person_of(request: Request) -> User:
    """Return who asks: the person, or whoever made the management key."""
    user = request.user
    assert not isinstance(user, AnonymousUser), "the view lets nobody in who is not known"
    return user


def key_of(request: Request) -> ManagementKey | None:
    """Return the management key that asks, None for a person with a session."""
    return request.auth if isinstance(request.auth, ManagementKey) else None


def actor_of(request: Request) -> str:
    """Return who acts, as the audit names them."""
    key = key_of(request)
    if key is not None:
        return f"management key {key.public_id}"
    return person_of(request).email if request.user.is_authenticated else "anonymous"
