"""The story of a call, one named step after the other.

    authenticate -> parse -> route -> hold -> send -> relay -> settle

A call that is refused before `send` leaves no trace at a provider; one that was sent is settled
exactly once, whatever happens to the caller, the provider or this process.
"""

from __future__ import annotations

import logging
import time

from accounts.keyring import KeyRecord
from billing.ledger.allowances import Unavailable
from billing.ledger.spool import SpoolFull as DiskFull
from billing.usage import Outcome
from gateway.caller import Caller, HungUp
from gateway.calls import Attempt, Call
from gateway.dialects import Dialect
from gateway.errors import (
    EndpointUnsupported,
    LedgerAway,
    PermissionDenied,
    SpoolFull,
    UpstreamUnreachable,
)
from gateway.holding import call_headers, hold_for, make_offer
from gateway.passages import Pairs
from gateway.process import GatewayProcess
from gateway.relaying import relay, settle_broken
from gateway.upstream import UpstreamAnswer, UpstreamError

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
    if received - started > BODY_SECONDS:
        process.check()
        key = process.authenticate(caller)
    request = dialect.read_request(body)
    caller.model = request.model
    tags = caller.tags()
    at = time.time()
    try:
        lane = process.lanes.find(key, request.model, dialect, now=at)
    except EndpointUnsupported:
        if dialect.answer_here is None:
            raise
        return await caller.respond_json(dialect.answer_here(request))
    call = Call(caller.call_id, lane, request, at, started, received, tags=tags)
    call.offers = [make_offer(call, each) for each in lane.choose(process.catalog)]
    hold = await hold_for(process, call)
    caller.told = call_headers(call, hold)
    attempt = Attempt(process.ledger, call, hold)
    try:
        answer = await send(process, caller, attempt)
        await relay(caller, attempt, answer)
    except BaseException:
        attempt.abandon()
        raise
    finally:
        caller.stop_watching()
        process.note_call(call)


def require_endpoint(key: KeyRecord, endpoint: str) -> None:
    """Raise PermissionDenied where the key is for other endpoints only.

    Who may send messages may also have their tokens counted.
    """
    if key.endpoints and not {endpoint, endpoint.removesuffix(".count_tokens")} & key.endpoints:
        raise PermissionDenied(f"This API key may not be used for {endpoint}.")


async def send(process: GatewayProcess, caller: Caller, attempt: Attempt) -> UpstreamAnswer:
    """Send the call to the first route that takes it; return when the head of an answer is there.

    The next route is tried only while no byte has left. Raises the gateway's error for what went
    wrong, or HungUp, with the attempt settled.
    """
    for offer in attempt.call.offers:
        attempt.turn_to(offer)
        is_streamed = attempt.call.request.stream
        answer = process.upstream.open(
            offer.way.streamed if is_streamed else offer.way.whole,
            request_id=attempt.event.id,
            headers=_forward_headers(caller, attempt),
            body=offer.body,
            timeouts=offer.way.timeouts,
        )
        if is_streamed and attempt.call.key.hang_up == "close":
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


def _forward_headers(caller: Caller, attempt: Attempt) -> Pairs:
    """Return what of the caller's headers goes on; nothing where it speaks another dialect."""
    passage = attempt.offer.way.passage
    if not passage.forwards:
        return ()
    sent = caller.forwarded(passage.forwards)
    return passage.write_headers(sent, attempt.call.model.context_window)


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
