"""Errors are told in the dialect of the caller's path, whatever the provider speaks."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from local.provider import RunningProvider
from tests.calls.serving import Served, in_django
from tests.calls.surfaces import ENDPOINTS, KINDS, add_kinds, ask
from tests.calls.world import World
from tests.wire.translating import read_events

pytestmark = pytest.mark.django_db(transaction=True)


def read_error(answer: httpx2.Response, endpoint: str) -> dict[str, Any]:
    """The error of an answer, which has to be in the endpoint's dialect."""
    body = answer.json()
    if endpoint.startswith("messages"):
        assert body["type"] == "error"
        assert body["request_id"] == answer.headers["request-id"]
        assert set(body["error"]) - {"quota"} == {"type", "message"}
    else:
        assert set(body["error"]) - {"quota"} == {"message", "type", "param", "code"}
    error: dict[str, Any] = body["error"]
    return error


TYPES = {400: "invalid_request_error", 401: "authentication_error", 404: "not_found_error"}


@pytest.mark.parametrize("endpoint", ENDPOINTS)
async def test_our_own_refusals(endpoint: str, served: Served, provider: RunningProvider) -> None:
    path = ENDPOINTS[endpoint]
    unknown = await served.client.post(path, json=ask(endpoint, "gpt-99"))
    broken = await served.client.post(path, content=b"{")
    nobody = await served.client.post(path, json={}, headers={"authorization": "Bearer no"})
    wrong = await served.client.get(path)
    for answer, status in ((unknown, 404), (broken, 400), (nobody, 401), (wrong, 405)):
        assert answer.status_code == status
        error = read_error(answer, endpoint)
        if endpoint == "messages" and status in TYPES:
            assert error["type"] == TYPES[status]
    assert provider.received()["total"] == 0


FAILURES = [
    ("demo-400", 400),
    ("demo-401", 502),
    ("demo-413", 413),
    ("demo-422", 422),
    ("demo-429", 429),
    ("demo-500", 500),
    ("demo-529", 503),
    ("demo-html", 502),
    ("demo-error-in-stream", 502),
    ("demo-cut-midstream", 502),
]


@pytest.mark.parametrize(("upstream_model", "status"), FAILURES)
async def test_a_providers_refusals_and_failures(
    upstream_model: str, status: int, world: World, start: Any
) -> None:
    await in_django(add_kinds, world, upstream_model)
    served = await start()
    for endpoint, path in ENDPOINTS.items():
        for model in KINDS.values():
            answer = await served.client.post(path, json=ask(endpoint, model))
            is_overloaded = upstream_model == "demo-529" and endpoint == "messages"
            told = 529 if is_overloaded else status
            assert answer.status_code == told, (endpoint, model, answer.text)
            error = read_error(answer, endpoint)
            assert (error["type"] == "overloaded_error") == is_overloaded
            message = error["message"]
            assert "OperatorDemo" not in answer.text, message


@pytest.mark.parametrize("upstream_model", ["demo-cut-midstream", "demo-error-in-stream"])
async def test_a_stream_that_breaks_ends_in_an_error_of_the_callers_dialect(
    upstream_model: str, world: World, start: Any
) -> None:
    await in_django(add_kinds, world, upstream_model)
    served = await start()
    for endpoint, path in ENDPOINTS.items():
        for model in KINDS.values():
            answer = await served.client.post(path, json=ask(endpoint, model, stream=True))
            assert answer.status_code == 200
            events = read_events(answer.content)
            assert set(events[-1]["error"]) >= {"message", "type"}, (endpoint, model)
            assert {"[DONE]", "message_stop", "response.completed"}.isdisjoint(
                event.get("type") for event in events
            )


async def test_what_cannot_be_carried_is_refused_and_nothing_leaves(
    world: World, start: Any, provider: RunningProvider
) -> None:
    await in_django(add_kinds, world)
    served = await start()
    answer = await served.client.post(
        "/v1/chat/completions", json=ask("chat.completions", "of-anthropic", n=2)
    )
    error = answer.json()["error"]
    assert (answer.status_code, error["param"], error["code"]) == (
        400,
        "n",
        "unsupported_for_model",
    )
    kept = await served.client.post(
        "/v1/responses", json=ask("responses", "of-responses", previous_response_id="resp_1")
    )
    assert kept.json()["error"]["code"] == "state_not_kept"
    assert provider.received()["total"] == 0


@pytest.mark.parametrize(
    ("method", "path", "what"),
    [
        ("POST", "/v1/images/generations", "Images"),
        ("POST", "/v1/audio/speech", "Speech"),
        ("POST", "/v1/moderations", "Moderations"),
        ("GET", "/v1/files/file-1", "Files"),
        ("POST", "/v1/batches", "Batches"),
        ("POST", "/v1/messages/batches", "Batches"),
        ("GET", "/v1/realtime", "Realtime"),
        ("GET", "/v1/responses/resp_1", "Kept responses"),
        ("GET", "/v1/chat/deferred-completion/x", "Deferred"),
    ],
)
async def test_an_endpoint_that_cannot_be_metered_is_a_404_that_says_so(
    method: str, path: str, what: str, served: Served
) -> None:
    answer = await served.client.request(method, path)
    endpoint = "messages" if path.startswith("/v1/messages") else ""
    error = read_error(answer, endpoint)
    assert answer.status_code == 404
    assert error["message"].startswith(what)
    assert "metered" in error["message"]


@pytest.mark.parametrize("path", ["filesystem", "chat/completions/", "responses/"])
async def test_an_unknown_path_is_only_unknown(path: str, served: Served) -> None:
    """A slash too many was told that kept completions cannot be metered."""
    answer = await served.client.post(f"/v1/{path}")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "unknown_url"


async def test_models_are_shown_and_missed_in_the_callers_dialect(served: Served) -> None:
    version = {"anthropic-version": "2023-06-01"}
    listed = (await served.client.get("/v1/models", headers=version)).json()
    first = listed["data"][0]
    assert (first["type"], listed["has_more"]) == ("model", False)
    assert listed["first_id"] == first["id"] == first["display_name"]
    assert first["created_at"].endswith("Z")
    missed = await served.client.get("/v1/models/none", headers=version)
    assert read_error(missed, "messages")["type"] == "not_found_error"
    assert read_error(await served.client.get("/v1/models/none"), "")["code"] == "model_not_found"


async def test_a_key_for_messages_may_count_tokens_and_nothing_else(
    world: World, start: Any
) -> None:
    await in_django(add_kinds, world)
    key = await in_django(world.add_key, "narrow", endpoints=["messages"])
    served = await start()
    headers = {"x-api-key": key.plaintext, "authorization": ""}
    for endpoint, path, status in (
        ("messages", "/v1/messages", 200),
        ("messages.count_tokens", "/v1/messages/count_tokens", 200),
        ("chat.completions", "/v1/chat/completions", 403),
    ):
        body = ask(endpoint, "of-anthropic")
        answer = await served.client.post(path, json=body, headers=headers)
        assert answer.status_code == status
