"""The caller's side of a call: what it asked, over ASGI, and what it is told.

Knows headers and bytes, and nothing of models or money. The key is taken out of the headers here
and goes no further than `token`. Who it turned out to be, and the model that was asked for, are
noted here for whoever explains a refusal later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from asgiref.typing import ASGIReceiveCallable, ASGISendCallable, HTTPScope

from accounts.addresses import Network, find_client
from accounts.keyring import KeyRecord
from gateway.errors import BadRequest, EncodedBody, NotAuthenticated, TooLarge
from gateway.protocols.fields import read_tag_header

Header = tuple[bytes, bytes]
Headers = list[Header]
# Calls what it is given, now or later.
When = Callable[[Callable[[], None]], None]

TAGS = b"x-tollgate-tags"
IDEMPOTENCY_KEY = b"idempotency-key"

_JSON_LINES = b"content-type: application/json\r\nx-request-id: %b\r\nrequest-id: %b\r\n"
_NOTHING: dict[str, Any] = {}


class HungUp(Exception):
    """The caller went away before anything was answered."""


class Caller:
    """One request and the way to answer it."""

    key: KeyRecord | None = None
    model = ""
    told: Sequence[Header] = ()  # What an answer that passes says beside itself.
    started = False  # The head of the answer is out: errors go into the body now.
    is_gone = False  # It hung up. Only known once when_gone() was called.
    # Takes the whole answer before it goes out, of a call that may be repeated.
    keep: Callable[[bytes], Awaitable[None]] | None = None

    _callback: Callable[[], None] | None = None
    _watch: asyncio.Task[None] | None = None
    _on_disconnect: Callable[[Callable[[], None] | None], None] | None = None
    _repeated: Mapping[bytes, Sequence[bytes]] = {}  # Headers that stand more than once.

    def __init__(
        self,
        scope: HTTPScope,
        receive: ASGIReceiveCallable,
        send: ASGISendCallable,
        *,
        call_id: str,
    ) -> None:
        self.call_id = call_id
        self.method = scope["method"]
        self.path = scope["path"]
        self.query = scope["query_string"]
        self._scope = scope
        self._receive = receive
        self._send = send
        # What our own server offers; nothing of it under another one.
        extensions: Any = scope.get("extensions") or _NOTHING
        self._offered: dict[str, Any] = extensions.get("tollgate") or _NOTHING
        self._respond: Callable[..., bool] | None = self._offered.get("respond")
        headers: Any = scope["headers"]
        # By name in lower case; of one that stands more than once the last: see header_values().
        self.headers: dict[bytes, bytes] = dict(headers)
        if len(self.headers) < len(headers):
            self._repeated = _find_repeated(headers)

    def token(self) -> str:
        """Return the key that was presented, '' for none. Two different ones are an error."""
        bearer, bare = self.headers.get(b"authorization"), self.headers.get(b"x-api-key")
        if self._repeated or (bearer is not None and bare is not None):
            return self._agree()
        if bearer is not None:
            return _read_bearer(bearer)
        return "" if bare is None else _read_key(bare)

    def _agree(self) -> str:
        """Return the key that all headers name, or the one that there is."""
        tokens = {
            *map(_read_bearer, self.header_values(b"authorization")),
            *map(_read_key, self.header_values(b"x-api-key")),
        } - {""}
        if len(tokens) > 1:
            raise NotAuthenticated(
                "Two different API keys were given, in 'Authorization' and 'x-api-key'."
            )
        return tokens.pop() if tokens else ""

    def secrets(self) -> list[str]:
        """Return everything that was presented as a key, however it was written."""
        headers = (b"authorization", b"x-api-key")
        values = [v for name in headers for v in self.header_values(name)]
        return [part for v in values for part in v.decode("latin-1").split()]

    def address(self, trusted_proxies: Sequence[Network]) -> str | None:
        """Return the caller's network address as far as it can be believed."""
        client = self._scope.get("client")
        if not trusted_proxies:
            return client[0] if client else None
        claims = [v.decode("latin-1") for v in self.header_values(b"x-forwarded-for")]
        return find_client(client[0] if client else None, claims, trusted_proxies)

    def header_values(self, name: bytes) -> Sequence[bytes]:
        """Return the values of a header, in the order of their coming; names are in lower case."""
        if name in self._repeated:
            return self._repeated[name]
        value = self.headers.get(name)
        return () if value is None else (value,)

    def tags(self) -> dict[str, str]:
        """Return the tags that this call is to carry: `x-tollgate-tags: team=blue, env=test`."""
        written = b",".join(self.header_values(TAGS)).decode("latin-1")
        return read_tag_header(written, TAGS.decode())

    def forwarded(self, names: frozenset[bytes]) -> dict[bytes, bytes]:
        """Return what of the caller's headers goes on, of those that the provider may read.

        One that stands twice is a list in two parts (RFC 9110, 5.3). Raises BadRequest.
        """
        found: dict[bytes, bytes] = {}
        for name in names & self.headers.keys():
            value = b", ".join(self.header_values(name))
            if not value.isascii():
                header = name.decode()
                raise BadRequest(f"The header {header} is not ASCII.", header)
            found[name] = value
        return found

    def take_body(self, limit_bytes: int) -> bytes | None:
        """Do what read_body() does where all of the body is there; None where that has to wait."""
        if b"content-encoding" in self.headers:
            for coding in self.header_values(b"content-encoding"):
                if coding.strip().lower() not in {b"", b"identity"}:
                    raise EncodedBody
        take = self._offered.get("take_body")
        whole: bytes | None = None if take is None else take()
        if whole is not None and len(whole) > limit_bytes:
            raise TooLarge(limit_bytes)
        return whole

    async def read_body(self, limit_bytes: int) -> bytes:
        """Read the whole body. Raises TooLarge and EncodedBody without reading on, and HungUp."""
        whole = self.take_body(limit_bytes)
        if whole is not None:
            return whole
        for length in self.header_values(b"content-length"):
            if int(length) > limit_bytes:
                raise TooLarge(limit_bytes)
        chunks: list[bytes] = []
        size = 0
        while True:
            message = await self._receive()
            if message["type"] != "http.request":
                raise HungUp
            chunk = message["body"]
            size += len(chunk)
            if size > limit_bytes:
                raise TooLarge(limit_bytes)
            chunks.append(chunk)
            if not message["more_body"]:
                return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def respond_when(self, when: When, more: Sequence[Header], body: bytes) -> bool:
        """Send a whole answer in JSON when `when` calls back; False where the server cannot.

        `more` are headers beside those that every answer carries.
        """
        if self._respond is None:
            return False
        self.started = True
        lines = _JSON_LINES % ((self.call_id.encode(),) * 2)
        if self.told or more:
            lines += _write(self.told) + _write(more)
        return self._respond(200, lines, body, when=when)

    async def respond(self, status: int, headers: Sequence[Header], body: bytes) -> None:
        """Send a whole answer, in one piece where the server can."""
        if self._respond is not None:
            self.started = True
            if self._respond(status, _write(headers), body, when=_at_once):
                return
        await self.start(status, [*headers, (b"content-length", b"%d" % len(body))])
        await self.write(body, more=False)

    async def respond_json(self, body: bytes, more: Sequence[Header] = ()) -> None:
        """Send a whole answer in JSON, in one piece where the server can."""
        kind = (b"content-type", b"application/json")
        await self.respond(200, [kind, *self.identity(), *more], body)

    async def start(self, status: int, headers: Headers) -> None:
        self.started = True
        await self._send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": headers,
                "trailers": False,
            }
        )

    async def write(self, data: bytes, *, more: bool) -> None:
        """Send bytes; waits while the caller is slower than the provider."""
        await self._send({"type": "http.response.body", "body": data, "more_body": more})

    def when_gone(self, callback: Callable[[], None]) -> None:
        """Call `callback` when the caller hangs up before stop_watching(), at once if it has.

        It takes the place of an earlier one. Our own server tells us; under another one a task
        waits for its word.
        """
        is_first, self._callback = self._callback is None, callback
        if self.is_gone:
            callback()
        elif is_first:
            self._begin_watching()

    def stop_watching(self) -> None:
        """Forget the callback; harmless when there is none.

        To be called before the end of the answer is sent: after that the connection may carry
        another request, with a callback of its own.
        """
        if self._callback is None:
            return
        self._callback = None
        tell, self._on_disconnect = self._on_disconnect, None
        if tell is not None:
            tell(None)
        if self._watch is not None:
            self._watch.cancel()

    def identity(self) -> Headers:
        """Return the headers that every answer carries: the call's id for both vendors' clients,
        and what is told about limits."""
        call_id = self.call_id.encode()
        return [(b"x-request-id", call_id), (b"request-id", call_id), *self.told]

    def _begin_watching(self) -> None:
        self._on_disconnect = self._offered.get("on_disconnect")
        if self._on_disconnect is not None:
            self._on_disconnect(self._note_gone)
        else:
            self._watch = asyncio.create_task(self._wait_until_gone())

    async def _wait_until_gone(self) -> None:
        message: Any = await self._receive()
        while message["type"] != "http.disconnect":
            message = await self._receive()
        self._note_gone()

    def _note_gone(self) -> None:
        self.is_gone = True
        if self._callback is not None:
            self._callback()


def _at_once(call: Callable[[], None]) -> None:
    call()


def _find_repeated(headers: Sequence[Header]) -> Mapping[bytes, Sequence[bytes]]:
    found: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        found.setdefault(name, []).append(value)
    return {name: values for name, values in found.items() if len(values) > 1}


def _read_bearer(value: bytes) -> str:
    """Return the key of an `Authorization`, '' where it is of another scheme."""
    scheme, token = value[:7], value[7:]
    return _read_key(token) if scheme == b"Bearer " or scheme.lower() == b"bearer " else ""


def _read_key(value: bytes) -> str:
    return value.strip().decode("latin-1")


def _write(headers: Sequence[Header]) -> bytes:
    return b"".join([b"%b: %b\r\n" % header for header in headers])
