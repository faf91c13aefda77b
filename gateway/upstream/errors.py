"""What can go wrong at a provider, in the gateway's own words, and the table of foreign errors.

No other module of the gateway catches an exception of httpx2 or aiohttp. Every error says whether
a byte of the request body may have left (`sent`); when in doubt it says yes, because a call that
may have been read may also be billed. Texts are for the operator's log, never for a caller.

UpstreamError
  x UpstreamConnectError      no connection: refused, unreachable, no such host, bad certificate
    + UpstreamForbidden       the address is none that calls may go to
  x UpstreamTimeout           `kind` says which limit: connect, first_byte, idle or total
  x UpstreamReadError         the connection broke
  x UpstreamProtocolError     the answer is not what was asked for: malformed, redirected, encoded
    + UpstreamTooLarge        longer than the caller of read() allowed
  x UpstreamAborted           abort() was called
    + UpstreamWithheld        what has to come before the first byte did not
"""

from __future__ import annotations

import enum

import aiohttp
import httpx2
from aiohttp import client_exceptions
from aiohttp.http_exceptions import HttpProcessingError


class TimeoutKind(enum.StrEnum):
    CONNECT = "connect"
    FIRST_BYTE = "first_byte"
    IDLE = "idle"
    TOTAL = "total"


class UpstreamError(Exception):
    """An attempt failed. `sent`: a byte of the request body may have reached the provider."""

    def __init__(self, detail: str, *, sent: bool) -> None:
        super().__init__(detail)
        self.sent = sent


class UpstreamConnectError(UpstreamError):
    """No connection came about, so nothing was sent."""


class UpstreamForbidden(UpstreamConnectError):
    """The provider's address is private or special, and not in UPSTREAM_ALLOWED_NETWORKS."""

    def __init__(self, detail: str, *, sent: bool = False) -> None:
        super().__init__(detail, sent=sent)


class UpstreamTimeout(UpstreamError):
    """The provider was too slow; `kind` names the limit that ran out."""

    def __init__(self, detail: str, *, sent: bool, kind: TimeoutKind = TimeoutKind.IDLE) -> None:
        super().__init__(detail, sent=sent)
        self.kind = kind


class UpstreamReadError(UpstreamError):
    """The connection broke before the answer was complete."""


class UpstreamProtocolError(UpstreamError):
    """The answer breaks HTTP, or a rule of ours: no redirects, no content coding, bounded heads."""


class UpstreamTooLarge(UpstreamProtocolError):
    """The answer is longer than the limit given to read()."""


class UpstreamAborted(UpstreamError):
    """We ended it ourselves, through UpstreamAnswer.abort()."""


class UpstreamWithheld(UpstreamAborted):
    """Nothing left, because the request's gate did not open; `reason` is what it said."""

    def __init__(self, detail: str, *, sent: bool = False, reason: Exception | None = None) -> None:
        super().__init__(detail, sent=sent)
        self.reason = reason


# The nearest class in the exception's method resolution order decides, so a new subclass of a
# foreign error behaves like its parent; a test asks for every class that the libraries have now.
FOREIGN_ERRORS: dict[type[BaseException], type[UpstreamError]] = {
    # Before a connection stands.
    httpx2.ConnectError: UpstreamConnectError,
    httpx2.ConnectTimeout: UpstreamTimeout,
    httpx2.PoolTimeout: UpstreamTimeout,
    httpx2.ProxyError: UpstreamConnectError,
    httpx2.UnsupportedProtocol: UpstreamConnectError,
    httpx2.InvalidURL: UpstreamConnectError,
    client_exceptions.ClientConnectorError: UpstreamConnectError,
    client_exceptions.ClientConnectorCertificateError: UpstreamConnectError,
    client_exceptions.ServerFingerprintMismatch: UpstreamConnectError,
    client_exceptions.ClientHttpProxyError: UpstreamConnectError,
    client_exceptions.NonHttpUrlClientError: UpstreamConnectError,
    client_exceptions.InvalidURL: UpstreamForbidden,
    # Time.
    httpx2.TimeoutException: UpstreamTimeout,
    client_exceptions.ServerTimeoutError: UpstreamTimeout,
    # The connection.
    httpx2.TransportError: UpstreamReadError,
    httpx2.StreamError: UpstreamReadError,
    client_exceptions.ClientError: UpstreamReadError,
    OSError: UpstreamReadError,
    # The protocol. aiohttp says "payload error" for an answer that ends too early.
    httpx2.ProtocolError: UpstreamProtocolError,
    httpx2.HTTPError: UpstreamProtocolError,
    httpx2.CookieConflict: UpstreamProtocolError,
    client_exceptions.ClientPayloadError: UpstreamReadError,
    client_exceptions.ClientResponseError: UpstreamProtocolError,
    client_exceptions.WSMessageTypeError: UpstreamProtocolError,
    client_exceptions.RedirectClientError: UpstreamProtocolError,
    HttpProcessingError: UpstreamProtocolError,
    aiohttp.streams.EofStream: UpstreamReadError,
}

_TIMEOUT_KINDS: dict[type[BaseException], TimeoutKind] = {
    httpx2.ConnectTimeout: TimeoutKind.CONNECT,
    httpx2.PoolTimeout: TimeoutKind.CONNECT,
    client_exceptions.ConnectionTimeoutError: TimeoutKind.CONNECT,
}


def translate_error(foreign: BaseException, *, sent: bool) -> UpstreamError | None:
    """Say a foreign error in our words; None when the table has no word for it.

    `sent` is what the transport knows. An error that can only come before a connection stands
    is never `sent`.
    """
    if isinstance(foreign, UpstreamError):
        return foreign
    ours = find_translation(type(foreign))
    if ours is None:
        return None
    detail = f"{type(foreign).__name__}: {foreign}"
    if issubclass(ours, UpstreamTimeout):
        kind = _TIMEOUT_KINDS.get(type(foreign), TimeoutKind.IDLE)
        return ours(detail, sent=sent and kind is not TimeoutKind.CONNECT, kind=kind)
    return ours(detail, sent=sent and not issubclass(ours, UpstreamConnectError))


def find_translation(foreign: type[BaseException]) -> type[UpstreamError] | None:
    """Return our class for a foreign one: that of its nearest ancestor in the table."""
    for ancestor in foreign.__mro__:
        if ancestor in FOREIGN_ERRORS:
            return FOREIGN_ERRORS[ancestor]
    return None
