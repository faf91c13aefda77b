"""A whole gateway in the test's own loop, over real sockets, and what to ask of it."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import uvicorn
from django.conf import settings
from django.db import connection

from gateway.asgi import Gateway
from gateway.process import Configuration, GatewayProcess
from gateway.server import GatewayProtocol

T = TypeVar("T")
PATH = "/v1/chat/completions"


@dataclass
class Served:
    """A gateway that is being served, and a client of it."""

    url: str
    process: GatewayProcess
    client: httpx2.AsyncClient

    async def settled(self) -> None:
        await self.process.ledger.process.settler.drained()

    async def post(self, body: object, *, key: str | None = None) -> httpx2.Response:
        """Make a call, with another key than the client's own if one is given."""
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        return await self.client.post(PATH, json=body, headers=headers)


def configure(dsn: str, folder: Path, **changes: Any) -> Configuration:
    return Configuration(
        **{
            "conninfo": dsn,
            "redis_url": settings.REDIS_URL,
            "data_folder": folder,
            "key_prefixes": ("tg",),
            "peppers": settings.KEY_PEPPERS,
            "freshness_seconds": 5,
            "trusted_proxies": (),
            "upstream_allowed_networks": (ipaddress.ip_network("127.0.0.0/8"),),
            "max_body_bytes": 2**20,
            "spool_max_bytes": 2**30,
            **changes,
        }
    )


@asynccontextmanager
async def serve(
    configuration: Configuration, *, key: str, protocol: type[GatewayProtocol] = GatewayProtocol
) -> AsyncIterator[Served]:
    """Run a gateway process behind the product's own server."""
    process = GatewayProcess(configuration)
    server = uvicorn.Server(
        uvicorn.Config(
            Gateway(process=process),
            http=protocol,
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
    try:
        while not server.started:
            assert not task.done(), "the gateway did not start"
            await asyncio.sleep(0.01)
        headers = {"authorization": f"Bearer {key}"}
        async with httpx2.AsyncClient(base_url=url, headers=headers, timeout=20) as client:
            yield Served(url, process, client)
    finally:
        server.should_exit = True
        await task


async def in_django(function: Callable[..., T], *arguments: Any, **named: Any) -> T:
    """Run a function that uses the ORM beside the loop, and leave no connection behind."""

    def run() -> T:
        try:
            return function(*arguments, **named)
        finally:
            connection.close()

    return await asyncio.to_thread(run)


async def early_in_a_minute(seconds: float = 10.0) -> None:
    """Wait for the next minute where this one ends too soon for what is counted in it."""
    left = 60 - time.time() % 60
    if left < seconds:
        await asyncio.sleep(left)


async def until(condition: Callable[[], object], *, seconds: float = 5.0) -> None:
    """Wait until the condition holds. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)
