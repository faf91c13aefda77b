"""A whole gateway in the test's own loop: real server, sockets, database and demo provider."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn
from django.conf import settings

from accounts.issuance import issue_key
from accounts.models import Organization, Project
from billing.models import Price, Quota
from gateway import models
from gateway.asgi import Gateway
from gateway.credentials import seal
from gateway.process import Configuration, GatewayProcess
from gateway.server import GatewayProtocol
from local.provider import RunningProvider, start_in_thread

OUTPUT_TICKS = 1_000_000  # $100 per million output tokens: 100 tokens cost a cent.


@pytest.fixture
def provider() -> Iterator[RunningProvider]:
    with start_in_thread(pace_seconds=0.002) as running:
        yield running


@dataclass
class World:
    """Acme's default project with a key, and models at the demo provider with a price."""

    organization: Organization
    project: Project
    key_id: int
    public_id: str
    key: str
    provider: models.Provider

    def add_model(self, name: str, **fields: Any) -> models.Model:
        bounds = {"context_window": 128_000, "max_output_tokens": 16_384}
        model = models.Model.objects.create(name=name, **{**bounds, **fields})
        models.Route.objects.create(model=model, provider=self.provider, upstream_model=name)
        Price.objects.create(
            model=name,
            effective_from=datetime(2026, 1, 1, tzinfo=UTC),
            input=0,
            output=OUTPUT_TICKS,
        )
        return model

    def add_quota(self, limit: int | None, *, scope: str = "key", **fields: Any) -> Quota:
        ids = {
            "key": self.key_id,
            "project": self.project.pk,
            "organization": self.organization.pk,
        }
        return Quota.objects.create(
            organization=self.organization.pk,
            scope=scope,
            scope_id=ids[scope],
            unit="cost",
            limit=limit,
            **{"window": "lifetime", **fields},
        )


@pytest.fixture
def world(transactional_db: None, project: Project, provider: RunningProvider) -> World:
    issued = issue_key(project=project, name="ci")
    row = models.Provider.objects.create(
        name="local", protocol="openai", base_url=f"{provider.url}/v1"
    )
    models.Credential.objects.create(provider=row, sealed=seal("an upstream secret"), source="test")
    world = World(
        project.organization, project, issued.key.pk, issued.key.public_id, issued.plaintext, row
    )
    for name in ("gpt-4o", "demo-fixed-100"):
        world.add_model(name)
    return world


@pytest.fixture
def configuration(dsn: str, tmp_path: Path) -> Configuration:
    return Configuration(
        conninfo=dsn,
        data_folder=tmp_path,
        key_prefixes=("tg",),
        peppers=settings.KEY_PEPPERS,
        freshness_seconds=5,
        trusted_proxies=(),
        upstream_allowed_networks=(ipaddress.ip_network("127.0.0.0/8"),),
        max_body_bytes=2**20,
        spool_max_bytes=2**30,
    )


@dataclass
class Served:
    """A gateway that is being served, and a client of it."""

    url: str
    process: GatewayProcess
    client: httpx2.AsyncClient

    async def settled(self) -> None:
        await self.process.ledger.process.settler.drained()


@pytest.fixture
async def serve(world: World, configuration: Configuration) -> AsyncIterator[Callable[[], Any]]:
    """Return a function that starts a gateway process of the world and serves it."""
    running: list[tuple[uvicorn.Server, asyncio.Task[None], httpx2.AsyncClient]] = []

    async def start() -> Served:
        process = GatewayProcess(configuration)
        server = uvicorn.Server(
            uvicorn.Config(
                Gateway(process=process),
                http=GatewayProtocol,
                loop="none",
                lifespan="on",
                log_config=None,
                access_log=False,
                timeout_graceful_shutdown=5,
            )
        )
        listening = socket.create_server(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        task = asyncio.create_task(server.serve(sockets=[listening]))
        while not server.started:
            assert not task.done(), "the gateway did not start"
            await asyncio.sleep(0.01)
        client = httpx2.AsyncClient(
            base_url=url, headers={"authorization": f"Bearer {world.key}"}, timeout=20
        )
        running.append((server, task, client))
        return Served(url, process, client)

    yield start
    for server, task, client in running:
        await client.aclose()
        server.should_exit = True
        await task


@pytest.fixture
async def served(serve: Callable[[], Any]) -> Served:
    found: Served = await serve()
    return found


def chat(model: str = "gpt-4o", **fields: Any) -> dict[str, Any]:
    """Return the body of a chat completions request."""
    messages = [{"role": "user", "content": "What is the answer?"}]
    return {"model": model, "messages": messages, **fields}
