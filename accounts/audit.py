"""Who is acting: told to the database, where triggers write it into every audit event.

The names lie in settings of the connection (`tollgate.actor`, `.via`, `.address`): a trigger sees
nothing else of us. acting() puts back what was there before, so that a connection never carries a
name into the next request. SQL from elsewhere is audited as its database user, `via` sql.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import connection
from django.http import HttpRequest, HttpResponse
from psycopg.pq import TransactionStatus

from accounts.addresses import find_client

MAX_ACTOR_LENGTH = 254
# The common table is read before the settings change: this returns what they were.
EXCHANGE = """
    WITH before AS MATERIALIZED (
        SELECT current_setting('tollgate.actor', true) AS actor,
            current_setting('tollgate.via', true) AS via,
            current_setting('tollgate.address', true) AS address
    )
    SELECT coalesce(actor, ''), coalesce(via, ''), coalesce(address, ''),
        set_config('tollgate.actor', %s, false), set_config('tollgate.via', %s, false),
        set_config('tollgate.address', %s, false)
    FROM before
"""


@contextmanager
def acting(actor: str, *, via: str, address: str | None = None) -> Iterator[None]:
    """Name who makes the changes of this block on Django's connection; blocks may be nested.

    `via` is console, api, admin or command; `address` an IP address.
    """
    before = _exchange(actor[:MAX_ACTOR_LENGTH], via, address or "")
    try:
        yield
    finally:
        _restore(before)


class AuditMiddleware:
    """Names the user of a request as the actor of every change it makes."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        user = request.user
        actor = user.get_username() if user.is_authenticated else "anonymous"
        with acting(actor, via=_find_via(request.path_info), address=client_address(request)):
            return self.get_response(request)


class AuditedCommand(BaseCommand):
    """A management command whose changes are made by the operating system's user."""

    def execute(self, *args: Any, **options: Any) -> str | None:
        with acting(_find_system_user(), via="command"):
            return super().execute(*args, **options)


def client_address(request: HttpRequest) -> str | None:
    """Return the client's address. A header is believed only from within TRUSTED_PROXIES."""
    forwarded_for = request.META.get("HTTP_X_FORWARDED_FOR", "")
    return find_client(request.META.get("REMOTE_ADDR"), [forwarded_for], settings.TRUSTED_PROXIES)


def _exchange(actor: str, via: str, address: str) -> tuple[str, str, str]:
    with connection.cursor() as cursor:
        cursor.execute(EXCHANGE, [actor, via, address])
        row = cursor.fetchone()
    return row[0], row[1], row[2]


def _restore(before: tuple[str, str, str]) -> None:
    driver = connection.connection
    if driver is None or driver.closed:
        return  # The settings went with the connection.
    if connection.needs_rollback or driver.info.transaction_status == TransactionStatus.INERROR:
        return  # Rolling back restores what stood there before the block.
    _exchange(*before)


def _find_via(path: str) -> str:
    if path.startswith("/admin/"):
        return "admin"
    return "api" if path.startswith("/api/") else "console"


def _find_system_user() -> str:
    # Not getpass: that believes the environment.
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # The user of a container often has a number and no name.
        return f"uid {os.getuid()}"
