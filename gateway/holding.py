"""What a call has to hold before it leaves, and what refuses it: a step of forwarding.py."""

from __future__ import annotations

import logging

from billing.ledger.allowances import Need, Spent, Standing, Unavailable
from billing.ledger.core import NOT_DRAWN
from billing.ledger.ledger import Hold
from billing.ledger.windows import END
from billing.quotas import QuotaRule
from gateway import bounds, errors
from gateway.calls import Call, Offer
from gateway.errors import HoldExceedsLimit, LedgerAway, QuotaExplanation
from gateway.process import GatewayProcess

log = logging.getLogger(__name__)


async def hold_for(process: GatewayProcess, call: Call) -> Hold:
    """Hold the most that the call can cost in every quota, or raise what refuses it."""
    needed = call.held_ticks
    too_small = [rule for rule in call.rules if rule.is_drawn and 0 < (rule.limit or 0) < needed]
    if too_small:
        raise _exceeds(call, min(too_small, key=lambda rule: rule.limit or 0), needed)
    needs = [Need(rule, _need(rule, needed)) for rule in call.rules]
    try:
        return await process.ledger.hold(needs, now=call.at, time_zone=call.key.time_zone)
    except Spent as spent:
        rule = spent.standing.rule
        explanation = explain(call, rule, needed=spent.needed, standing=spent.standing)
        raise errors.refuse_for_quota(explanation, now=call.at) from None
    except Unavailable as away:
        log.warning("call %s: %s", call.id, away)
        raise LedgerAway from None


def _need(rule: QuotaRule, needed: int) -> int:
    """Return what to hold of a quota. Not even a call that costs nothing fits a limit of zero."""
    if not rule.is_drawn:
        return NOT_DRAWN
    return needed if rule.limit else max(needed, 1)


def _exceeds(call: Call, rule: QuotaRule, needed: int) -> HoldExceedsLimit:
    """Say that the call could never pass, and with which output cap it would on every route."""
    caps = [_largest_cap(offer, rule.limit or 0) for offer in call.offers]
    return HoldExceedsLimit(
        explain(call, rule, needed=needed),
        cap_field=call.request.cap_field,
        largest_cap=min(caps) or None,
    )


def _largest_cap(offer: Offer, limit_ticks: int) -> int:
    """Return the largest output cap that fits on this route, 0 where none does."""
    if offer.price is None:
        return 0
    fitting = bounds.largest_cap_that_fits(offer.bound, price=offer.price, limit_ticks=limit_ticks)
    return fitting or 0


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
        limit=(rule.limit if standing is None else standing.limit) or 0,
        used=0 if standing is None else standing.used,
        held=0 if standing is None else standing.held,
        needed=needed,
        resets_at=None if is_endless or standing is None else standing.ends_at.timestamp(),
        time_zone=key.time_zone,
        model=rule.model,
    )
