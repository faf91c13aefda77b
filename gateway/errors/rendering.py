"""Errors in the caller's own dialect: bodies and headers, nothing else.

Every OpenAI body has all four fields of `error`; every Anthropic body has `request_id`. Both id
headers go out on every error, because either vendor's client may be asking.
"""

from __future__ import annotations

import math

import msgspec

from accounts.keys import hide
from gateway.errors.limits import ANTHROPIC, OPENAI, write_limit
from gateway.errors.quota import QuotaExplanation, describe
from gateway.errors.tree import GatewayError

# Anthropic names its errors by status alone (its API's error reference).
_ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    408: "timeout_error",
    409: "conflict_error",
    413: "request_too_large",
    415: "invalid_request_error",
    422: "invalid_request_error",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_OPENAI_TYPES = {403: "permission_error", 429: "requests"}

_encode = msgspec.json.Encoder().encode


def openai_body(error: GatewayError, call_id: str) -> bytes:
    """`{"error": {message, type, param, code}}`, on one line, so that a stream can carry it."""
    return _encode({"error": openai_error(error, call_id), "request_id": call_id})


def openai_error(error: GatewayError, call_id: str) -> dict[str, object]:
    """What stands in `error`, for events that carry it in their own way."""
    fields = {
        "message": _write_message(error, call_id),
        "type": _choose_openai_type(error),
        "param": None if error.field is None else hide(error.field),
        "code": error.code,
    }
    return fields | _write_quota(error)


def anthropic_body(error: GatewayError, call_id: str) -> bytes:
    """`{"type": "error", "error": {type, message}, "request_id"}`, on one line."""
    kind = _ANTHROPIC_TYPES.get(error.anthropic_status or error.status, "api_error")
    fields = {"type": kind, "message": _write_message(error, call_id)}
    return _encode({"type": "error", "error": fields | _write_quota(error), "request_id": call_id})


def error_headers(error: GatewayError, call_id: str) -> list[tuple[bytes, bytes]]:
    """The headers of an error's response as ASGI takes them; content-length is the caller's."""
    identity = call_id.encode()
    found = [
        (b"content-type", b"application/json"),
        (b"x-request-id", identity),
        (b"request-id", identity),
    ]
    if error.retry_after_seconds is not None:
        milliseconds = max(0, math.ceil(error.retry_after_seconds * 1000))
        found.append((b"retry-after", b"%d" % math.ceil(milliseconds / 1000)))
        found.append((b"retry-after-ms", b"%d" % milliseconds))
    if error.should_retry is not None:
        found.append((b"x-should-retry", b"true" if error.should_retry else b"false"))
    if error.explanation is not None and error.status == 429:
        found += _limit_headers(error.explanation, error.retry_after_seconds)
    if error.allow:
        found.append((b"allow", ", ".join(error.allow).encode()))
    if error.status == 401:
        found.append((b"www-authenticate", b"Bearer"))
    return found


def _limit_headers(
    quota: QuotaExplanation, reset_seconds: float | None
) -> list[tuple[bytes, bytes]]:
    """The limit that refused, for either vendor's client."""
    left = max(quota.limit - quota.used - quota.held, 0)
    resets_at = quota.resets_at
    now = 0.0 if resets_at is None else resets_at - (reset_seconds or 0.0)
    return [
        header
        for vendor in (OPENAI, ANTHROPIC)
        for names in vendor.get(quota.unit, ())
        for header in write_limit(names, limit=quota.limit, left=left, resets_at=resets_at, now=now)
    ]


def _write_message(error: GatewayError, call_id: str) -> str:
    """Messages name what the caller sent, and people paste keys into the wrong places."""
    message = hide(error.message)
    return f"{message} (call {call_id})" if error.names_call else message


def _write_quota(error: GatewayError) -> dict[str, object]:
    return {} if error.explanation is None else {"quota": describe(error.explanation)}


def _choose_openai_type(error: GatewayError) -> str:
    if error.openai_type is not None:
        return error.openai_type
    default = "server_error" if error.status >= 500 else "invalid_request_error"
    return _OPENAI_TYPES.get(error.status, default)
