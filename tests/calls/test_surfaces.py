"""Any model can be called at any endpoint, whichever protocol its provider speaks."""

from __future__ import annotations

from typing import Any

import msgspec
import psycopg
import pytest

from gateway.asgi import ENDPOINTS as SERVED
from local.provider import RunningProvider
from tests.calls.books import check_books, event_of
from tests.calls.serving import Served, in_django
from tests.calls.surfaces import CAP, ENDPOINTS, KINDS, QUESTION, add_kinds, ask, read_text
from tests.calls.world import CREDENTIAL, World
from tests.wire import translating

pytestmark = pytest.mark.django_db(transaction=True)
Connection = psycopg.AsyncConnection[Any]

PAIRS = [(endpoint, kind) for endpoint in ENDPOINTS for kind in KINDS]
PASSED_TO = {
    "chat.completions": {"openai", "openai+responses"},
    "completions": {"openai", "openai+responses"},
    "responses": {"openai+responses", "openai+only-responses"},
    "messages": {"anthropic"},
}


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
async def test_a_whole_answer_is_told_and_metered(
    pair: tuple[str, str],
    world: World,
    start: Any,
    aconn: Connection,
    provider: RunningProvider,
) -> None:
    endpoint, kind = pair
    await in_django(add_kinds, world)
    served = await start()
    answer = await served.client.post(ENDPOINTS[endpoint], json=ask(endpoint, KINDS[kind]))
    assert answer.status_code == 200, answer.text
    assert read_text(endpoint, answer.json())
    await check_books(served, aconn, provider)
    (receipt,) = provider.received()["requests"]
    event = await event_of(aconn, answer.headers["x-request-id"])
    assert (event["endpoint"], event["outcome"], event["usage_source"]) == (
        endpoint,
        "answered",
        "reported",
    )
    assert event["upstream_id"] == receipt["id"]
    assert event["uncached_input"] == counted(receipt, "input_tokens", "prompt_tokens") > 0
    assert event["output"] == counted(receipt, "output_tokens", "completion_tokens") > 0
    passes = kind in PASSED_TO[endpoint]
    assert (receipt["path"] == "/v1/responses") is (
        kind == "openai+only-responses" or (kind == "openai+responses" and endpoint == "responses")
    )
    assert (answer.json()["id"] == receipt["id"]) is passes
    assert (answer.json()["model"] == "gpt-4o") is passes


def counted(receipt: dict[str, Any], *names: str) -> int:
    usage: dict[str, int] = receipt["usage"]
    return next(usage[name] for name in names if name in usage)


READERS: dict[str, Any] = {
    "responses": translating.read_response,
    "messages": translating.read_message,
}


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
async def test_a_stream_is_well_formed_and_metered(
    pair: tuple[str, str],
    world: World,
    start: Any,
    aconn: Connection,
    provider: RunningProvider,
) -> None:
    endpoint, kind = pair
    await in_django(add_kinds, world)
    served = await start()
    whole = await served.client.post(ENDPOINTS[endpoint], json=ask(endpoint, KINDS[kind]))
    body = ask(endpoint, KINDS[kind], stream=True)
    answer = await served.client.post(ENDPOINTS[endpoint], json=body)
    assert answer.headers["content-type"].startswith("text/event-stream")
    if endpoint in READERS:
        told = READERS[endpoint](answer.content)
        assert read_text(endpoint, told) == read_text(endpoint, whole.json())
        assert told["usage"]["output_tokens"] > 0
    else:
        events = translating.read_events(answer.content)
        assert events[-1] == {"type": "[DONE]"}
        assert all(event["choices"] for event in events[:-1])
    await check_books(served, aconn, provider)
    event = await event_of(aconn, answer.headers["x-request-id"])
    assert (event["outcome"], event["usage_source"]) == ("answered", "reported")
    assert event["cost_ticks"] > 0


