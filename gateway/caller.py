"""The caller's side of a call: what it asked, over ASGI, and what it is told.

Knows headers and bytes, and nothing of models or money. The key is taken out of the headers here
and goes no further than `token`. Who it turned out to be, and the model that was asked for, are
noted here for whoever explains a refusal later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from asgiref.typing import ASGIReceiveCallable, ASGISendCallable, HTTPScope

from accounts.addresses import Network, find_client
from accounts.keyring import KeyRecord
from gateway.errors import BadRequest, EncodedBody, NotAuthenticated, TooLarge
from gateway.protocols.fields import read_tag_header

Headers = list[tuple[bytes, bytes]]
# Calls what it is given, now or later.
When = Callable[[Callable[[], None]], None]

TAGS = b"x-tollgate-tags"
IDEMPOTENCY_KEY = b"idempotency-key"
# The headers that are read here; those that a provider may see are in dialects.py.
_READ = frozenset(
    {
        *(b"authorization", b"x-api-key", b"content-length", b"content-encoding"),
        IDEMPOTENCY_KEY,
        *(
            b"x-forwarded-for",
            b"forwarded",
            b"openai-organization",
            b"openai-beta",
            b"anthropic-version",
            b"anthropic-beta",
            TAGS,
        ),
    }
)


class HungUp(Exception):
    """The caller went away before anything was answered."""


class Caller:
    """One request and the way to answer it."""

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
        self.key: KeyRecord | None = None
        self.model = ""
        self.told: Headers = []  # What an answer that passes says beside itself.
        self.started = False  # The head of the answer is out: errors go into the body now.
        self.is_gone = False  # It hung up. Only known once when_gone() was called.
        # Takes the whole answer before it goes out, of a call that may be repeated.
        self.keep: Callable[[bytes], Awaitable[None]] | None = None
        self._scope = scope
        self._receive = receive
        self._send = send
        self._callback: Callable[[], None] | None = None
        self._watch: asyncio.Task[None] | None = None
        # What our own server offers; nothing of it under another one.
        extensions: Any = scope.get("extensions") or {}
        self._offered: dict[str, Any] = extensions.get("tollgate") or {}
        self._respond: Callable[..., bool] | None = self._offered.get("respond")
        self._on_disconnect: Callable[[Callable[[], None] | None], None] | None = None
        # The headers that matter here, by name in the order of their coming: read once.
        self._headers: dict[bytes, list[bytes]] = {}
        for name, value in scope["headers"]:
            if name in _READ:
                self._headers.setdefault(name, []).append(value)

    def token(self) -> str:
        """Return the key that was presented, '' for none. Two different ones are an error."""
        found = ""
        for value in self.header_values(b"authorization"):
            scheme, _, token = value.partition(b" ")
            if scheme == b"Bearer" or scheme.lower() == b"bearer":
                found = _agree(found, token)
        for value in self.header_values(b"x-api-key"):
            found = _agree(found, value)
        return found

    @property
    def query(self) -> bytes:
        """The query of the address, as it came."""
        found: bytes = self._scope["query_string"]
        return found

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
        """Return the values of a header that is one of _READ."""
        return self._headers.get(name, ())

    def tags(self) -> dict[str, str]:
        """Return the tags that this call is to carry: `x-tollgate-tags: team=blue, env=test`."""
        values = self.header_values(TAGS)
        return read_tag_header(b",".join(values).decode("latin-1"), TAGS.decode()) if values else {}

    def forwarded(self, names: frozenset[bytes]) -> dict[bytes, bytes]:
        """Return what of the caller's headers goes on, of those that the provider may read.

        One that stands twice is a list in two parts (RFC 9110, 5.3). Raises BadRequest.
        """
        found: dict[bytes, bytes] = {}
        for name in names:
            values = self.header_values(name)
            if not values:
                continue
            value = b", ".join(values)
            if not value.isascii():
                header = name.decode()
                raise BadRequest(f"The header {header} is not ASCII.", header)
            found[name] = value
        return found

    async def read_body(self, limit_bytes: int) -> bytes:
        """Read the whole body. Raises TooLarge and EncodedBody without reading on, and HungUp."""
        for length in self.header_values(b"content-length"):
            if int(length) > limit_bytes:
                raise TooLarge(limit_bytes)
        for coding in self.header_values(b"content-encoding"):
            if coding.strip().lower() not in {b"", b"identity"}:
                raise EncodedBody
        take = self._offered.get("take_body")
        whole: bytes | None = None if take is None else take()
        if whole is not None:
            if len(whole) > limit_bytes:
                raise TooLarge(limit_bytes)
            return whole
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

    def respond_when(self, when: When, status: int, headers: Headers, body: bytes) -> bool:
        """Send a whole answer when `when` calls back; False where the server cannot."""
        if self._respond is None:
            return False
        self.started = True
        lines = b"".join([b"%b: %b\r\n" % pair for pair in headers])
        return self._respond(status, lines, body, when=when)

    async def respond(self, status: int, headers: Headers, body: bytes) -> None:
        """Send a whole answer, in one piece where the server can."""
        if self.respond_when(_at_once, status, headers, body):
            return
        await self.start(status, [*headers, (b"content-length", b"%d" % len(body))])
        await self.write(body, more=False)

    async def respond_json(self, body: bytes) -> None:
        """Send a whole answer that was made here."""
        await self.respond(200, [(b"content-type", b"application/json"), *self.identity()], body)

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


def _agree(found: str, presented: bytes) -> str:
    """Return the key that both are, or the one that there is."""
    text = presented.strip().decode("latin-1")
    if found and text and text != found:
        raise NotAuthenticated(
            "Two different API keys were given, in 'Authorization' and 'x-api-key'."
        )
    return found or text
