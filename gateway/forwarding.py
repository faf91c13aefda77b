"""The story of a call, one named step after the other.

    authenticate -> parse -> route -> hold -> send -> relay -> settle

A call that is refused before `send` leaves no trace at a provider; one that was sent is settled
exactly once, whatever happens to the caller, the provider or this process.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial

from accounts.keyring import KeyRecord
from gateway.beside import LARGE_BYTES, beside
from gateway.caller import IDEMPOTENCY_KEY, TAGS, Caller
from gateway.calls import Attempt, Call
from gateway.dialects import Dialect
from gateway.errors import EndpointUnsupported, PermissionDenied
from gateway.holding import call_headers, hold_for, make_offers, take
from gateway.lanes import LaneRoute
from gateway.process import GatewayProcess
from gateway.relaying import relay
from gateway.sending import send

# A body that took longer may have come after its key's end: the key is looked at once more.
BODY_SECONDS = 0.1


async def forward(process: GatewayProcess, caller: Caller, dialect: Dialect) -> None:
    """Answer a call from a provider. Raises GatewayError where the caller is refused."""
    started = received = time.monotonic()
    at = time.time()
    process.check(started)
    key = process.authenticate(caller, now=at)
    if key.endpoints:
        require_endpoint(key, dialect.endpoint)
    body = caller.take_body(process.configuration.max_body_bytes)
    if body is None:
        body = await caller.read_body(process.configuration.max_body_bytes)
        received, at = time.monotonic(), time.time()
        if received - started > BODY_SECONDS:
            process.check(received)
            key = process.authenticate(caller, now=at)
    is_large = len(body) >= LARGE_BYTES
    read = dialect.read_request
    request = await beside(read, body) if is_large else read(body)
    caller.model = request.model
    tags = caller.tags() if TAGS in caller.headers else {}
    try:
        lane = process.lanes.find(key, request.model, dialect, now=at)
    except EndpointUnsupported:
        if dialect.answer_here is None:
            raise
        answer_here = dialect.answer_here
        answer = await beside(answer_here, request) if is_large else answer_here(request)
        await caller.respond_json(answer)
        return
    call = Call(caller.call_id, lane, request, at, started, received, tags=tags)
    ways: Sequence[LaneRoute] = lane.routes
    if len(ways) > 1:
        ways = process.circuits.arrange(lane.choose(process.catalog), now=started)
    call.offers = await beside(make_offers, call, ways) if is_large else make_offers(call, ways)
    if IDEMPOTENCY_KEY in caller.headers and dialect.answer_here is None:
        await process.repeats.once(caller, key, body, partial(carry_out, process, caller, call))
    else:
        await carry_out(process, caller, call)


async def carry_out(process: GatewayProcess, caller: Caller, call: Call) -> None:
    """Hold, send, relay and settle: from here on the call is made, and made once."""
    hold = take(process, call) or await hold_for(process, call)
    if call.lane.shown or call.cap is not None:
        caller.told = call_headers(call, hold)
    attempt = Attempt(process.ledger, call, hold)
    try:
        answer = await send(process, caller, attempt)
        await relay(caller, attempt, answer)
    except BaseException:
        attempt.abandon()
        attempt.record()
        raise
    finally:
        caller.stop_watching()
        process.note_call(call)


def require_endpoint(key: KeyRecord, endpoint: str) -> None:
    """Raise PermissionDenied where a key that is for some endpoints is not for this one.

    Who may send messages may also have their tokens counted.
    """
    if not {endpoint, endpoint.removesuffix(".count_tokens")} & key.endpoints:
        raise PermissionDenied(f"This API key may not be used for {endpoint}.")