async def test_a_conversation_with_tools_goes_round_on_every_surface(
    world: World, start: Any
) -> None:
    await in_django(add_kinds, world)
    served = await start()
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    tool = {"name": "weather", "parameters": schema}
    for kind in KINDS:
        chat_tool = {"type": "function", "function": tool}
        body = ask("chat.completions", KINDS[kind], tools=[chat_tool], tool_choice="required")
        first = (await served.client.post(ENDPOINTS["chat.completions"], json=body)).json()
        (choice,) = first["choices"]
        assert choice["finish_reason"] == "tool_calls"
        call = choice["message"]["tool_calls"][0]
        assert call["function"]["name"] == "weather"
        result = {"role": "tool", "tool_call_id": call["id"], "content": "Sunny in Oslo"}
        body["messages"] += [choice["message"], result]
        body["tool_choice"] = "auto"
        second = await served.client.post(ENDPOINTS["chat.completions"], json=body)
        assert "Sunny" in second.json()["choices"][0]["message"]["content"], kind

        used_tool = {"name": "weather", "input_schema": schema}
        body = ask("messages", KINDS[kind], tools=[used_tool], tool_choice={"type": "any"})
        first = (await served.client.post(ENDPOINTS["messages"], json=body)).json()
        assert first["stop_reason"] == "tool_use"
        used = next(block for block in first["content"] if block["type"] == "tool_use")
        given = {"type": "tool_result", "tool_use_id": used["id"], "content": "Sunny in Oslo"}
        body["messages"] += [
            {"role": "assistant", "content": first["content"]},
            {"role": "user", "content": [given]},
        ]
        del body["tool_choice"]
        second = await served.client.post(ENDPOINTS["messages"], json=body)
        assert "Sunny" in read_text("messages", second.json()), kind


async def test_every_path_that_reaches_a_provider_meters_and_no_other_reaches_one(
    world: World, start: Any, aconn: Connection, provider: RunningProvider
) -> None:
    await in_django(add_kinds, world)
    served = await start()
    metered = 0
    for path, endpoint in SERVED.items():
        if endpoint.dialect is None:
            await served.client.request(endpoint.method, path, json={"model": "of-openai"})
            continue
        name = endpoint.dialect.endpoint
        for kind in endpoint.dialect.passages:
            answer = await served.client.post(path, json=ask(name, KINDS[kind]))
            assert answer.status_code == 200, answer.text
            await served.settled()
            event = await event_of(aconn, answer.headers["x-request-id"])
            assert (event["endpoint"], event["usage_source"]) == (name, "reported")
            metered += 1
    assert metered == provider.received()["total"] == 19
    await check_books(served, aconn, provider)


async def test_embeddings_pass_as_numbers_and_in_base64(
    world: World, start: Any, aconn: Connection
) -> None:
    await in_django(add_kinds, world, "text-embedding-3-small")
    served = await start()
    for encoding, kind in (("float", list), ("base64", str)):
        body = ask("embeddings", "of-openai", encoding_format=encoding)
        answer = await served.client.post("/v1/embeddings", json=body)
        assert isinstance(answer.json()["data"][0]["embedding"], kind)
        await served.settled()
        event = await event_of(aconn, answer.headers["x-request-id"])
        assert event["uncached_input"] == answer.json()["usage"]["prompt_tokens"]
        assert event["cost_ticks"] == 7 * event["uncached_input"]
        assert event["held_ticks"] >= event["cost_ticks"]
    refused = await served.client.post("/v1/embeddings", json=ask("embeddings", "of-anthropic"))
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "endpoint_unsupported")


async def test_tokens_are_counted_for_nothing_or_estimated(
    world: World, start: Any, aconn: Connection, provider: RunningProvider
) -> None:
    await in_django(add_kinds, world)
    await in_django(world.add_quota, 1)
    served = await start()
    path = "/v1/messages/count_tokens"
    counted = await served.client.post(path, json=ask("messages.count_tokens", "of-anthropic"))
    assert counted.json()["input_tokens"] > 0
    assert provider.received()["total"] == 1
    estimated = await served.client.post(path, json=ask("messages.count_tokens", "of-openai"))
    assert 1 < estimated.json()["input_tokens"] < 50
    assert provider.received()["total"] == 1
    await check_books(served, aconn, provider)
    event = await event_of(aconn, counted.headers["request-id"])
    assert (event["cost_ticks"], event["held_ticks"]) == (0, 0)


async def echo(
    served: Served, endpoint: str, model: str, headers: dict[str, str]
) -> dict[str, Any]:
    """What the provider was sent."""
    answer = await served.client.post(
        ENDPOINTS[endpoint], json=ask(endpoint, model, temperature=1.5), headers=headers
    )
    seen: dict[str, Any] = msgspec.json.decode(read_text(endpoint, answer.json()))
    return seen


