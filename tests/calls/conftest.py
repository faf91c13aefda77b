"""A tenant, a demo provider and gateways, made for each test or once for a whole module."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import uvloop

from accounts.models import Project
from gateway.process import Configuration
from local.provider import RunningProvider, start_in_thread
from tests.calls.serving import Served, configure, serve
from tests.calls.world import World, make_world
from tests.ledger.conftest import patience

__all__ = ["patience"]  # tests/faults/ asks how soon calls are refused.

PACE_SECONDS = 0.002


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The gateway runs on uvloop."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def running_provider() -> Iterator[RunningProvider]:
    with start_in_thread(pace_seconds=PACE_SECONDS) as running:
        yield running


@pytest.fixture
def provider(running_provider: RunningProvider) -> RunningProvider:
    """The demo provider, with empty books."""
    running_provider.reset_received()
    return running_provider


@pytest.fixture
def world(transactional_db: None, project: Project, provider: RunningProvider) -> World:
    return make_world(project, provider.url)


@pytest.fixture
def configuration(dsn: str, tmp_path: Path) -> Configuration:
    return configure(dsn, tmp_path)


@pytest.fixture
async def start(world: World, configuration: Configuration) -> AsyncIterator[Callable[..., Any]]:
    """Return a function that starts a gateway process of the world, as it then is."""
    async with AsyncExitStack() as stack:

        async def start_one(configuration: Configuration = configuration) -> Served:
            return await stack.enter_async_context(serve(configuration, key=world.key))

        yield start_one


@pytest.fixture
async def served(start: Callable[..., Any]) -> Served:
    found: Served = await start()
    return found
