"""The story of a call, one named step after the other.

    authenticate -> parse -> route -> hold -> send -> relay -> settle

A call that is refused before `send` leaves no trace at a provider; one that was sent is settled
exactly once, whatever happens to the caller, the provider or this process.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from accounts.keyring import KeyRecord
from billing.ledger.allowances import Unavailable
from billing.ledger.spool import SpoolFull as DiskFull
from billing.usage import Outcome
from gateway import bounds
from gateway.caller import Caller, HungUp
from gateway.calls import Attempt, Call, Offer
from gateway.dialects import Dialect
from gateway.errors import (
    LedgerAway,
    ModelNotFound,
    NoRoute,
    PermissionDenied,
    PriceUnknown,
    RouteSuspended,
    SpoolFull,
    UpstreamUnreachable,
)
from gateway.holding import hold_for, is_drawn
from gateway.process import GatewayProcess
from gateway.relaying import relay, settle_broken
from gateway.routing import ModelRecord, RouteRecord
from gateway.upstream import Timeouts, UpstreamAnswer, UpstreamError

log = logging.getLogger(__name__)

# A body that took longer may have come after its key's end: the key is looked at once more.
BODY_SECONDS = 0.1


async def forward(process: GatewayProcess, caller: Caller, dialect: Dialect) -> None:
    """Answer a call from a provider. Raises GatewayError where the caller is refused."""
    started = time.monotonic()
    process.check()
    key = process.authenticate(caller)
    require_endpoint(key, dialect.endpoint)
    body = await caller.read_body(process.configuration.max_body_bytes)
    received = time.monotonic()
    if time.monotonic() - started > BODY_SECONDS:
        process.check()
        key = process.authenticate(caller)
    request = dialect.read_request(body)
    caller.model = request.model
    model = find_model(process, key, request.model)
    call = Call(
        id=caller.call_id,
        key=key,
        protocol=dialect.protocol,
        endpoint=dialect.endpoint,
        request=request,
        model=model,
        rules=process.quotas.rules_for(
            organization=key.organization,
            project=key.project,
            member=key.member,
            key=key.id,
            model=model.name,
        ),
        at=time.time(),
        started=started,
        received=received,
    )
    call.offers = find_offers(process, call, dialect)
    hold = await hold_for(process, call)
    attempt = Attempt(process.ledger, call, hold)
    try:
        answer = await send(process, caller, attempt, dialect)
        await relay(caller, attempt, answer, dialect)
    except BaseException:
        attempt.abandon()
        raise
    finally:
        caller.stop_watching()
        process.note_call(call)


def require_endpoint(key: KeyRecord, endpoint: str) -> None:
    """Raise PermissionDenied where the key is for other endpoints only."""
    if key.endpoints and endpoint not in key.endpoints:
        raise PermissionDenied(f"This API key may not be used for {endpoint}.")


def find_model(process: GatewayProcess, key: KeyRecord, name: str) -> ModelRecord:
    """Return the model; one that the key may not use looks like one that does not exist."""
    model = process.catalog.model(name)
    if model is None or (key.models and name not in key.models):
        raise ModelNotFound(name)
    return model


def find_offers(process: GatewayProcess, call: Call, dialect: Dialect) -> list[Offer]:
    """Return the routes to try, in order, each with its body and the most that it can cost."""
    routes = [r for r in process.catalog.choose(call.model) if r.protocol == dialect.protocol]
    if not routes:
        raise NoRoute
    if process.suspensions and any(rule.hold == "strict" for rule in call.rules if is_drawn(rule)):
        routes = leave_out_suspended(process, call.model, routes)
    return [_offer(process, call, route, dialect) for route in routes]


def leave_out_suspended(
    process: GatewayProcess, model: ModelRecord, routes: Sequence[RouteRecord]
) -> list[RouteRecord]:
    """Return the routes whose bounds can be trusted. Raises RouteSuspended where there are none."""
    trusted = [
        route
        for route in routes
        if not process.suspensions.covers(
            model=model.name, provider=route.provider, upstream_model=route.upstream_model
        )
    ]
    if not trusted:
        raise RouteSuspended
    return trusted


def _offer(process: GatewayProcess, call: Call, route: RouteRecord, dialect: Dialect) -> Offer:
    price = process.prices.price_for(call.model.name, route.provider, at=call.at)
    is_strict = any(is_drawn(rule) for rule in call.rules)
    if price is None and is_strict:
        raise PriceUnknown
    cap = bounds.output_cap(call.request, call.model)
    body = dialect.write_request(call.request, upstream_model=route.upstream_model, output_cap=cap)
    bound = bounds.bound(call.request, size_bytes=len(body), model=call.model, route=route, cap=cap)
    if bound.unbounded is not None and is_strict:
        raise bound.unbounded
    ticks = 0 if price is None else bounds.ticks(bound, price)
    return Offer(route=route, body=body, price=price, bound=bound, ticks=ticks)


async def send(
    process: GatewayProcess, caller: Caller, attempt: Attempt, dialect: Dialect
) -> UpstreamAnswer:
    """Send the call to the first route that takes it; return when the head of an answer is there.

    The next route is tried only while no byte has left. Raises the gateway's error for what went
    wrong, or HungUp, with the attempt settled.
    """
    for offer in attempt.call.offers:
        attempt.turn_to(offer)
        answer = process.upstream.open(
            url=offer.route.base_url + dialect.path,
            headers=_headers(caller, attempt),
            body=offer.body,
            timeouts=_timeouts(offer.route),
        )
        if attempt.call.request.stream and attempt.call.key.hang_up == "close":
            caller.when_gone(answer.abort)
        if caller.is_gone:
            break
        _record(attempt)
        try:
            await answer.send()
        except UpstreamError as error:
            if error.sent:
                raise settle_failure(caller, attempt, error) from None
            log.warning("call %s at %s: %s", attempt.call.id, offer.route.provider, error)
            attempt.take_back()
            continue
        attempt.note_head(answer.status)
        return answer
    attempt.abandon()
    raise HungUp if caller.is_gone else UpstreamUnreachable


def _record(attempt: Attempt) -> None:
    """Write down that the attempt leaves now; a disk that is full refuses it."""
    try:
        attempt.send()
    except DiskFull as full:
        log.error("the spool is full: %s", full)
        raise SpoolFull from None
    except Unavailable as away:
        log.warning("call %s: %s", attempt.call.id, away)
        raise LedgerAway from None


def settle_failure(caller: Caller, attempt: Attempt, error: UpstreamError) -> Exception:
    """Settle an attempt whose answer never began; return what to raise. It may have been billed,
    so it stays at its hold, unless it was ended here because its caller left."""
    if caller.is_gone:
        attempt.finish_seen(Outcome.CLIENT_CANCELLED)
        return HungUp()
    return settle_broken(attempt, error)


def _headers(caller: Caller, attempt: Attempt) -> list[tuple[str, str]]:
    route, request = attempt.offer.route, attempt.call.request
    return [
        ("authorization", f"Bearer {route.credential.reveal()}"),
        ("content-type", "application/json"),
        ("accept", "text/event-stream" if request.stream else "application/json"),
        ("user-agent", "tollgate"),
        ("x-client-request-id", attempt.event.id),
        *caller.forwarded_headers(),
    ]


def _timeouts(route: RouteRecord) -> Timeouts:
    return Timeouts(
        connect_seconds=route.connect_timeout_seconds,
        first_byte_seconds=route.first_byte_timeout_seconds,
        idle_seconds=route.idle_timeout_seconds,
        total_seconds=route.total_timeout_seconds,
    )
