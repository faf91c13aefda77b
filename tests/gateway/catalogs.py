"""Models and routes in the database, and the catalog that a gateway reads from them."""

import asyncio
import ipaddress
import random
from collections.abc import Sequence

import psycopg

from accounts.addresses import Network
from accounts.changes import Change
from gateway.credentials import seal
from gateway.models import Credential, Model, Provider, Route
from gateway.routing import Catalog, ModelRecord

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)


def add_provider(name: str, base_url: str = "") -> Provider:
    provider = Provider.objects.create(
        name=name, protocol="openai", base_url=base_url or f"https://api.{name}.com/v1/"
    )
    Credential.objects.create(provider=provider, sealed=seal(f"secret of {name}"), source="test")
    return provider


def add_model(name: str) -> Model:
    return Model.objects.create(name=name, context_window=128_000, max_output_tokens=16_384)


def add_route(
    model: Model,
    provider: Provider,
    *,
    upstream_model: str = "same",
    priority: int = 0,
    weight: int = 1,
) -> Route:
    return Route.objects.create(
        model=model,
        provider=provider,
        upstream_model=upstream_model,
        priority=priority,
        weight=weight,
    )


def find(catalog: Catalog, name: str) -> ModelRecord:
    model = catalog.model(name)
    assert model is not None
    return model


def load(
    dsn: str,
    *,
    chance: random.Random | None = None,
    allowed_networks: Sequence[Network] = (),
) -> Catalog:
    catalog = Catalog(allowed_networks=allowed_networks, chance=chance)
    asyncio.run(read(catalog, dsn))
    return catalog


async def read(catalog: Catalog, dsn: str, changes: list[Change] | None = None) -> None:
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        if changes is None:
            await catalog.load(connection)
        else:
            await catalog.refresh(connection, changes)
