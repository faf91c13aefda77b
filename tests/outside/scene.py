"""A product whose every secret is known, with all that it says and keeps being gathered."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from local.provider.behaviours import DEMO_MODELS
from tests.faults.world import PRICE
from tests.gateway import sockets
from tests.outside.canaries import Canary, Places, make_secret
from tests.outside.echoing import SHAPES, STATUSES, echo, name_model
from tests.outside.letters import TOKEN, Mailbox, receiving
from tests.parts import Gateway, Parts, Servers, run_parts

OPERATOR = "canary@example.org"
# These wait for minutes; who calls them hangs up.
SILENT = ("demo-hang", "demo-stall", "demo-slow")
FAILING = sorted(name for name in DEMO_MODELS if name not in {"demo-echo", "demo-fixed"})
ECHOES = [name_model(*each) for each in itertools.product(STATUSES, SHAPES)]
NAMES = [*(name for name in FAILING if name.startswith("demo-")), *ECHOES]
TABLES = """
    SELECT c.oid::regclass::text FROM pg_class c
    WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
"""
BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "x"}], "max_tokens": 20},
    "/v1/completions": {"prompt": "x", "max_tokens": 20},
    "/v1/messages": {"messages": [{"role": "user", "content": "x"}], "max_tokens": 20},
    "/v1/responses": {"input": "x", "max_output_tokens": 20},
    "/v1/embeddings": {"input": "x"},
}


@dataclass
class Scene:
    """A product whose secrets are known, and whatever it has said so far."""

    parts: Parts
    gateway: Gateway
    places: Places
    canaries: list[Canary]
    key: str
    rotated: str
    program: str
    client: httpx2.AsyncClient
    mailbox: Mailbox
    invitation: str = ""

    async def ask(self, method: str, path: str, **options: Any) -> httpx2.Response | None:
        """Ask as given, and keep the answer; None where there was none in time."""
        try:
            answer = await self.client.request(method, path, **options)
        except httpx2.HTTPError as error:
            self.places.add("answers", repr(error))
            return None
        heads = "\n".join(f"{name}: {value}" for name, value in answer.headers.items())
        self.places.add("answers", f"{method} {answer.status_code}\n{heads}\n")
        self.places.add("answers", answer.content)
        return answer

    async def call(self, path: str, model: str, *, key: str = "", **fields: Any) -> None:
        headers = {"authorization": f"Bearer {key or self.key}"}
        body = {**BODIES[path], "model": model, **fields}
        timeout = 0.5 if model.startswith(SILENT) else 20
        await self.ask("POST", path, json=body, headers=headers, timeout=timeout)


@pytest.fixture
def own_parts(servers: Servers) -> Iterator[Parts]:
    with run_parts(servers, pace_seconds=0.001) as started:
        yield started


@pytest.fixture
async def scene(own_parts: Parts) -> AsyncIterator[Scene]:
    parts, places = own_parts, Places()
    async with AsyncExitStack() as stack:
        collector = await stack.enter_async_context(sockets.serve(collecting(places), limit=2**22))
        await stack.enter_async_context(listening(parts, places))
        echoing = await stack.enter_async_context(sockets.serve(echo, limit=2**22))
        credentials = ["sk-" + make_secret(), make_secret(30, alphabet="abcdefghjkmnpqrstuvwxyz")]
        credentials.append("sk-ant-" + make_secret())
        mailbox = await stack.enter_async_context(receiving(places))
        password = make_secret()
        parts.env |= {
            "EMAIL_URL": mailbox.url,
            "LOG_LEVEL": "DEBUG",
            "LOG_CALLS": "1",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "ECHO_CREDENTIAL": credentials[0],
            "DJANGO_SUPERUSER_PASSWORD": password,
        }
        parts.manage("createsuperuser", "--noinput", "--email", OPERATOR)
        file = parts.folder / "canary.json"
        file.write_text(json.dumps(declare(parts, echoing.url, credentials)))
        key = re.search(r"shown this once: (\S+)", parts.manage("apply", str(file)))
        assert key is not None
        issue = ("issue_management_key", "--by", OPERATOR, "--name", "ci", "--plain")
        program = parts.manage(*issue).strip()
        parts.work()
        gateway = parts.serve()
        client = await stack.enter_async_context(
            httpx2.AsyncClient(base_url=gateway.url, timeout=30, follow_redirects=False)
        )
        scene = Scene(parts, gateway, places, [], key[1], "", program, client, mailbox)
        scene.rotated = await rotate(scene)
        named = {"key": key[1], "rotated key": scene.rotated, "management key": program}
        scene.canaries = [Canary(name, text[-38:-6]) for name, text in named.items()]
        scene.canaries += [
            Canary(f"credential {n}", text.rpartition("-")[2]) for n, text in enumerate(credentials)
        ]
        scene.canaries.append(Canary("password", password))
        scene.invitation = await invite(scene)
        scene.canaries.append(Canary("invitation", scene.invitation))
        own = {name: parts.env[name] for name in ("SECRET_KEY", "KEY_PEPPERS", "CREDENTIAL_KEYS")}
        scene.canaries += [Canary(name, text.removeprefix("1:")) for name, text in own.items()]
        yield scene


def number_of(name: str) -> tuple[int, int]:
    """At which two of the three credentials a failure is tried: always at the one without a mark
    that tells what it is, and by turns at one of either protocol."""
    return 1, 2 * (NAMES.index(name) % 2)


def declare(parts: Parts, echoing: str, credentials: list[str]) -> dict[str, Any]:
    """Models for every failure, at providers with credentials of different make; the last ones
    speak Anthropic's protocol."""
    bounds = {"context_window": 128_000, "max_output_tokens": 4096, "price": PRICE}
    demo = {"protocol": "openai", "base_url": f"{parts.provider.url}/v1"}
    echoes = {"protocol": "openai", "base_url": f"{echoing}/v1"}
    first = {"credential": "env:ECHO_CREDENTIAL"}
    second, third = ({"credential": f"literal:{each}"} for each in credentials[1:])
    anthropic = {"protocol": "anthropic", **third}
    providers = [
        {"name": "demo-0", **demo, **first},
        {"name": "demo-1", **demo, **second},
        {"name": "echo-0", **echoes, **first},
        {"name": "echo-1", **echoes, **second},
        {"name": "demo-2", "base_url": parts.provider.url, **anthropic},
        {"name": "echo-2", "base_url": echoing, **anthropic},
    ]
    models = [
        {
            "name": f"{name}-at-{number}",
            "routes": [{"provider": f"{name[:4]}-{number}", "model": name}],
            **bounds,
        }
        for name in NAMES
        for number in number_of(name)
    ]
    budget = [{"unit": "cost", "limit": "1000.00", "window": "lifetime"}]
    project = {"slug": "default", "keys": [{"name": "canary", "quotas": budget}]}
    organization = {"slug": "acme", "name": "Acme", "projects": [project]}
    return {"providers": providers, "models": models, "organizations": [organization]}


