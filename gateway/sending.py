"""To the first route that answers: what is tried, in what order, and what each try comes to.

An attempt of which a byte may have left is settled before the next one begins, and the next one
gets a hold of its own: where that does not fit there is no retry. Nothing is tried twice on one
route; clients have their own retries, and ours would multiply with them.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from functools import partial

from billing.ledger.spool import SpoolFull as DiskFull
from billing.usage import Outcome
from gateway import errors
from gateway.caller import Caller, HungUp
from gateway.calls import Attempt, Offer
from gateway.circuits import Circuits, is_the_routes_fault
from gateway.errors import GatewayError, LedgerAway, SpoolFull, UpstreamFailed, UpstreamUnreachable
from gateway.holding import call_headers, hold_for
from gateway.process import GatewayProcess
from gateway.upstream import UpstreamAnswer, UpstreamError, UpstreamTimeout, UpstreamWithheld

log = logging.getLogger(__name__)

MAX_REFUSAL_BYTES = 64 * 2**10

# A proxy in front of the model answered, or the model was too slow: it may have worked and billed.
# 529 is not a proxy's: with it Anthropic turns calls away.
MAYBE_BILLED = frozenset({408, 502, 504, 530, *range(520, 529)})


async def send(process: GatewayProcess, caller: Caller, attempt: Attempt) -> UpstreamAnswer:
    """Send the call along its routes until one answers; return when a good head is there.

    Raises the gateway's error for what went wrong, or HungUp, with every attempt settled.
    """
    failure: Exception | None = None
    circuits, offers = process.circuits, attempt.call.offers
    while offers:
        if not attempt.hold.is_open:
            if not await _hold_again(process, caller, attempt, offers):
                break
            offers = attempt.call.offers  # Made anew where only a shorter answer fits.
        offer, offers = offers[0], offers[1:]
        attempt.turn_to(offer)
        answer = _open(process, caller, attempt)
        if caller.is_gone:
            failure = HungUp()
            break
        try:
            attempt.send()
        except DiskFull as full:
            raise _refuse_to_let_leave(attempt, full) from None
        if circuits.troubled:
            circuits.note_trial(offer.route.id, now=time.monotonic())
        try:
            await answer.send()
        except UpstreamError as error:
            came_of = _settle_failure(caller, attempt, error)
        else:
            attempt.note_head(answer.status)
            if answer.status < 300:
                if circuits.troubled:
                    circuits.note_answer(offer.route.id)
                return answer
            came_of = await _refuse(attempt, answer)
        _note_failure(circuits, offer.route.id, came_of)
        if not isinstance(came_of, UpstreamUnreachable):
            failure = came_of
        if not is_the_routes_fault(came_of):
            break
    attempt.abandon()
    raise failure or UpstreamUnreachable()


def _note_failure(circuits: Circuits, route: int, failure: Exception) -> None:
    """Count a failure against its route, where it is the route's."""
    if isinstance(failure, errors.UpstreamError) and is_the_routes_fault(failure):
        circuits.note_failure(route, failure, now=time.monotonic())
    elif not isinstance(failure, HungUp | SpoolFull | LedgerAway):
        circuits.note_answer(route)


def _open(process: GatewayProcess, caller: Caller, attempt: Attempt) -> UpstreamAnswer:
    """Prepare the request; a caller that leaves before the head ends it, if it is a stream's."""
    call, offer = attempt.call, attempt.offer
    way = offer.way
    target = way.streamed if call.request.stream else way.whole
    if caller.query and (kept := way.passage.queries & set(caller.query.split(b"&"))):
        target = target.asking(b"&".join(sorted(kept)))
    headers = way.usual_headers
    if not way.forwards.isdisjoint(caller.headers):
        sent = caller.forwarded(way.forwards)
        headers = way.passage.write_headers(sent, call.model.context_window)
    answer = process.upstream.open(
        target,
        request_id=attempt.event.id,
        headers=headers,
        body=offer.body,
        timeouts=way.timeouts,
        gate=partial(process.ledger.let_leave, attempt.hold),
    )
    if call.request.stream and call.key.hang_up == "close":
        caller.when_gone(answer.abort)
    return answer


async def _hold_again(
    process: GatewayProcess, caller: Caller, attempt: Attempt, offers: Sequence[Offer]
) -> bool:
    """Hold for another attempt along what is left of the routes; False where it does not fit."""
    call = attempt.call
    call.offers = offers
    try:
        attempt.begin_again(await hold_for(process, call))
    except GatewayError as error:
        log.info("call %s is not tried again: %s", call.id, error.code)
        return False
    caller.told = call_headers(call, attempt.hold)
    return True


def _refuse_to_let_leave(attempt: Attempt, reason: Exception | None) -> GatewayError:
    """Say why a call that was held may not leave: its record, or this process's lease."""
    log.error("call %s may not leave: %s", attempt.call.id, reason)
    return SpoolFull() if isinstance(reason, DiskFull) else LedgerAway()


def _settle_failure(caller: Caller, attempt: Attempt, error: UpstreamError) -> Exception:
    """Settle an attempt whose answer never began; return what to raise. It may have been billed,
    so it stays at its hold, unless it was ended here because its caller left."""
    if not error.sent:
        attempt.take_back()
        if caller.is_gone:
            return HungUp()
        provider = attempt.offer.route.provider
        log.warning("call %s at %s: %s", attempt.call.id, provider, error)
        if isinstance(error, UpstreamWithheld):
            return _refuse_to_let_leave(attempt, error.reason)
        return UpstreamUnreachable()
    if caller.is_gone:
        attempt.finish_seen(Outcome.CLIENT_CANCELLED)
        return HungUp()
    return settle_broken(attempt, error)


def settle_broken(attempt: Attempt, error: UpstreamError) -> errors.UpstreamError:
    """Settle an answer that broke off before the caller saw any of it: at its hold."""
    log.warning("call %s at %s: %s", attempt.call.id, attempt.offer.route.provider, error)
    if isinstance(error, UpstreamTimeout):
        attempt.finish(Outcome.UPSTREAM_TIMEOUT)
        return errors.UpstreamTimeout()
    attempt.finish(Outcome.UPSTREAM_FAILED)
    return UpstreamFailed()


async def _refuse(attempt: Attempt, answer: UpstreamAnswer) -> errors.UpstreamError:
    """Settle what the provider refused, and return it in the caller's words."""
    try:
        body = await answer.read(MAX_REFUSAL_BYTES)
    except UpstreamError:
        body = b""
    route = attempt.offer.route
    error = errors.read_refusal(
        answer.status,
        body,
        answer.headers,
        upstream_model=route.upstream_model,
        model=attempt.call.model.name,
        credential=route.credential.reveal(),
        now=time.time(),
    )
    if answer.status in MAYBE_BILLED:
        attempt.finish(error.outcome)
    else:
        attempt.finish_unbilled(error.outcome)
    log.warning(
        "call %s: %s answered %s: %s", attempt.call.id, route.provider, answer.status, error.detail
    )
    return error
