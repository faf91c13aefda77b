"""What strangers say of a proxy is not believed: TRUSTED_PROXIES alone say how they were asked.

Django takes X-Forwarded-Proto from whoever sends it once it is told to look at it.
"""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
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
