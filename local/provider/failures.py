"""Models that answer no question: error statuses, pages, redirects, silence, resets.

One table from a behaviour to the function that plays it; each is given an
exchange whose request was counted, and none of them reports usage.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from local.provider.connection import EVENT_STREAM, HTML, JSON, Exchange
from local.provider.errors import REFUSALS, Dialect, Refused, bad_credential
from local.provider.fields import Call
from local.provider.frames import encode

Failure = Callable[[Exchange, Call, Dialect], Coroutine[Any, Any, None] | None]

_PAGE = b"<!DOCTYPE html><html><head><title>%b</title></head><body><h1>%b</h1></body></html>\n"


def find_failure(base: str) -> Failure | None:
    """The failure of that name; None for models that answer."""
    return _refuse_as_named if base in REFUSALS else _FAILURES.get(base)


def refuse(exchange: Exchange, refused: Refused, dialect: Dialect, request_id: str) -> None:
    """Answer with a refusal in the dialect's shape."""
    extra = "".join(f"{name}: {value}\r\n" for name, value in refused.headers.items())
    body = encode(refused.shape(dialect, request_id))
    exchange.answer(refused.status, body, JSON + extra.encode("latin-1"))


def read_credential(request_headers: dict[bytes, bytes]) -> str:
    """The x-api-key, else what follows Bearer; empty when there is neither."""
    key = request_headers.get(b"x-api-key", b"").decode("latin-1").strip()
    scheme, _, token = (
        request_headers.get(b"authorization", b"").decode("latin-1").strip().partition(" ")
    )
    return key or (token.strip() if scheme.lower() == "bearer" else "")


def _refuse_as_named(exchange: Exchange, call: Call, dialect: Dialect) -> None:
    refuse(exchange, REFUSALS[call.behaviour.base], dialect, f"req_{call.token}")


def _refuse_credential(exchange: Exchange, call: Call, dialect: Dialect) -> None:
    refused = bad_credential(read_credential(call.request.headers), dialect)
    refuse(exchange, refused, dialect, f"req_{call.token}")


def _page(status: int, title: bytes) -> Failure:
    body = _PAGE % (title, title)
    return lambda exchange, call, dialect: exchange.answer(status, body, HTML)


def _garbage(exchange: Exchange, call: Call, dialect: Dialect) -> None:
    if call.stream:
        exchange.answer(200, b"data: {not json\n\n" * 3, EVENT_STREAM)
    else:
        exchange.answer(200, b'{"id": "chatcmpl-', JSON)


def _redirect(exchange: Exchange, call: Call, dialect: Dialect) -> None:
    """To this server's own port under its other name, so that it sees who follows."""
    host = call.request.headers.get(b"host", b"").decode("latin-1")
    name, _, port = host.partition(":")
    other = "localhost" if name != "localhost" else "127.0.0.1"
    where = f"location: http://{other}:{port or 80}/__redirected\r\n"
    exchange.answer(302, b"", where.encode("latin-1"))


def _reset(exchange: Exchange, call: Call, dialect: Dialect) -> None:
    exchange.reset()


async def _hang(exchange: Exchange, call: Call, dialect: Dialect) -> None:
    await asyncio.get_running_loop().create_future()


_FAILURES: dict[str, Failure] = {
    "demo-401": _refuse_credential,
    "demo-html": _page(200, b"Welcome"),
    "demo-html-502": _page(502, b"502 Bad Gateway"),
    "demo-garbage": _garbage,
    "demo-redirect": _redirect,
    "demo-reset": _reset,
    "demo-hang": _hang,
}
