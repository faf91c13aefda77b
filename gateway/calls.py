"""The values of a call on its way: what was asked, what it may cost on each route, each attempt.

An Attempt owns the usage event from the moment it is held until it is settled, and ends its hold
exactly once.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence

import msgspec
from msgspec.structs import astuple

from accounts.keyring import KeyRecord
from billing.ledger.holds import Hold
from billing.ledger.ledger import Ledger
from billing.pricing import MAX_COST_TICKS, Price, bound_ticks, cost_ticks
from billing.usage import Outcome, Usage, UsageEvent, UsageSource, new_attempt_id
from gateway.bounds import Bound
from gateway.lanes import Lane, LaneRoute
from gateway.protocols.form import Metered, Request
from gateway.routing import ModelRecord, RouteRecord

log = logging.getLogger(__name__)


class Offer(msgspec.Struct, frozen=True, gc=False):
    """A route that may serve the call: the body to send there and the most that it can cost.

    `names` are tools' own names by those that stand in the body.
    """

    way: LaneRoute
    body: bytes
    names: Mapping[str, str]
    bound: Bound
    ticks: int

    @property
    def route(self) -> RouteRecord:
        return self.way.route

    @property
    def price(self) -> Price | None:
        return self.way.price


class Ended(msgspec.Struct, frozen=True, gc=False):
    """An attempt that is over, and when it was sent, answered (0.0 for never) and over: by the
    monotonic clock."""

    event: UsageEvent
    sent_at: float
    head_at: float
    ended_at: float


class Call(msgspec.Struct, gc=False):
    """One proxied request. `at` is Unix seconds and fixes windows and prices; `started` and
    `received` (the whole request was there) are monotonic. `cap` is what the answer was shortened
    to, for its quotas; `tags` is what the caller's headers say for reports."""

    id: str
    lane: Lane
    request: Request
    at: float
    started: float
    received: float
    offers: Sequence[Offer] = ()
    cap: int | None = None
    tags: dict[str, str] = msgspec.field(default_factory=dict)
    ended: list[Ended] = msgspec.field(default_factory=list)

    @property
    def key(self) -> KeyRecord:
        return self.lane.key

    @property
    def model(self) -> ModelRecord:
        return self.lane.model

    @property
    def protocol(self) -> str:
        return self.lane.protocol

    @property
    def endpoint(self) -> str:
        return self.lane.endpoint

    @property
    def held_ticks(self) -> int:
        """Return what is held for cost: the most that any of the routes may charge."""
        offers = self.offers
        if len(offers) == 1:
            return offers[0].ticks
        return max([offer.ticks for offer in offers])


