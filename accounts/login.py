"""Logging in with a password: slow for who is wrong again and again, from one address or about
one account.

An account cannot be kept from its owner by a stranger's wrong guesses: where a login from an
address was right before (in this process), only the address counts. Both counts are in memory, so
a login attempt that has to wait costs neither a look-up nor a hash.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic
from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.http import HttpRequest, HttpResponse
from django.utils.html import escape

from accounts.audit import client_address
from accounts.guessing import Guesses, Proven, find_place, whole_seconds
from accounts.models import User

log = logging.getLogger(__name__)

# By network address: fifteen, and one more every twenty seconds.
BY_ADDRESS = Guesses(most=15, per_seconds=300)
# By account, from addresses that were not right about it before.
BY_ACCOUNT = Guesses(most=50, per_seconds=3600)
RIGHT_BEFORE = Proven()


class TooManyLogins(Exception):
    """Whoever asks has to wait before the password is looked at."""

    def __init__(self, seconds: float) -> None:
        super().__init__("too many failed logins")
        self.retry_after = whole_seconds(seconds)


class PasswordBackend(ModelBackend):
    """Django's own, asked only when its turn has come. Raises TooManyLogins."""

    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **fields: Any,
    ) -> User | None:
        email = str(username or fields.get(User.USERNAME_FIELD) or "").strip().lower()[:254]
        if request is None:  # A program of ours: nobody to keep waiting.
            return self._look(request, email, password)
        place, now = find_place(client_address(request)), monotonic()
        together = f"{place} {email}"
        wait = BY_ADDRESS.wait_seconds(place, now)
        if together not in RIGHT_BEFORE:
            wait = max(wait, BY_ACCOUNT.wait_seconds(email, now))
        if wait:
            raise TooManyLogins(wait)
        user = self._look(request, email, password)
        if user is not None:
            RIGHT_BEFORE.add(together)
        elif BY_ADDRESS.note(place, now) | BY_ACCOUNT.note(email, now):
            log.warning("failed logins from %s: it has to wait now", place)
        return user

    def _look(self, request: HttpRequest | None, email: str, password: str | None) -> User | None:
        found = super().authenticate(request, username=email, password=password)
        assert found is None or isinstance(found, User)
        return found


class LoginLimitMiddleware:
    """Answers 429 where a login has to wait, whichever page asked for it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if not isinstance(error, TooManyLogins):
            return None
        told = f"Too many failed logins. Try again in {error.retry_after} seconds."
        page = f"<!DOCTYPE html><title>Wait</title><p>{escape(told)}</p>"
        return HttpResponse(page, status=429, headers={"Retry-After": str(error.retry_after)})
