"""What is really answered fits the document, over sockets: whole answers, every event of streams,
errors and headers, from providers of every kind. No field and no header is left out of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from accounts.issuance import revoke_key
from accounts.management_keys import issue_management_key
from accounts.models import User
from gateway.models import Model
from tests.calls.serving import Served, in_django
from tests.calls.surfaces import ENDPOINTS, KINDS, add_providers, ask
from tests.calls.world import World, chat
from tests.reference.checking import check_answer
from tests.wire.making import compact
from tests.wire.translating import read_events

pytestmark = pytest.mark.django_db(transaction=True)

BEHAVIOURS = ("gpt-4o", "demo-reasoning", "demo-cached", "demo-cumulative-usage")
BROKEN = ("demo-cut-midstream", "demo-error-in-stream")
REFUSING = ("demo-400", "demo-401", "demo-404", "demo-413", "demo-422", "demo-429", "demo-500")
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = {
    "chat.completions": [
        {"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}}
    ],
    "messages": [{"name": "get_weather", "input_schema": SCHEMA}],
    "responses": [{"type": "function", "name": "get_weather", "parameters": SCHEMA}],
}
PLAIN: list[dict[str, Any]] = [{}, {"stream": True}]
FORCED = {"chat.completions": "required", "messages": {"type": "any"}, "responses": "required"}


def add_all(world: World, behaviours: tuple[str, ...]) -> None:
    """Let every kind of provider answer in every one of these ways, as `kind/behaviour`."""
    for kind, (provider, route) in add_providers(world).items():
        for behaviour in behaviours:
            name = f"{kind}/{behaviour}"
            world.add_model(name, provider=provider, upstream_model=behaviour, input=7, route=route)


def vary(endpoint: str) -> list[dict[str, Any]]:
    """The ways to ask at an endpoint that make answers of different shapes."""
    ways = list(PLAIN)
    if endpoint in TOOLS:
        tools = {"tools": TOOLS[endpoint], "tool_choice": FORCED[endpoint]}
        ways += [tools, {**tools, "stream": True}]
    if endpoint == "responses":
        custom = {"tools": [{"type": "custom", "name": "apply_patch"}], "tool_choice": "required"}
        ways += [custom, {**custom, "stream": True}]
    if endpoint in {"chat.completions", "completions"}:
        ways.append({"stream": True, "stream_options": {"include_usage": True}})
    if endpoint == "messages":
        ways.append({"thinking": {"type": "enabled", "budget_tokens": 1024}, "stream": True})
    return ways


@pytest.mark.parametrize("endpoint", ENDPOINTS)
async def test_answers_and_streams_of_every_kind_of_provider(
    endpoint: str, world: World, start: Any
) -> None:
    def prepare() -> None:
        add_all(world, BEHAVIOURS)
        world.add_quota(10_000, unit="requests", window="day")
        world.add_quota(10**9, unit="total_tokens", window="day")

    await in_django(prepare)
    served: Served = await start()
    for kind in KINDS:
        for behaviour in BEHAVIOURS:
            for way in vary(endpoint) if behaviour == "gpt-4o" else PLAIN:
                body = ask(endpoint, f"{kind}/{behaviour}", **way)
                answer = await served.client.post(ENDPOINTS[endpoint], json=body)
                assert answer.status_code == 200, (body, answer.text)
                check_answer(answer, ENDPOINTS[endpoint])


@pytest.mark.parametrize("endpoint", ENDPOINTS)
async def test_errors_of_providers_whole_and_within_a_stream(
    endpoint: str, world: World, start: Any
) -> None:
    await in_django(add_all, world, REFUSING + BROKEN)
    served: Served = await start()
    for kind in KINDS:
        for behaviour in REFUSING + BROKEN:
            body = ask(endpoint, f"{kind}/{behaviour}", stream=behaviour in BROKEN)
            answer = await served.client.post(ENDPOINTS[endpoint], json=body)
            assert (answer.status_code == 200) is (behaviour in BROKEN)
            check_answer(answer, ENDPOINTS[endpoint])
            if behaviour in BROKEN:
                assert "error" in read_events(answer.content)[-1]


async def test_the_other_endpoints_that_reach_a_provider(world: World, start: Any) -> None:
    await in_django(add_all, world, ("text-embedding-3-small",))
    served: Served = await start()
    for encoding in ("float", "base64"):
        body = ask("embeddings", "openai/text-embedding-3-small", encoding_format=encoding)
        check_answer(await served.client.post("/v1/embeddings", json=body), "/v1/embeddings")
    for kind in KINDS:
        body = ask("messages.count_tokens", f"{kind}/text-embedding-3-small")
        path = "/v1/messages/count_tokens"
        answer = await served.client.post(path, json=body)
        assert answer.status_code == 200
        check_answer(answer, path)


async def test_a_repeat_a_lowered_cap_and_a_model_that_retires(world: World, start: Any) -> None:
    def prepare() -> None:
        world.add_quota(9 * 10**9, clamp=True)
        soon = datetime(2099, 1, 1, tzinfo=UTC)
        Model.objects.filter(name="gpt-4o").update(retires_at=soon)

    await in_django(prepare)
    served: Served = await start()
    path = "/v1/chat/completions"
    for expected in ({"sunset", "x-tollgate-output-cap"}, {"idempotent-replayed"}):
        answer = await served.client.post(
            path, json=chat(max_tokens=16_000), headers={"Idempotency-Key": "one"}
        )
        assert answer.status_code == 200
        assert expected <= set(answer.headers), answer.headers
        check_answer(answer, path)


async def test_refusals_of_every_status_that_a_caller_can_bring_about(
    world: World, start: Any
) -> None:
    def prepare() -> dict[str, str]:
        limited, lost = world.add_key("limited"), world.add_key("lost")
        away = world.add_key("away", networks=["10.0.0.0/8"])
        world.add_quota(1, scope_id=limited.key.pk, unit="requests", window="day")
        world.add_quota(1, scope_id=away.key.pk)
        revoke_key(lost.key, "lost")
        named = {"limited": limited, "lost": lost, "away": away}
        return {name: key.plaintext for name, key in named.items()}

    keys = await in_django(prepare)
    served: Served = await start()
    path = "/v1/chat/completions"
    seen = set()

    async def refuse(body: Any = None, *, key: str = "", **headers: str) -> None:
        if key:
            headers["authorization"] = f"Bearer {keys[key]}"
        sent = body if isinstance(body, bytes) else compact(body or chat())
        answer = await served.client.post(path, content=sent, headers=headers)
        seen.add(answer.status_code)
        check_answer(answer, path)

    await refuse(b"{")
    await refuse(chat("nothing"))
    await refuse(key="lost")
    await refuse(key="away")
    await refuse(b" " * (2**20 + 1))
    await refuse(**{"content-encoding": "gzip"})
    await refuse(key="limited")
    await refuse(key="limited")
    await refuse(chat(stream=True), **{"idempotency-key": "a"})
    await refuse(chat(stream=True), **{"idempotency-key": "a"})
    await refuse(chat(user="another"), **{"idempotency-key": "a"})
    assert seen == {200, 400, 401, 403, 404, 409, 413, 415, 422, 429}


async def test_what_a_key_can_ask_about_itself(world: World, start: Any) -> None:
    def prepare() -> None:
        world.add_quota(10**10)
        world.add_quota(None, unit="requests", window="day", mode="observe")
        world.add_quota(9, unit="concurrency", window="none")

    await in_django(prepare)
    served: Served = await start()
    for path, asked in (
        ("/v1/me", "/v1/me"),
        ("/v1/api-key", "/v1/api-key"),
        ("/v1/models", "/v1/models"),
        ("/v1/models", "/v1/models?limit=1"),
        ("/v1/models", "/v1/models?limit=0"),
        ("/v1/models/{model}", "/v1/models/gpt-4o"),
        ("/v1/models/{model}", "/v1/models/nothing"),
    ):
        for headers in ({}, {"anthropic-version": "2023-06-01"}, {"authorization": "Bearer no"}):
            answer = await served.client.get(asked, headers=headers)
            check_answer(answer, path, "get")


async def test_what_a_management_key_can_ask(
    world: World, start: Any, operator: User, alice: User
) -> None:
    def prepare() -> str:
        return issue_management_key(
            organization=world.organization, name="ci", scope="write", made_by=alice
        ).plaintext

    key = await in_django(prepare)
    served: Served = await start()
    await served.post(chat())
    headers = {"authorization": f"Bearer {key}"}
    base = "/v1/organization"

    async def do(method: str, path: str, body: Any = None, **parts: Any) -> Any:
        query = parts.pop("query", {})
        asked = base + path.format(**parts)
        answer = await served.client.request(
            method, asked, headers=headers, params=query, **({"json": body} if body else {})
        )
        assert answer.status_code == 200, answer.text
        check_answer(answer, base + path, method.lower())
        return answer.json()

    for what, by in (("/usage/completions", ["model", "project_id"]), ("/costs", ["line_item"])):
        start_time = int(datetime.now(UTC).timestamp()) - 86_400
        await do("GET", what, query={"start_time": start_time, "group_by": by})
    made = await do("POST", "/projects", {"name": "New"})
    new = {"project": made["id"]}
    await do("GET", "/projects")
    await do("GET", "/projects/{project}", **new)
    await do("POST", "/projects/{project}", {"name": "Newer"}, **new)
    account = await do("POST", "/projects/{project}/service_accounts", {"name": "ci"}, **new)
    for what in ("api_keys", "service_accounts"):
        await do("GET", f"/projects/{{project}}/{what}", **new)
        await do("GET", f"/projects/{{project}}/{what}/{{key}}", **new, key=account["id"])
    await do("DELETE", "/projects/{project}/service_accounts/{key}", **new, key=account["id"])
    other = await do("POST", "/projects/{project}/service_accounts", {"name": "b"}, **new)
    await do("DELETE", "/projects/{project}/api_keys/{key}", **new, key=other["id"])
    await do("POST", "/projects/{project}/archive", **new)
    admin = await do("POST", "/admin_api_keys", {"name": "deploy", "expires_in_seconds": 60})
    await do("GET", "/admin_api_keys")
    await do("GET", "/audit_logs", query={"limit": 100})
    await do("GET", "/admin_api_keys/{key}", key=admin["id"])
    await do("DELETE", "/admin_api_keys/{key}", key=admin["id"])
    for asking in (headers, {"authorization": "Bearer no"}):
        answer = await served.client.get(f"{base}/projects/nothing", headers=asking)
        check_answer(answer, f"{base}/projects/{{project}}", "get")
