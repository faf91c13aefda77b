"""Which providers may answer for a model: every model and route, in memory.

A Catalog reads the database when it is loaded and when the change log names a provider,
credential, model or route; look-ups and choices are pure memory. A route that could not be called
(its provider has no credential that opens, or a base_url that is not allowed) is not in it, and
is logged by name once. Disabled models, routes and providers are not in it either.
"""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import psycopg
from psycopg.rows import class_row

from accounts.addresses import Network
from accounts.changes import Change
from gateway.credentials import CredentialError, Secret, open_sealed
from gateway.upstream import check_base_url

log = logging.getLogger(__name__)


class RouteRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One way to have a model answered, with all that a call along it needs."""

    id: int
    provider: str
    protocol: str
    base_url: str
    responses: bool = False
    cap_field: str | None = None
    credential: Secret
    upstream_model: str
    priority: int
    weight: int
    cap_bounds_reasoning: bool
    hides_reasoning: bool = False
    only_responses: bool = False
    connect_timeout_seconds: float
    first_byte_timeout_seconds: float
    idle_timeout_seconds: float
    total_timeout_seconds: float


class ModelRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A public model. An overhead of None means that such a part has no declared bound.

    `routes` are in the order of priority; `made_at` and `retires_at` are in Unix seconds.
    """

    id: int
    name: str
    context_window: int
    max_output_tokens: int
    overhead_tokens: int
    overhead_tokens_per_image: int | None
    overhead_tokens_per_audio: int | None
    overhead_tokens_per_file: int | None
    made_at: int
    aliases: tuple[str, ...] = ()
    retires_at: float | None = None
    successor: str = ""
    routes: tuple[RouteRecord, ...] = ()

    def is_retired(self, now: float) -> bool:
        return self.retires_at is not None and self.retires_at <= now


class Catalog:
    """Every model that can be called, by name; a Subscriber of the change log."""

    kinds = frozenset({"provider", "credential", "model", "route"})

    def __init__(
        self, *, allowed_networks: Iterable[Network], chance: random.Random | None = None
    ) -> None:
        self._allowed_networks = tuple(allowed_networks)
        self._chance = chance or random.Random()  # noqa: S311 - it shares load, nothing else.
        self._providers: dict[int, _Provider] = {}
        self._models: dict[int, _Model] = {}
        self._by_name: dict[str, ModelRecord] = {}
        self._reported: dict[str, str] = {}

    def model(self, name: str) -> ModelRecord | None:
        """Return the model of that name or alias; `routes` is empty where none can be called."""
        return self._by_name.get(name)

    def models(self) -> Sequence[ModelRecord]:
        """Return the models that have a route, in the order of their names."""
        found = {model.name: model for model in self._by_name.values() if model.routes}
        return sorted(found.values(), key=lambda model: model.name)

    def choose(self, model: ModelRecord) -> Sequence[RouteRecord]:
        """Return the routes to try, in order: by priority, and by weighted chance among equals.

        Of two equals with weights 3 and 1 the first leads three times out of four; one with
        weight 0 comes after all others of its priority.
        """
        if len(model.routes) < 2:
            return model.routes
        draw = self._chance.expovariate
        return sorted(
            model.routes,
            key=lambda route: (route.priority, draw(route.weight) if route.weight else math.inf),
        )

    async def load(self, connection: psycopg.AsyncConnection[Any]) -> None:
        """Replace everything by what the database says."""
        self._providers = await _read_providers(connection, None)
        self._models = await _read_models(connection, None)
        self._rebuild(self._models)

    async def refresh(
        self, connection: psycopg.AsyncConnection[Any], changes: Sequence[Change]
    ) -> None:
        """Read the providers and models that changed, and put their routes together again.

        A credential's change names its provider, a route's its model.
        """
        providers = {c.object_id for c in changes if c.kind in {"provider", "credential"}}
        models = {c.object_id for c in changes if c.kind in {"model", "route"}}
        if providers:
            _replace(self._providers, providers, await _read_providers(connection, providers))
        if models:
            _replace(self._models, models, await _read_models(connection, models))
        touched = (id_ for id_, model in self._models.items() if model.uses(providers))
        self._rebuild(models.union(touched))

    def _rebuild(self, ids: Iterable[int]) -> None:
        """Compose the records of these models anew, and swap them in all at once."""
        before = {model.id: model for model in self._by_name.values()}
        for id_ in ids:
            before.pop(id_, None)
            model = self._models.get(id_)
            if model is not None:
                before[id_] = self._compose(model)
        known = [model for id_, model in before.items() if id_ in self._models]
        aliases = {alias: model for model in known for alias in model.aliases}
        self._by_name = aliases | {model.name: model for model in known}

    def _compose(self, model: _Model) -> ModelRecord:
        routes = [self._compose_route(route, model) for route in model.routes]
        usable = sorted((r for r in routes if r is not None), key=lambda r: (r.priority, r.id))
        return ModelRecord(routes=tuple(usable), **model.described())

    def _compose_route(self, route: _Route, model: _Model) -> RouteRecord | None:
        provider = self._providers.get(route.provider_id)
        if provider is None:  # It is disabled, or its own change is still to come.
            return None
        try:
            check_base_url(provider.base_url, self._allowed_networks)
            if provider.sealed is None:
                raise CredentialError("it has no credential")
            credential = open_sealed(provider.sealed)
        except (CredentialError, ValueError) as error:
            self._report(provider.name, str(error))
            return None
        self._reported.pop(provider.name, None)
        return RouteRecord(
            provider=provider.name,
            protocol=provider.protocol,
            base_url=provider.base_url.rstrip("/"),
            responses=provider.responses,
            cap_field=provider.cap_field or None,
            credential=credential,
            **route.described(),
        )

    def _report(self, provider: str, reason: str) -> None:
        """Log why a provider cannot be called, unless that was the last thing said about it."""
        if self._reported.get(provider) != reason:
            self._reported[provider] = reason
            log.error("Routes at provider %s are left out: %s", provider, reason)


