"""What strangers say of a proxy is not believed: TRUSTED_PROXIES alone say how they were asked.

Django takes X-Forwarded-Proto from whoever sends it once it is told to look at it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Warning
from django.http import HttpRequest, HttpResponse

from accounts.addresses import is_inside, parse_address


class TrustedProxyMiddleware:
    """Forgets X-Forwarded-Proto unless the other end of the socket is a trusted proxy."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        peer = parse_address(request.META.get("REMOTE_ADDR"))
        if peer is None or not is_inside(peer, settings.TRUSTED_PROXIES):
            request.META.pop("HTTP_X_FORWARDED_PROTO", None)
        return self.get_response(request)


def check_https(**_: Any) -> list[CheckMessage]:
    """`manage.py check --deploy`: pages are asked for over https, by a proxy that is believed.

    It speaks in place of Django's security.W004, W008, W012 and W016, whose settings all follow
    from the two variables that are named here.
    """
    if not settings.IS_HTTPS:
        return [
            Warning(
                "PUBLIC_URL is http: whoever is on the way reads passwords, sessions and keys.",
                hint="Set PUBLIC_URL=https://... and TRUSTED_PROXIES: docs/guides/operating.md.",
                id="accounts.W001",
            )
        ]
    if not settings.TRUSTED_PROXIES:
        return [
            Warning(
                "PUBLIC_URL is https and TRUSTED_PROXIES is empty, so nobody is believed who says"
                " that a request came over https, or from where: pages are neither redirected nor"
                " marked for browsers (HSTS), and everybody seems to come from the proxy, which"
                " keys limited to networks refuse and one who guesses passwords locks for all.",
                hint="Set TRUSTED_PROXIES to the networks that the proxy connects from.",
                id="accounts.W002",
            )
        ]
    return []