async def rotate(scene: Scene) -> str:
    """Add a second secret; the answer that shows it is none of those that are looked through."""
    headers = {"authorization": f"Bearer {scene.program}"}
    public_id = scene.key.partition("_")[2][:12]
    path = f"/api/v1/organizations/acme/keys/{public_id}/rotate"
    answer = await scene.client.post(path, json={"grace_seconds": 3600}, headers=headers)
    secret: str = answer.json()["secret"]
    return secret


async def invite(scene: Scene) -> str:
    """Have a letter sent; return the token that stands in it alone."""
    headers = {"authorization": f"Bearer {scene.program}"}
    body = {"email": "invited@example.org"}
    answer = await scene.ask(
        "POST", "/api/v1/organizations/acme/invitations", json=body, headers=headers
    )
    assert answer is not None
    assert answer.status_code == 201, answer.text
    found = TOKEN.search(scene.mailbox.texts[-1])
    assert found is not None
    return found[1]


def collecting(places: Places) -> sockets.Handler:
    """An OpenTelemetry collector that only keeps what it is sent."""

    async def handler(peer: sockets.Peer) -> None:
        while request := await peer.read_request():
            places.add("spans", request)
            peer.answer(b"", b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\n")

    return handler


@asynccontextmanager
async def listening(parts: Parts, places: Places) -> AsyncIterator[None]:
    """Keep every command that Redis is sent: tasks with their arguments among them."""
    where = urlsplit(parts.valkey.url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port, limit=2**24)
    if where.password:
        writer.write(f"AUTH {where.password}\r\n".encode())
    writer.write(b"MONITOR\r\n")

    async def keep() -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                places.add("commands of Redis", data)

    keeping = asyncio.create_task(keep())
    yield
    writer.close()
    await keeping
