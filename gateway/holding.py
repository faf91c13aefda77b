"""What a call may use on each route, what it holds of every quota, and what refuses it.

A call that does not fit but would with a shorter answer is given one, where every quota in its way
says so (`clamp`): its cap is lowered and all is worked out again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar, TypeVarTuple

from django.conf import settings

from billing.ledger.allowances import Spent, Standing, Unavailable
from billing.ledger.holds import Hold
from billing.ledger.windows import END
from billing.quotas import QuotaRule
from gateway import bounds, errors
from gateway.beside import LARGE_BYTES, beside
from gateway.caller import Headers
from gateway.calls import Call, Offer
from gateway.errors import HoldExceedsLimit, LedgerAway, PriceUnknown, QuotaExplanation
from gateway.lanes import LaneRoute
from gateway.limits import limit_headers
from gateway.process import GatewayProcess

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

log = logging.getLogger(__name__)

# Others draw from the same windows meanwhile, so what fitted a moment ago may not fit any more.
MOST_CLAMPS = 4


class Room(NamedTuple):
    """What a single call may hold of a quota."""

    rule: QuotaRule
    amount: int


def make_offers(call: Call, ways: Sequence[LaneRoute]) -> Sequence[Offer]:
    """Make what the call is offered on each of these routes."""
    return [make_offer(call, way) for way in ways]


def make_offer(call: Call, way: LaneRoute) -> Offer:
    """Write the body for one route, and bound what the attempt can use there."""
    request, lane, price = call.request, call.lane, way.price
    model, passage, route = lane.model, way.passage, way.route
    if price is None and lane.needs_price:
        raise PriceUnknown
    cap = call.cap or bounds.output_cap(request, model)
    is_translated = passage.is_translated
    if is_translated:  # What passes has its caller's own cap, for better or worse.
        cap = max(cap, passage.least_cap)
    body, names = passage.write_request(
        request, upstream_model=route.upstream_model, output_cap=cap, cap_field=route.cap_field
    )
    bound = bounds.bound(
        request,
        size_bytes=len(body),
        model=model,
        route=route,
        cap=cap,
        is_translated=is_translated,
    )
    if bound.unbounded is not None and lane.is_strict:
        raise bound.unbounded
    ticks = 0 if price is None else bounds.ticks(bound, price)
    return Offer(way, body, names, bound, ticks)


def take(process: GatewayProcess, call: Call) -> Hold | None:
    """Hold what the call may use of every quota where this process has it, as it mostly does."""
    lane = call.lane
    bundle = lane.bundle
    needs = bundle.needs(_figures(call.offers))
    if bundle.too_large(needs):
        return None
    return process.ledger.take(bundle, needs, now=call.at, time_zone=lane.key.time_zone)


async def hold_for(process: GatewayProcess, call: Call) -> Hold:
    """Hold what the call may use of every quota, or raise what refuses it."""
    ledger, bundle, clamps = process.ledger, call.lane.bundle, 0
    while True:
        needs = bundle.needs(_figures(call.offers))
        if bundle.too_large(needs):
            await _work(call, fit_limits, call, needs)
            continue
        try:
            return await ledger.hold(bundle, needs, now=call.at, time_zone=call.key.time_zone)
        except Spent as spent:
            room = Room(spent.standing.rule, spent.left)
            if clamps == MOST_CLAMPS or not await _work(call, clamp, call, [room]):
                raise _refuse(call, spent) from None
            clamps += 1
        except Unavailable as away:
            log.warning("call %s: %s", call.id, away)
            raise LedgerAway from None


async def _work(call: Call, function: Callable[[*Ts], T], *arguments: *Ts) -> T:
    """Do what may write the bodies of all routes anew; beside the loop where they are large."""
    if call.request.size_bytes < LARGE_BYTES:
        return function(*arguments)
    return await beside(function, *arguments)


def _figures(offers: Sequence[Offer]) -> tuple[int, int, int, int, int]:
    """Return the most of each measure that any route may use: see QuotaRule.measure."""
    first = offers[0].bound
    ticks, input_tokens, output_tokens = offers[0].ticks, first.input_tokens, first.output_tokens
    total_tokens = input_tokens + output_tokens
    if len(offers) > 1:
        for offer in offers:
            bound = offer.bound
            ticks = max(ticks, offer.ticks)
            input_tokens = max(input_tokens, bound.input_tokens)
            output_tokens = max(output_tokens, bound.output_tokens)
            total_tokens = max(total_tokens, bound.input_tokens + bound.output_tokens)
    return ticks, input_tokens, output_tokens, total_tokens, 1


def fit_limits(call: Call, needs: Sequence[int]) -> None:
    """Give a call that is larger than a whole quota a shorter answer, or raise HoldExceedsLimit."""
    rules = call.lane.bundle.rules
    needed = {rule: need for rule, need in zip(rules, needs, strict=True) if need > rule.most}
    rooms = [Room(rule, rule.most) for rule in needed]
    if clamp(call, rooms):
        return
    caps = [_largest_cap(call.offers, room) for room in rooms]
    rule = rooms[caps.index(min(caps))].rule
    raise HoldExceedsLimit(
        explain(call, rule, needed=needed[rule]),
        cap_field=call.request.cap_field,
        largest_cap=min(caps) or None,
    )


def clamp(call: Call, rooms: Sequence[Room]) -> bool:
    """Lower the call's output cap so that it fits; False where it cannot be or a quota forbids."""
    cap = min(_largest_cap(call.offers, room) if room.rule.clamp else 0 for room in rooms)
    if not 0 < cap < call.offers[0].bound.output_cap:
        return False
    call.cap = cap
    call.offers = make_offers(call, [offer.way for offer in call.offers])
    return True