class _Provider(msgspec.Struct, frozen=True, kw_only=True):
    id: int
    name: str
    protocol: str
    base_url: str
    responses: bool
    cap_field: str
    sealed: bytes | None


class _Route(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the table route, with its provider and model by number."""

    id: int
    provider_id: int
    upstream_model: str
    priority: int
    weight: int
    cap_bounds_reasoning: bool
    hides_reasoning: bool = False  # A schema of one release before has neither.
    only_responses: bool = False
    connect_timeout_ms: int
    first_byte_timeout_ms: int
    idle_timeout_ms: int
    total_timeout_ms: int

    def described(self) -> dict[str, Any]:
        """Return what a RouteRecord takes over, times in seconds."""
        fields = msgspec.structs.asdict(self)
        del fields["provider_id"]
        for name in [name for name in fields if name.endswith("_ms")]:
            fields[f"{name.removesuffix('_ms')}_seconds"] = fields.pop(name) / 1000
        return fields


class _Model(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the table model, with its routes."""

    id: int
    name: str
    context_window: int
    max_output_tokens: int
    overhead_tokens: int
    overhead_tokens_per_image: int | None
    overhead_tokens_per_audio: int | None
    overhead_tokens_per_file: int | None
    made_at: int
    aliases: tuple[str, ...]
    retires_at: float | None
    successor: str
    routes: list[_Route]

    def uses(self, providers: set[int]) -> bool:
        return any(route.provider_id in providers for route in self.routes)

    def described(self) -> dict[str, Any]:
        fields = msgspec.structs.asdict(self)
        del fields["routes"]
        return fields


def _replace(held: dict[int, Any], ids: Iterable[int], found: dict[int, Any]) -> None:
    """Put what was found in the place of `ids`; what was not found is gone."""
    for id_ in ids:
        held.pop(id_, None)
    held.update(found)


async def _read_providers(
    connection: psycopg.AsyncConnection[Any], ids: Iterable[int] | None
) -> dict[int, _Provider]:
    """Read these enabled providers (None: all) with the newest credential of each."""
    async with connection.cursor(row_factory=class_row(_Provider)) as cursor:
        await cursor.execute(_PROVIDERS, {"ids": None if ids is None else list(ids)})
        return {provider.id: provider for provider in await cursor.fetchall()}


async def _read_models(
    connection: psycopg.AsyncConnection[Any], ids: Iterable[int] | None
) -> dict[int, _Model]:
    """Read these enabled models (None: all) with their enabled routes."""
    async with connection.cursor() as cursor:
        await cursor.execute(_MODELS, {"ids": None if ids is None else list(ids)})
        rows = [msgspec.convert(row[0], _Model) for row in await cursor.fetchall()]
    return {model.id: model for model in rows}


_PROVIDERS = """
SELECT id, name, protocol, base_url,
    -- A schema of one release before has neither.
    coalesce((to_jsonb(provider) ->> 'responses')::boolean, false) AS responses,
    coalesce(to_jsonb(provider) ->> 'cap_field', '') AS cap_field,
    (SELECT sealed FROM credential
     WHERE provider_id = provider.id ORDER BY id DESC LIMIT 1) AS sealed
FROM provider
WHERE enabled AND (%(ids)s::bigint[] IS NULL OR id = ANY (%(ids)s))
"""
# A model and its routes come from one snapshot, as one JSON object.
_MODELS = """
SELECT to_jsonb(model)
    || jsonb_build_object('made_at', floor(extract(epoch FROM made_at))::bigint)
    || jsonb_build_object('retires_at', extract(epoch FROM retires_at))
    || jsonb_build_object('routes', coalesce(
        (SELECT jsonb_agg(to_jsonb(route)) FROM route WHERE model_id = model.id AND enabled),
        '[]'))
FROM model
WHERE enabled AND (%(ids)s::bigint[] IS NULL OR id = ANY (%(ids)s))
"""
