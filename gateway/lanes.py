"""What is the same for all calls of one key to one model at one endpoint, worked out once.

A Lane is found with one look-up. It is made from the books that the change log keeps true, and
every change of any of them ends all lanes, so a lane is never older than they are. What changes by
the clock alone (a price that begins, a rule that ends) ends a lane at `good_until`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import msgspec
import psycopg

from accounts.changes import Change
from accounts.keyring import KeyRecord, Keyring
from billing.ledger.bundles import Bundle
from billing.prices import PriceBook
from billing.pricing import Price
from billing.quotas import QuotaBook, QuotaRule
from billing.suspensions import SuspensionBook
from billing.usage import Outcome, UsageEvent, UsageSource
from gateway.dialects import Dialect, kind_of
from gateway.errors import (
    EndpointUnsupported,
    ModelNotFound,
    ModelRetired,
    NoRoute,
    RouteSuspended,
)
from gateway.limits import Shown, find_shown
from gateway.passages import Pairs, Passage
from gateway.routing import Catalog, ModelRecord, RouteRecord
from gateway.upstream import Target, Timeouts

MOST_LANES = 50_000


class LaneRoute(msgspec.Struct, frozen=True, kw_only=True):
    """A route as the calls of a lane take it.

    `whole` and `streamed` are where requests for either kind of answer go, with `usual_headers` of
    a caller that sends none of those that the passage forwards. `event` is the event of an attempt
    before anything is known of it: to be copied, never to be changed.
    """

    route: RouteRecord
    passage: Passage
    price: Price | None
    whole: Target
    streamed: Target
    forwards: frozenset[bytes]
    usual_headers: Pairs
    timeouts: Timeouts
    event: UsageEvent


class Lane(msgspec.Struct, frozen=True, kw_only=True):
    """`routes` is in the order of priority, `good_until` in Unix seconds. A rule that may refuse
    for cost lets nothing without a price through, a strict one nothing without a bound; answers
    show what is left of limits other than cost, and `notices`, headers about the model."""

    key: KeyRecord
    model: ModelRecord
    protocol: str
    endpoint: str
    bundle: Bundle
    needs_price: bool
    is_strict: bool
    shown: Shown
    routes: tuple[LaneRoute, ...]
    notices: Pairs
    good_until: float

    def choose(self, catalog: Catalog) -> Sequence[LaneRoute]:
        """Return the routes to try, in the order that the catalog chooses for this call."""
        ours = {each.route.id: each for each in self.routes}
        return [ours[route.id] for route in catalog.choose(self.model) if route.id in ours]


class Lanes:
    """The lanes in use; a Subscriber of the change log that comes after all books."""

    kinds = Keyring.kinds | Catalog.kinds | PriceBook.kinds | QuotaBook.kinds | SuspensionBook.kinds

    def __init__(
        self, catalog: Catalog, prices: PriceBook, quotas: QuotaBook, suspensions: SuspensionBook
    ) -> None:
        self._catalog = catalog
        self._prices = prices
        self._quotas = quotas
        self._suspensions = suspensions
        self._lanes: dict[tuple[int, str, str], Lane] = {}

    def find(self, key: KeyRecord, model: str, dialect: Dialect, *, now: float) -> Lane:
        """Return the lane of a call. Raises what keeps the key or the model from it."""
        place = (key.id, model, dialect.endpoint)
        lane = self._lanes.get(place)
        if lane is None or lane.key is not key or lane.good_until <= now:
            lane = self._make(key, model, dialect, now)
            if len(self._lanes) >= MOST_LANES:
                self._lanes.clear()
            self._lanes[place] = lane
        return lane

    async def load(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self._lanes.clear()

    async def refresh(
        self, connection: psycopg.AsyncConnection[Any], changes: Sequence[Change]
    ) -> None:
        self._lanes.clear()

    def _make(self, key: KeyRecord, name: str, dialect: Dialect, now: float) -> Lane:
        model, asked = find_model(self._catalog, key, name, now=now), self._catalog.model(name)
        terms = self._quotas.terms_for(
            organization=key.organization,
            project=key.project,
            member=key.member,
            key=key.id,
            model=model.name,
            now=now,
        )
        found = self._find_routes(model, terms.rules, dialect)
        routes = [self._make_route(key, model, route, dialect, now) for route in found]
        ends = [self._prices.changes_at(model.name, r.route.provider, after=now) for r in routes]
        if asked is not None and asked.retires_at is not None and not asked.is_retired(now):
            ends.append(asked.retires_at)
        bundle = Bundle(terms.rules)
        return Lane(
            key=key,
            model=model,
            protocol=dialect.protocol,
            endpoint=dialect.endpoint,
            bundle=bundle,
            needs_price=any(rule.is_drawn for rule in terms.rules if rule.unit == "cost"),
            is_strict=any(rule.is_strict for rule in terms.rules),
            shown=find_shown(bundle.rules, protocol=dialect.protocol),
            routes=tuple(routes),
            notices=write_notices(asked, now),
            good_until=min([terms.until, *ends]),
        )

    def _find_routes(
        self, model: ModelRecord, rules: Sequence[QuotaRule], dialect: Dialect
    ) -> Sequence[RouteRecord]:
        """Return the routes that may serve; under a strict quota those whose bounds are trusted."""
        if not model.routes:
            raise NoRoute
        routes = [route for route in model.routes if find_passage(dialect, route)]
        if not routes:
            raise EndpointUnsupported(model.name, dialect.endpoint)
        if self._suspensions and any(rule.is_strict for rule in rules):
            routes = [route for route in routes if not self._is_suspended(model, route)]
            if not routes:
                raise RouteSuspended
        return routes

    def _is_suspended(self, model: ModelRecord, route: RouteRecord) -> bool:
        return self._suspensions.covers(
            model=model.name, provider=route.provider, upstream_model=route.upstream_model
        )

    def _make_route(
        self, key: KeyRecord, model: ModelRecord, route: RouteRecord, dialect: Dialect, now: float
    ) -> LaneRoute:
        price = self._prices.price_for(model.name, route.provider, at=now)
        passage = find_passage(dialect, route)
        assert passage is not None, "such routes were left out"
        return LaneRoute(
            route=route,
            passage=passage,
            price=price,
            whole=_make_target(route, passage, b"application/json"),
            streamed=_make_target(route, passage, b"text/event-stream"),
            forwards=passage.forwards,
            usual_headers=passage.write_headers({}, model.context_window),
            timeouts=Timeouts(
                connect_seconds=route.connect_timeout_seconds,
                first_byte_seconds=route.first_byte_timeout_seconds,
                idle_seconds=route.idle_timeout_seconds,
                total_seconds=route.total_timeout_seconds,
            ),
            event=describe(key, model, route, dialect, price=price),
        )


def find_model(catalog: Catalog, key: KeyRecord, name: str, *, now: float) -> ModelRecord:
    """Return the model that answers; one that the key may not use looks like none.

    A key that may use a model may use what succeeds it: the calls are the same.
    """
    model = catalog.model(name)
    if model is None or not may_use(key, model):
        raise ModelNotFound(name)
    if model.is_retired(now):
        successor = catalog.model(model.successor) if model.successor else None
        if successor is None or successor.is_retired(now):
            raise ModelRetired(name, model.retires_at or now)
        return successor
    return model


def may_use(key: KeyRecord, model: ModelRecord) -> bool:
    """Say whether a key is for this model, by any of its names."""
    return not key.models or not key.models.isdisjoint((model.name, *model.aliases))


def write_notices(asked: ModelRecord | None, now: float) -> Pairs:
    """Return the headers that tell a caller of a model's last day (RFC 8594's Sunset)."""
    if asked is None or asked.retires_at is None:
        return ()
    day = datetime.fromtimestamp(asked.retires_at, UTC)
    ends = "was retired" if asked.is_retired(now) else "will be retired"
    instead = f"; {asked.successor} answers in its place from then on" if asked.successor else ""
    warning = f"{asked.name} {ends} on {day:%Y-%m-%d}{instead}."
    return (
        (b"sunset", format_datetime(day, usegmt=True).encode()),
        (b"x-tollgate-warning", warning.encode("ascii", "replace")),
    )


def find_passage(dialect: Dialect, route: RouteRecord) -> Passage | None:
    """Return how the calls of a dialect reach a route's provider; None where they do not."""
    kind = kind_of(route.protocol, responses=route.responses, only_responses=route.only_responses)
    return dialect.passages.get(kind)


def _make_target(route: RouteRecord, passage: Passage, accepted: bytes) -> Target:
    headers = [
        *passage.authorize(route.credential.reveal()),
        (b"content-type", b"application/json"),
        (b"accept", accepted),
        (b"user-agent", b"tollgate"),
    ]
    # Anthropic's own clients are given a base URL without /v1, others' one with it: both will do.
    base_url = route.base_url
    if passage.path.startswith("/v1/"):
        base_url = base_url.removesuffix("/v1")
    return Target(base_url + passage.path, headers)


def describe(
    key: KeyRecord, model: ModelRecord, route: RouteRecord, dialect: Dialect, *, price: Price | None
) -> UsageEvent:
    """Return the event of an attempt of which nothing is known yet."""
    return UsageEvent(
        id="",
        call_id="",
        attempt_no=1,
        organization=key.organization,
        project=key.project,
        key=key.id,
        member=key.member,
        model=model.name,
        provider=route.provider,
        upstream_model=route.upstream_model,
        protocol=dialect.protocol,
        endpoint=dialect.endpoint,
        outcome=Outcome.UNKNOWN,
        price_version=None if price is None else price.id,
        usage_source=UsageSource.HELD,
        tags=key.tags,
        process="",
    )