class Attempt:
    """One try of a call at one route. finish() or abandon() ends its hold, once."""

    __slots__ = ("_head_at", "_ledger", "_number", "_sent_at", "call", "event", "hold", "offer")

    def __init__(self, ledger: Ledger, call: Call, hold: Hold) -> None:
        self._ledger = ledger
        self.call = call
        self.hold = hold
        self._number = 1
        self.offer: Offer
        self.event: UsageEvent

    def turn_to(self, offer: Offer) -> None:
        """Aim at a route. Nothing has left yet."""
        self.offer = offer
        self.event = describe(self.call, offer)
        self.event.attempt_no = self._number
        self._head_at = 0.0

    def begin_again(self, hold: Hold) -> None:
        """Become the call's next attempt: the one before is settled."""
        self.hold = hold
        self._number += 1

    def send(self) -> None:
        """Record that it is about to leave. Raises SpoolFull, having ended the hold."""
        self._ledger.send(self.hold, self.event)
        self._sent_at = time.monotonic()

    def when_recorded(self, end: Callable[[], None]) -> None:
        """Have `end` called when how it ended is in the spool."""
        self._ledger.when_recorded(self.hold, end)

    def record(self) -> None:
        """See to it that how it ended is in the spool, now."""
        self._ledger.record(self.hold)

    def take_back(self) -> None:
        """Nothing left this machine after all; the hold may serve another route."""
        self._ledger.take_back(self.hold)

    def abandon(self) -> None:
        """End the hold if it is open still: at nothing where nothing left, else as unknown."""
        if self.hold.is_open:
            if self.hold.attempt:
                self.finish(Outcome.UNKNOWN)
            else:
                self._ledger.forget(self.hold)

    def note_head(self, status: int) -> None:
        """The head of an answer has arrived."""
        self.event.http_status = status
        self._head_at = head_at = time.monotonic()
        self.event.first_byte_ms = int((head_at - self.call.started) * 1000)

    def see(self, upstream_id: str) -> None:
        """Record what is known of a long stream, so that it can be asked for if this process dies.

        It stays at its hold: what was used so far is no bound of what the provider went on to do.
        """
        self.event.upstream_id = upstream_id[:200]
        self._ledger.see(self.hold, self.event)

    def finish(
        self,
        outcome: Outcome,
        *,
        metered: Metered | None = None,
        source: UsageSource = UsageSource.REPORTED,
        upstream_id: str = "",
    ) -> None:
        """Settle at what was metered; without figures it stays captured at its hold."""
        event = self.event
        event.outcome = outcome
        event.upstream_id = upstream_id[:200]
        ended_at = time.monotonic()
        event.total_ms = int((ended_at - self.call.started) * 1000)
        if metered is not None and metered.usage is not None:
            self._use(metered.usage, source, metered.reported_cost_ticks)
        if event.cost_ticks > event.held_ticks and self.offer.price is not None:
            log.error(
                "call %s: %s charges %d ticks, more than was held (%d): its bound is wrong",
                self.call.id,
                event.provider,
                event.cost_ticks,
                event.held_ticks,
            )
        self._ledger.finish(self.hold, event)
        self.call.ended.append(Ended(event, self._sent_at, self._head_at, ended_at))

    def finish_unbilled(self, outcome: Outcome) -> None:
        """Settle at nothing: the provider refused and bills no refusal."""
        nothing = Metered(usage=Usage(), fault=None)
        self.finish(outcome, metered=nothing, source=UsageSource.NONE)

    def finish_seen(
        self,
        outcome: Outcome,
        *,
        output_bytes: int = 0,
        has_reasoned: bool = False,
        input_usage: Usage | None = None,
        upstream_id: str = "",
    ) -> None:
        """Settle an answer that broke off at the most that what was seen of it can cost.

        That is the input, as it was told or else all of it that may be, a token for each byte of
        output and one more for each answer, which was under way. Where output may have been hidden
        nothing bounds it but the hold.
        """
        if has_reasoned or self._may_reason:
            self.finish(outcome, upstream_id=upstream_id)
            return
        bound, price = self.offer.bound, self.offer.price
        output = min(output_bytes + bound.answers, bound.output_tokens)
        usage = Usage(uncached_input=bound.input_tokens, output=output)
        ticks = None
        if input_usage is not None:
            usage = msgspec.structs.replace(input_usage, output=output)
        elif price is not None:
            ticks = bound_ticks(price, input_tokens=bound.input_tokens, output_tokens=output)
        seen = Metered(usage=usage, fault=None, reported_cost_ticks=ticks)
        self.finish(outcome, metered=seen, source=UsageSource.ESTIMATED, upstream_id=upstream_id)

    @property
    def _may_reason(self) -> bool:
        """Say whether the provider may write output that nobody is shown."""
        route = self.offer.route
        is_hidden = route.hides_reasoning or not route.cap_bounds_reasoning
        return is_hidden or self.call.request.asks_reasoning

    def _use(self, usage: Usage, source: UsageSource, reported_cost: int | None) -> None:
        event, price = self.event, self.offer.way.price
        (
            event.uncached_input,
            event.cache_read,
            event.cache_write_5m,
            event.cache_write_1h,
            event.audio_input,
            event.image_input,
            event.output,
            event.reasoning,
            event.audio_output,
        ) = astuple(usage)
        event.usage_source = source
        if reported_cost is not None:  # The provider's own figure.
            event.cost_ticks = min(reported_cost, MAX_COST_TICKS)
        else:
            event.cost_ticks = 0 if price is None else cost_ticks(price, usage)


def describe(call: Call, offer: Offer) -> UsageEvent:
    """Return the event of an attempt of which nothing is heard yet: all of its bound is used."""
    event: UsageEvent = offer.way.event.__copy__()  # type: ignore[attr-defined]
    event.id = new_attempt_id(call.id)
    event.call_id = call.id
    event.uncached_input = offer.bound.input_tokens
    event.output = offer.bound.output_tokens
    event.cost_ticks = event.held_ticks = call.held_ticks
    if call.request.tags or call.tags:
        event.tags = {**event.tags, **call.request.tags, **call.tags}
    return event
