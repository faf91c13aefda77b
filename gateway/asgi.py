"""The edge: which path is answered how, and every error in the caller's own dialect.

A plain ASGI application, because a Django view costs more CPU than the whole rest of a call. No
path below /v1 is passed on unless it stands in ENDPOINTS, and what stands there either forwards
with metering or is answered from memory. Everything else goes to Django's pages.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import NamedTuple

import msgspec
from asgiref.typing import (
    ASGIReceiveCallable,
    ASGISendCallable,
    HTTPScope,
    LifespanScope,
    Scope,
)

from accounts.keyring import KeyRecord
from billing.ledger.allowances import Unavailable
from billing.usage import new_id
from gateway import dialects, endpoints, errors
from gateway.caller import Caller, HungUp
from gateway.dialects import Dialect
from gateway.endpoints.organization import answer_organization
from gateway.errors import GatewayError, LedgerAway, MethodNotAllowed, UnknownEndpoint
from gateway.exposition import Exposition
from gateway.forwarding import forward
from gateway.pages import Pages
from gateway.paths import ALIASES, explain_unknown, is_anthropic
from gateway.process import Configuration, GatewayProcess
from gateway.server import leave_loaded_alone, raise_file_limit
from gateway.tracing import CALL_ID

log = logging.getLogger(__name__)

Answer = Callable[[GatewayProcess, Caller], Awaitable[None]]


class Endpoint(NamedTuple):
    """What answers a path. With a `dialect` it may reach a provider, and each call is metered."""

    method: str
    answer: Answer
    dialect: Dialect | None = None


def forwarded(dialect: Dialect) -> Endpoint:
    """Return an endpoint whose calls go to providers. There is no other way to one."""

    return Endpoint("POST", partial(forward, dialect=dialect), dialect)


async def list_models(process: GatewayProcess, caller: Caller) -> None:
    key = identify(process, caller)
    await caller.respond_json(endpoints.list_models(key, process.catalog, caller.query))


async def show_model(process: GatewayProcess, caller: Caller) -> None:
    key = identify(process, caller)
    name = caller.path.removeprefix("/v1/models/")
    await caller.respond_json(endpoints.show_model(key, process.catalog, name))


async def show_me(process: GatewayProcess, caller: Caller) -> None:
    key = identify(process, caller)
    now = time.time()
    terms = process.quotas.terms_for(
        organization=key.organization, project=key.project, member=key.member, key=key.id, now=now
    )
    try:
        standing = await process.ledger.standing(terms.rules, now=now, time_zone=key.time_zone)
    except Unavailable:
        raise LedgerAway from None
    await caller.respond_json(endpoints.show_me(key, process.catalog, standing))


async def show_api_key(process: GatewayProcess, caller: Caller) -> None:
    await caller.respond_json(endpoints.show_api_key(identify(process, caller)))


def identify(process: GatewayProcess, caller: Caller) -> KeyRecord:
    """Return the caller's key, unless nobody's key can be checked now."""
    process.check(time.monotonic())
    return process.authenticate(caller, now=time.time())


ENDPOINTS: dict[str, Endpoint] = {
    "/v1/chat/completions": forwarded(dialects.CHAT_COMPLETIONS),
    "/v1/responses": forwarded(dialects.RESPONSES),
    "/v1/completions": forwarded(dialects.COMPLETIONS),
    "/v1/embeddings": forwarded(dialects.EMBEDDINGS),
    "/v1/messages": forwarded(dialects.MESSAGES),
    "/v1/messages/count_tokens": forwarded(dialects.COUNT_TOKENS),
    "/v1/models": Endpoint("GET", list_models),
    "/v1/models/": Endpoint("GET", show_model),
    "/v1/me": Endpoint("GET", show_me),
    "/v1/api-key": Endpoint("GET", show_api_key),
}
PROBES = frozenset({"/healthz", "/readyz"})
# It knows its own addresses and methods.
ORGANIZATION = Endpoint("", answer_organization)


class Gateway:
    """The ASGI application. With `pages`, whatever is not the gateway's goes there."""

    def __init__(
        self,
        *,
        pages: Callable[..., Awaitable[None]] | None = None,
        process: GatewayProcess | None = None,
    ) -> None:
        self._pages = None if pages is None else Pages(pages)
        self._exposition: Exposition | None = None
        self.process = process

    async def __call__(
        self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        """Answer a call; whatever goes wrong is told in the caller's dialect."""
        if scope["type"] != "http" or not (
            scope["path"].startswith("/v1/") or self._takes_for_call(scope)
        ):
            await self._answer_other(scope, receive, send)
            return
        caller = Caller(scope, receive, send, call_id=new_id())
        process = self.process
        assert process is not None, "the server runs the lifespan first"
        CALL_ID.set(caller.call_id)
        try:
            await find_endpoint(caller).answer(process, caller)
        except GatewayError as error:
            process.note_refusal(caller, error)
            await refuse(caller, error)
        except HungUp:
            log.debug("call %s: the caller left before it was answered", caller.call_id)
        except Exception:
            log.exception("call %s failed in the gateway", caller.call_id)
            process.note_refusal(caller, GatewayError())
            await refuse(caller, GatewayError())

    def _takes_for_call(self, scope: HTTPScope) -> bool:
        """Say whether a path that is not below /v1 is refused as a call is, not by the pages."""
        path = scope["path"]
        if path == "/v1" or path in ALIASES:
            return True
        return self._pages is None and not self._is_for_operators(scope)

    def _is_for_operators(self, scope: HTTPScope) -> bool:
        path = scope["path"]
        return path in PROBES or (path == "/metrics" and scope["method"] in {"GET", "HEAD"})

    async def _answer_other(
        self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        """Answer what is no call: probes, figures, pages, and the server's beginning and end."""
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
        elif scope["type"] == "http":
            if scope["path"] in PROBES:
                await self._probe(scope["path"], send)
            elif self._is_for_operators(scope):
                await self._show_metrics(Caller(scope, receive, send, call_id=new_id()))
            elif self._pages is not None:
                await self._pages(scope, receive, send)

    async def _probe(self, path: str, send: ASGISendCallable) -> None:
        """Say that the process runs (/healthz), or whether it can take calls and what ails it."""
        degraded = self.process.degraded() if self.process and path == "/readyz" else []
        is_ready = not {"not_fresh", "lease_lost", "shutting_down", "spool_full"} & set(degraded)
        body = msgspec.json.encode(
            {"status": "ok" if is_ready else "unavailable", "degraded": degraded}
        )
        headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
        await send(
            {
                "type": "http.response.start",
                "status": 200 if is_ready else 503,
                "headers": headers,
                "trailers": False,
            }
        )
        await send({"type": "http.response.body", "body": body, "more_body": False})

    async def _show_metrics(self, caller: Caller) -> None:
        """Give the figures to whom METRICS_ALLOWED_NETWORKS names; for others there are none."""
        exposition = self._exposition
        if exposition is None or not exposition.may_see(caller):
            await refuse(caller, UnknownEndpoint(caller.method, caller.path))
            return
        headers = [(b"content-type", exposition.content_type), (b"cache-control", b"no-store")]
        await caller.respond(200, headers, await exposition.render())

    async def _live(
        self, scope: LifespanScope, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        """Begin and end the gateway process with the server's."""
        await receive()
        raise_file_limit()
        try:
            if self.process is None:
                self.process = GatewayProcess(Configuration.from_settings())
                await self.process.start()
                leave_loaded_alone()
            else:
                await self.process.start()
            self._exposition = Exposition(self.process)
        except Exception as error:
            log.exception("the gateway cannot start")
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._exposition.close()
        if self._pages is not None:
            self._pages.close()
        await asyncio.shield(self.process.stop())
        await send({"type": "lifespan.shutdown.complete"})


def find_endpoint(caller: Caller) -> Endpoint:
    """Return what answers the caller's path and method, or raise what says why nothing does."""
    endpoint = ENDPOINTS.get(caller.path)
    if endpoint is not None and endpoint.method == caller.method:
        return endpoint
    path = ALIASES.get(caller.path, caller.path)
    endpoint = ENDPOINTS.get(path)
    if endpoint is None and path.startswith("/v1/organization/"):
        return ORGANIZATION
    if endpoint is None and path.startswith("/v1/models/"):
        endpoint = ENDPOINTS["/v1/models/"]
    if endpoint is None:
        raise explain_unknown(caller.method, path)
    if caller.method != endpoint.method:
        raise MethodNotAllowed((endpoint.method,))
    return endpoint


async def refuse(caller: Caller, error: GatewayError) -> None:
    """Tell the caller about an error, unless its answer has begun already."""
    log.info("call %s refused: %s %s", caller.call_id, error.status, error.code)
    if caller.started:
        return
    headers = errors.error_headers(error, caller.call_id)
    has_version = bool(caller.header_values(b"anthropic-version"))
    if is_anthropic(caller.path, has_version=has_version):
        status = error.anthropic_status or error.status
        await caller.respond(status, headers, errors.anthropic_body(error, caller.call_id))
    else:
        await caller.respond(error.status, headers, errors.openai_body(error, caller.call_id))
