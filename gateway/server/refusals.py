"""What the server says itself, before or in place of the application, in the caller's dialect.

Every refusal ends its connection, because what follows on it can no longer be told apart.
"""

from __future__ import annotations

import http

from billing.usage import new_id
from gateway.errors import (
    BadRequest,
    GatewayError,
    Unavailable,
    anthropic_body,
    error_headers,
    openai_body,
)

Pairs = list[tuple[bytes, bytes]]


class LineTooLong(BadRequest):
    status = 414
    code = "uri_too_long"

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"The request line is longer than {limit_bytes} bytes.")


class HeadTooLarge(BadRequest):
    status = 431
    code = "headers_too_large"

    def __init__(self, limit_bytes: int, limit_count: int) -> None:
        super().__init__(
            f"The request headers are more than {limit_bytes} bytes or {limit_count} lines."
        )


class TooManyConnections(Unavailable):
    code = "too_many_connections"
    sentence = "This gateway process has no room for another connection. Try again shortly."


def write_refusal(error: GatewayError, url: bytes, default_headers: Pairs) -> bytes:
    """Write the whole response: Anthropic's shape under /v1/messages, OpenAI's elsewhere."""
    call_id = new_id()
    write_body = anthropic_body if url.startswith(b"/v1/messages") else openai_body
    body = write_body(error, call_id)
    headers = [
        *default_headers,
        *error_headers(error, call_id),
        (b"content-length", b"%d" % len(body)),
        (b"connection", b"close"),
    ]
    phrase = http.HTTPStatus(error.status).phrase.encode()
    lines = [b"HTTP/1.1 %d %b" % (error.status, phrase)]
    lines += [b"%b: %b" % header for header in headers]
    return b"\r\n".join([*lines, b"", body])
