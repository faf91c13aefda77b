"""One call from end to end: it is answered, metered and priced, or refused before it leaves."""

from __future__ import annotations

from typing import Any

import msgspec
import psycopg
import pytest

from local.provider import RunningProvider
from tests.calls.serving import Served
from tests.calls.world import CREDENTIAL, OUTPUT_TICKS, World, chat
from tests.ledger.making import one

pytestmark = pytest.mark.django_db(transaction=True)
Connection = psycopg.AsyncConnection[Any]


async def test_an_answer_comes_back_as_the_provider_wrote_it(
    served: Served, provider: RunningProvider
) -> None:
    answer = await served.client.post("/v1/chat/completions", json=chat())
    assert answer.status_code == 200
    body = answer.json()
    assert body["usage"]["total_tokens"] > 0
    assert answer.headers["x-request-id"] == answer.headers["request-id"]
    assert provider.received()["requests"][0]["id"] == body["id"]


async def test_its_usage_becomes_one_fact_with_the_providers_figures(
    served: Served, aconn: Connection
) -> None:
    answer = await served.client.post("/v1/chat/completions", json=chat())
    await served.settled()
    usage = answer.json()["usage"]
    row = await one(aconn, "SELECT row_to_json(e)::text FROM usage_event e")
    event = msgspec.json.decode(row)
    assert event["call_id"] == answer.headers["x-request-id"]
    assert event["upstream_id"] == answer.json()["id"]
    assert event["uncached_input"] == usage["prompt_tokens"]
    assert event["output"] == usage["completion_tokens"]
    assert event["cost_ticks"] == usage["completion_tokens"] * OUTPUT_TICKS
    assert (event["outcome"], event["usage_source"]) == ("answered", "reported")


async def test_a_stream_ends_in_done_without_the_usage_nobody_asked_for(
    served: Served, aconn: Connection
) -> None:
    answer = await served.client.post("/v1/chat/completions", json=chat(stream=True))
    frames = [line for line in answer.text.split("\n\n") if line]
    assert frames[-1] == "data: [DONE]"
    assert all(msgspec.json.decode(f.removeprefix("data: "))["choices"] for f in frames[:-1])
    await served.settled()
    assert await one(aconn, "SELECT usage_source FROM usage_event") == "reported"
    assert await one(aconn, "SELECT output FROM usage_event") > 0


async def test_a_stream_shows_the_usage_that_was_asked_for(served: Served) -> None:
    body = chat(stream=True, stream_options={"include_usage": True})
    answer = await served.client.post("/v1/chat/completions", json=body)
    frames = [line for line in answer.text.split("\n\n") if line]
    last = msgspec.json.decode(frames[-2].removeprefix("data: "))
    assert last["choices"] == []
    assert last["usage"]["total_tokens"] > 0


async def test_the_provider_sees_its_credential_and_nothing_of_the_callers(
    served: Served, world: World
) -> None:
    headers = {"cookie": "a=b", "x-forwarded-for": "192.0.2.1", "openai-beta": "some=thing"}
    path = "/v1/chat/completions"
    answer = await served.client.post(path, json=chat("demo-echo"), headers=headers)
    seen = msgspec.json.decode(answer.json()["choices"][0]["message"]["content"])["headers"]
    assert seen["authorization"] == f"Bearer {CREDENTIAL}"
    assert seen["openai-beta"] == "some=thing"
    assert "cookie" not in seen
    assert "x-forwarded-for" not in seen
    assert world.key not in answer.text


async def test_without_a_key_nothing_leaves(served: Served, provider: RunningProvider) -> None:
    for headers in ({"authorization": ""}, {"authorization": "Bearer tg_nonsense"}):
        answer = await served.client.post("/v1/chat/completions", json=chat(), headers=headers)
        assert answer.status_code == 401
        assert answer.json()["error"]["code"] == "invalid_api_key"
    assert provider.received()["total"] == 0


async def test_an_unknown_model_is_not_found(served: Served) -> None:
    answer = await served.client.post("/v1/chat/completions", json=chat("gpt-99"))
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "model_not_found"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"{", None),
        (b"[]", None),
        (b'{"messages":[{"role":"user","content":"x"}]}', "model"),
        (b'{"model":"gpt-4o","messages":[]}', "messages"),
        (b'{"model":"gpt-4o","model":"gpt-4o","messages":[{"role":"user"}]}', "model"),
        (b'{"model":"gpt-4o","messages":[{"role":"user"}],"n":1000000000}', "n"),
        (b'{"model":"gpt-4o","messages":[{"role":"user"}],"max_tokens":-1}', "max_tokens"),
        (
            b'{"model":"gpt-4o","messages":[{"role":"user"}],"seed":9223372036854775808}',
            "seed",
        ),
        (b'{"model":"gpt-4o","messages":[{"role":"user","content":"\xff"}]}', None),
    ],
)
async def test_a_bad_body_is_refused_by_field_and_nothing_leaves(
    served: Served, provider: RunningProvider, body: bytes, field: str | None
) -> None:
    answer = await served.client.post("/v1/chat/completions", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == field
    assert provider.received()["total"] == 0


async def test_a_body_over_the_limit_is_413(served: Served) -> None:
    answer = await served.client.post("/v1/chat/completions", content=b"x" * (2**20 + 1))
    assert answer.status_code == 413


async def test_an_unknown_path_and_a_wrong_method_say_so(served: Served) -> None:
    assert (await served.client.post("/v1/images/generations")).status_code == 404
    answer = await served.client.get("/v1/chat/completions")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


async def test_readyz_names_nothing_when_all_is_well(served: Served) -> None:
    answer = await served.client.get("/readyz")
    assert answer.json() == {"status": "ok", "degraded": []}