async def test_a_providers_own_headers_go_with_its_own_protocol_only(
    world: World, start: Any
) -> None:
    await in_django(add_kinds, world, "demo-echo")
    served = await start()
    sent = {
        "anthropic-version": "2023-01-01",
        "anthropic-beta": "one-2025,context-1m-2025-08-07, two-2026",
        "openai-beta": "x=1",
        "x-tollgate-tags": "team=blue",
    }
    chat_sent = await echo(served, "chat.completions", "of-openai", sent)
    assert chat_sent["headers"]["openai-beta"] == "x=1"
    assert chat_sent["headers"]["authorization"] == f"Bearer {CREDENTIAL}"
    assert {"anthropic-version", "anthropic-beta"}.isdisjoint(chat_sent["headers"])
    answer = await served.client.post(
        "/v1/messages", json=ask("messages", "of-anthropic"), headers=sent
    )
    passed = msgspec.json.decode(read_text("messages", answer.json()))["headers"]
    assert (passed["anthropic-version"], passed["anthropic-beta"]) == (
        "2023-01-01",
        "one-2025,two-2026",
    )
    assert passed["x-api-key"] == CREDENTIAL
    assert {"authorization", "openai-beta", "x-tollgate-tags"}.isdisjoint(passed)
    translated = await echo(served, "chat.completions", "of-anthropic", sent)
    assert translated["headers"]["anthropic-version"] == "2023-06-01"
    assert {"anthropic-beta", "openai-beta"}.isdisjoint(translated["headers"])
    sent_body = msgspec.json.decode(translated["body"])
    assert sent_body["temperature"] == 1
    assert sent_body["messages"][0]["content"] == [{"type": "text", "text": QUESTION}]


async def test_a_query_goes_on_where_the_provider_knows_it_and_nowhere_else(
    world: World, start: Any, provider: RunningProvider
) -> None:
    await in_django(add_kinds, world, "demo-echo")
    served = await start()
    odd = "a=1&key=tg_secret&beta=true&beta=true&beta=false&%0d%0ax:%20y=z&&="
    for query, passed in (("beta=true", "beta=true"), (odd, "beta=true"), ("beta=1", ""), ("", "")):
        for model in KINDS.values():
            body = ask("messages", model, max_tokens=9)
            answer = await served.client.post(f"/v1/messages?{query}", json=body)
            seen = msgspec.json.decode(read_text("messages", answer.json()))
            assert seen["query"] == (passed if model == "of-anthropic" else ""), query
            said = await served.client.post(
                f"/v1/chat/completions?{query}", json=ask("chat.completions", model)
            )
            assert not msgspec.json.decode(read_text("chat.completions", said.json()))["query"]


async def test_the_cap_goes_under_the_name_that_the_provider_takes(
    world: World, start: Any
) -> None:
    def prepare() -> None:
        taking = world.add_provider("openai", cap_field="max_completion_tokens")
        world.add_model("o4-mini", provider=taking, upstream_model="demo-echo")

    await in_django(prepare)
    served = await start()
    for endpoint in ("chat.completions", "messages", "responses"):
        answer = await served.client.post(ENDPOINTS[endpoint], json=ask(endpoint, "o4-mini"))
        seen = msgspec.json.decode(read_text(endpoint, answer.json()))
        body = msgspec.json.decode(seen["body"])
        assert body["max_completion_tokens"] == CAP
        assert "max_tokens" not in body


async def test_a_base_url_of_anthropics_protocol_may_end_in_v1(world: World, start: Any) -> None:
    def prepare() -> None:
        other = world.add_provider("anthropic", protocol="anthropic")
        assert other.base_url.endswith("/v1")
        world.add_model("claude", provider=other, upstream_model="gpt-4o")

    await in_django(prepare)
    served = await start()
    answer = await served.client.post("/messages", json=ask("messages", "claude"))
    assert read_text("messages", answer.json())


async def test_tags_come_from_the_key_the_body_and_a_header(
    world: World, start: Any, aconn: Connection
) -> None:
    await in_django(add_kinds, world)
    key = await in_django(world.add_key, "tagged", tags={"team": "red", "env": "prod"})
    served = await start()
    bodies = [
        ask("chat.completions", "of-anthropic", user="u1", metadata={"team": "blue"}),
        ask("messages", "of-openai", metadata={"user_id": "u1"}),
        ask("responses", "of-openai", user="u1"),
    ]
    for path, body in zip(
        ("/v1/chat/completions", "/v1/messages", "/v1/responses"), bodies, strict=True
    ):
        headers = {
            "authorization": f"Bearer {key.plaintext}",
            "x-tollgate-tags": "env=test, feature = search",
        }
        answer = await served.client.post(path, json=body, headers=headers)
        await served.settled()
        event = await event_of(aconn, answer.headers["x-request-id"])
        team = "blue" if "chat" in path else "red"
        assert event["tags"] == {"team": team, "env": "test", "feature": "search", "user": "u1"}
    for odd in ("team", "=x", "a=", ",".join(f"t{n}=x" for n in range(17))):
        answer = await served.client.post(
            "/v1/messages", json=bodies[1], headers={"x-tollgate-tags": odd}
        )
        assert answer.status_code == 400
        assert "x-tollgate-tags" in answer.json()["error"]["message"]
