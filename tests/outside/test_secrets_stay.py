"""Secrets that only their holders may see, driven through every error, are found nowhere after it.

Looked through: every answer (but those that show a secret to who has it), letters, logs at DEBUG,
spans, metrics, every table and what the database logged, every command that Redis was sent and all
that it keeps, the spool, and what commands print.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import os
import re
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
import redis

from gateway.asgi import ENDPOINTS
from tests.outside.canaries import Canary, Places, make_secret
from tests.outside.scene import BODIES, NAMES, OPERATOR, TABLES, Scene, number_of
from tests.parts import Parts


async def drive_failures(scene: Scene) -> None:
    """Every failure of a provider, in every dialect, streamed or not, with two credentials each."""
    paths = [path for path in BODIES if path in ENDPOINTS]
    some = asyncio.Semaphore(20)

    async def call(path: str, model: str, *, stream: bool) -> None:
        async with some:
            fields: dict[str, Any] = {"stream": True} if stream else {}
            await scene.call(path, model, **fields)

    async with asyncio.TaskGroup() as calls:
        for path, name, stream in itertools.product(paths, NAMES, (False, True)):
            for number in number_of(name):
                calls.create_task(call(path, f"{name}-at-{number}", stream=stream))


async def drive_refusals(scene: Scene) -> None:
    """The keys where they do not belong, mistyped, doubled, and with requests that are none."""
    chat = BODIES["/v1/chat/completions"]
    for key in (scene.key, scene.rotated, scene.program):
        basic = base64.b64encode(f"{key}:{key}".encode()).decode()
        swapped = key[:-1] + ("0" if key[-1] != "0" else "1")
        for headers in (
            {"authorization": key},
            {"authorization": f"Bearer{key}"},
            {"authorization": f"Basic {basic}"},
            {"authorization": f"Bearer {key}, Bearer {key}"},
            {"authorization": f"Bearer {key}x"},
            {"authorization": f"Bearer {swapped}"},
            {"authorization": f"Bearer {key[:-20]}"},
            {"authorization": f"Bearer {key}", "x-api-key": f"{key}2"},
            {"x-api-key": swapped},
            {"cookie": f"sessionid={key}; key={key}"},
            {"api-key": key, "x-goog-api-key": key, "referer": f"http://x/?key={key}"},
            {"authorization": f"Bearer {key}", "content-encoding": "gzip"},
            {"authorization": f"Bearer {key}", "openai-beta": b"\xe9"},
        ):
            await scene.ask("POST", "/v1/chat/completions", json=chat, headers=headers)
            await scene.ask("GET", "/v1/me", headers=headers)
            await scene.ask("GET", "/api/v1/organizations", headers=headers)
        good = {"authorization": f"Bearer {key}"}
        for path in (
            f"/v1/{key}",
            f"/v1/models/{key}",
            f"/v1/chat/completions?api_key={key}",
            f"/api/v1/{key}",
            f"/api/v1/organizations/{key}",
            f"/api/v1/organizations/acme/keys/{key}",
            f"/api/v1/organizations?cursor={key}&limit={key}&{key}=1",
            f"/{key}",
            f"/docs/{key}",
        ):
            for method in ("GET", "POST", "DELETE"):
                await scene.ask(method, path, headers=good, json={})
        # Not kept: whoever is sent to log in is sent back to where they asked to go.
        await scene.client.get(f"/admin/{key}/")
        await scene.client.post(f"/admin/{key}/")
        for body in (
            {**chat, "model": key},
            {**chat, "model": "gpt", key: 1},
            {**chat, "model": "gpt", "api_key": key, "n": key},
            {**chat, "model": "demo-400-at-1", "api_key": key},
            {"model": "demo-400-at-1", "messages": key},
            {"model": "demo-400-at-1", "messages": [{"role": key, key: key}]},
            {key: key},
        ):
            await scene.ask("POST", "/v1/chat/completions", json=body, headers=good)
        garbled = f'{{"model": "{key}", "{key}": {key}'.encode()
        for path in ("/v1/chat/completions", "/api/v1/organizations"):
            await scene.ask("POST", path, content=garbled, headers=good)


async def drive_api(scene: Scene) -> None:
    """Secrets in every field that takes text, where they are refused."""
    headers = {"authorization": f"Bearer {scene.program}"}
    api = "/api/v1"
    acme = f"{api}/organizations/acme"
    for key in (scene.key, scene.program):
        for method, path, body in (
            ("POST", f"{api}/organizations", {"slug": key, "name": key, key: key}),
            ("POST", f"{acme}/projects", {"slug": f"{key}!", "name": key}),
            ("POST", f"{acme}/keys", {"project": key, "name": key}),
            ("POST", f"{acme}/keys", {"project": "default", "name": "x", "networks": [key]}),
            ("POST", f"{acme}/keys", {"project": "default", "name": "x", "expires_at": key}),
            ("POST", f"{acme}/keys/bulk", {"action": key, "ids": [key]}),
            ("POST", f"{acme}/members", {"email": key, "role": key}),
            ("POST", f"{api}/invitations/accept", {"token": key}),
            ("POST", f"{api}/providers", {"name": f"{key}!", "protocol": key, "base_url": key}),
            ("POST", f"{api}/prices", {"model": "x", "effective_from": key, "input": key}),
        ):
            answer = await scene.ask(method, path, json=body, headers=headers)
            assert answer is not None
            assert answer.status_code in {400, 403, 404, 409}, (path, answer.text)


async def drive_credentials(scene: Scene) -> None:
    """Our credentials at providers, in forms and bodies that are refused and that are taken."""
    headers = {"authorization": f"Bearer {scene.program}"}
    for canary in scene.canaries:
        if not canary.name.startswith("credential"):
            continue
        for text in (canary.text, f"{canary.text}\r\nx: y", f"{canary.text}\0", f"é{canary.text}"):
            provider = {"name": "new", "protocol": "openai", "base_url": "http://10.0.0.1/v1"}
            for method, path, body in (
                ("POST", "/api/v1/providers", {**provider, "credential": text}),
                ("POST", "/api/v1/providers", {"name": "new", "credential": text}),
                ("POST", "/api/v1/providers/demo-0/credential", {"credential": [text]}),
                ("POST", "/api/v1/providers/none/credential", {"credential": text}),
                ("POST", "/api/v1/providers/demo-0/credential", {"credential": text, "x": text}),
                ("PATCH", "/api/v1/providers/demo-0", {"credential": text}),
            ):
                await scene.ask(method, path, json=body, headers=headers)


async def drive_invitations(scene: Scene) -> None:
    """A token where it belongs, by somebody it was not sent to, and where it does not.

    Answers are not kept where they repeat an address or a name to who asked for it: unlike a key,
    a token has nothing to tell it by, so that it would stand among the refusals of operators if
    somebody called /v1 by it. Wherever it belongs it is kept nowhere.
    """
    token, headers = scene.invitation, {"authorization": f"Bearer {scene.program}"}
    page = await scene.client.get(f"/invitations/{token}")
    assert page.status_code == 200
    await scene.client.get("/")
    for text in (token, f"{token}x", token[:-1]):
        for path in (f"/api/v1/{text}", f"/api/v1/invitations/{text}", f"/docs/{text}"):
            await scene.client.get(path, headers=headers)
        await scene.ask("POST", "/api/v1/invitations/accept", json={"token": text}, headers=headers)
        await scene.ask("GET", "/v1/me", headers={"authorization": f"Bearer {text}"})
        for name in ("email", "role", "token", text):
            body = {"email": "another@example.org", name: text}
            path = "/api/v1/organizations/acme/invitations"
            await scene.client.post(path, json=body, headers=headers)


async def drive_pages(scene: Scene) -> None:
    """The admin: logins that fail, forms that are refused, every list and page, and a test call."""
    await log_in(scene, username=OPERATOR, password="wrong")
    password = scene.parts.env["DJANGO_SUPERUSER_PASSWORD"]
    await log_in(scene, username=password, password=password)
    assert (await log_in(scene, username=OPERATOR, password=password)) == 302
    index = await scene.ask("GET", "/admin/")
    assert index is not None
    lists = set(re.findall(r'href="(/admin/\w+/\w+/)"', index.text))
    assert len(lists) > 10
    pages = {"/admin/", *lists, *(f"{each}add/" for each in lists)}
    pages |= set(re.findall(r'href="(/admin/[\w/-]+/)"', index.text))
    for page in sorted(pages):
        answer = await scene.ask("GET", page)
        rows = answer.text if answer is not None else ""
        for row in sorted(set(re.findall(r'href="(/admin/\w+/\w+/[\w-]+/change/)', rows)))[:2]:
            await scene.ask("GET", row)
    for canary in scene.canaries:
        add = "/admin/gateway/provider/add/"
        await submit(scene, add, {"name": "x y", "protocol": "none", "credential": canary.text})
        form = {"name": "new", "protocol": "openai", "base_url": "http://127.0.0.1:1/v1"}
        await submit(scene, add, {**form, "credential": f"é{canary.text}"})
    for (provider,) in scene.parts.rows("SELECT id FROM provider"):
        for model in ("demo-401", "echo-401-message", "echo-200-fields", "echo-500-headers"):
            form = {"upstream_model": model}
            await submit(scene, f"/admin/gateway/provider/{provider}/test/", form)


async def log_in(scene: Scene, **fields: str) -> int:
    # Not kept: a refused form repeats the name that was typed, to who typed it.
    page = await scene.client.get("/admin/login/")
    answer = await scene.client.post("/admin/login/", data={**read_token(page), **fields})
    return answer.status_code


async def submit(scene: Scene, path: str, form: dict[str, str]) -> None:
    page = await scene.client.get("/admin/gateway/provider/add/")
    await scene.ask("POST", path, data={**read_token(page), **form})


def read_token(page: httpx2.Response) -> dict[str, str]:
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
    assert token is not None
    return {"csrfmiddlewaretoken": token[1]}


def drive_commands(scene: Scene) -> None:
    """What operators type, wrong: nothing that is printed or logged may repeat a secret."""
    parts = scene.parts
    bad = parts.folder / "bad.json"
    texts = [each.text for each in scene.canaries if each.name.startswith("credential")]
    provider = {"name": "p", "protocol": "openai", "base_url": "http://10.0.0.1", "x": 1}
    text = json.dumps({"providers": [{**provider, "credential": f"literal:{t}"} for t in texts]})
    for broken in (text[:-3], text.replace("literal:", "")):
        bad.write_text(broken)
        scene.places.add("commands", try_to_manage(parts, "apply", str(bad)))
    for arguments in (("revoke_key", scene.key), ("apply", "--export"), ("usage_report",)):
        scene.places.add("commands", try_to_manage(parts, *arguments))


def try_to_manage(parts: Parts, *arguments: str) -> str:
    try:
        return parts.manage(*arguments)
    except AssertionError as error:
        return str(error).partition(" failed: ")[2]  # Before it stands what was typed.


async def gather(scene: Scene) -> None:
    """Add what was kept and logged."""
    parts, places = scene.parts, scene.places
    for path in ("/metrics", "/readyz", "/healthz", "/api/v1/schema"):
        await scene.ask("GET", path)
    with parts.connect() as connection:
        for (table,) in connection.execute(TABLES).fetchall():
            with connection.cursor().copy(f"COPY {table} TO STDOUT") as rows:
                for data in rows:
                    places.add(f"table {table}", bytes(data))
    with redis.Redis.from_url(parts.valkey.url) as kept:
        for name in kept.scan_iter():
            places.add("Redis", name + (kept.dump(name) or b""))
    scene.gateway.stop()
    for log in (*parts.logs.iterdir(), parts.postgres.log, parts.valkey.log):
        places.add(f"log {log.name}", log.read_bytes())
    for folder, _, files in os.walk(parts.folder / "spool"):
        for file in files:
            with open(os.path.join(folder, file), "rb") as opened:
                places.add("spool", opened.read())


STEPS: tuple[Callable[[Scene], Any], ...] = (
    drive_failures,
    drive_refusals,
    drive_api,
    drive_credentials,
    drive_invitations,
    drive_pages,
)


@pytest.mark.slow
async def test_no_secret_is_found_anywhere(scene: Scene) -> None:
    for step in STEPS:
        await step(scene)
    await asyncio.to_thread(drive_commands, scene)
    # A batch of spans and a beat of every task.
    scene.parts.until(lambda: "spans" in scene.places.found)
    await asyncio.sleep(2)
    await gather(scene)
    seen = {name.split()[0] for name in scene.places.found}
    assert {"answers", "spans", "commands", "letters", "log", "table", "Redis", "spool"} <= seen
    hits = scene.places.search(scene.canaries)
    assert not hits, "\n".join(hits)


@pytest.mark.parametrize(
    "write",
    [
        lambda text: text,
        lambda text: f"{text[:14]}***",
        lambda text: f"...{text[-11:]}",
        lambda text: text.upper(),
        lambda text: text.encode().hex(),
        lambda text: base64.b64encode(f"Bearer {text}".encode()).decode(),
        lambda text: base64.urlsafe_b64encode(f"x{text}:".encode()).decode(),
        lambda text: text[::-1],
    ],
)
def test_a_secret_is_found_however_it_is_written(write: Callable[[str], str]) -> None:
    canary, places = Canary("canary", make_secret()), Places()
    places.add("here", f"some text {write(canary.text)} and more")
    assert len(places.search([canary])) == 1
    assert places.search([Canary("another", make_secret())]) == []