def _largest_cap(offers: Sequence[Offer], room: Room) -> int:
    """Return the largest output cap that fits on every route, 0 where none does."""
    return min(_largest_cap_on(offer, room) or 0 for offer in offers)


def _largest_cap_on(offer: Offer, room: Room) -> int | None:
    unit, most = room.rule.unit, room.amount * room.rule.share
    if unit == "cost" and offer.price is not None:
        cap = bounds.largest_cap_that_fits(offer.bound, price=offer.price, limit_ticks=most)
    elif unit in {"total_tokens", "output_tokens"}:
        most -= offer.bound.input_tokens if unit == "total_tokens" else 0
        cap = bounds.largest_cap_within(offer.bound, most)
    else:
        return None
    return None if cap is None or cap < offer.way.passage.least_cap else cap


def call_headers(call: Call, hold: Hold) -> Headers:
    """Return what is told beside the answer: what is left of limits, and how short it became."""
    headers: Headers = []
    if call.lane.shown:
        headers += limit_headers(call.lane.shown, [*hold.claims, *hold.rates], now=call.at)
    if call.cap is not None:
        headers.append((b"x-tollgate-output-cap", b"%d" % call.cap))
    return headers


def _refuse(call: Call, spent: Spent) -> errors.QuotaRefused:
    rule = spent.standing.rule
    explanation = explain(call, rule, needed=spent.needed, standing=spent.standing)
    return errors.refuse_for_quota(explanation, now=call.at)


def explain(
    call: Call, rule: QuotaRule, *, needed: int, standing: Standing | None = None
) -> QuotaExplanation:
    """Say how the refusing window stands, in the words of the caller's organization."""
    key = call.key
    names = {
        "organization": key.organization_slug,
        "project": key.project_slug,
        "key": key.name,
        "member": "you",
    }
    is_endless = standing is None or standing.ends_at >= END
    return QuotaExplanation(
        quota=rule.id,
        scope=rule.scope,
        name=names[rule.scope],
        unit=rule.unit,
        window=rule.window,
        hold=rule.hold,
        limit=(rule.limit if standing is None else standing.limit) or 0,
        used=0 if standing is None else standing.used,
        held=0 if standing is None else standing.held,
        needed=needed,
        resets_at=None if is_endless or standing is None else standing.ends_at.timestamp(),
        time_zone=key.time_zone,
        model=rule.model,
        ask_at=f"{settings.PUBLIC_URL}/limits/{rule.id}",
        was_read=standing is not None,
    )
