"""A stream that breaks at any chunk ends well-formed on every surface, and as a true fact."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from local.provider import RunningProvider
from tests.calls.books import check_books, event_of
from tests.calls.serving import Served, in_django, until
from tests.calls.surfaces import ENDPOINTS, KINDS, QUESTION, add_kinds, ask
from tests.calls.world import OUTPUT_TICKS, World
from tests.ledger.making import one
from tests.wire.translating import read_events

pytestmark = pytest.mark.django_db(transaction=True)
Connection = psycopg.AsyncConnection[Any]

ENDS = {"[DONE]", "message_stop", "response.completed"}
INPUT_TICKS = 7


@pytest.mark.parametrize("chunks", [0, 1, 2, 3])
async def test_a_reset_at_any_chunk_is_told_in_the_callers_dialect(
    chunks: int, world: World, start: Any, aconn: Connection, provider: RunningProvider
) -> None:
    await in_django(add_kinds, world, f"demo-reset-midstream-{chunks}")
    served = await start()
    for endpoint, path in ENDPOINTS.items():
        for model in KINDS.values():
            answer = await served.client.post(path, json=ask(endpoint, model, stream=True))
            if answer.status_code == 502:  # Nothing had come that could be told.
                assert chunks == 0
                continue
            events = read_events(answer.content)
            assert set(events[-1]["error"]) >= {"message", "type"}, (endpoint, model)
            assert ENDS.isdisjoint(event.get("type") for event in events)
            await served.settled()
            event = await event_of(aconn, answer.headers["x-request-id"])
            assert event["outcome"] == "answered_partial"
            assert event["output"] >= chunks
            assert event["cost_ticks"] >= chunks * OUTPUT_TICKS
    await check_books(served, aconn, provider)


async def leave(served: Served, endpoint: str, model: str) -> None:
    """Begin a stream, read a little of it, hang up."""
    body = ask(endpoint, model, stream=True)
    async with served.client.stream("POST", ENDPOINTS[endpoint], json=body) as answer:
        size = 0
        async for data in answer.aiter_raw():
            size += len(data)
            if size > 1500:
                break
    await until(lambda: not served.process.ledger.process.open_holds)
    await served.settled()


@pytest.mark.parametrize("endpoint", ["messages", "chat.completions"])
async def test_who_leaves_an_anthropic_stream_is_charged_the_input_that_was_told(
    endpoint: str, world: World, start: Any, aconn: Connection, provider: RunningProvider
) -> None:
    await in_django(add_kinds, world, "demo-chunks-100-10")
    served = await start()
    await leave(served, endpoint, "of-anthropic")
    event = await one(aconn, "SELECT row_to_json(e) FROM usage_event e")
    assert (event["outcome"], event["usage_source"]) == ("client_cancelled", "estimated")
    assert event["uncached_input"] == len(QUESTION.split())
    output = event["output"]
    assert 0 < output < 2000
    assert event["cost_ticks"] == event["uncached_input"] * INPUT_TICKS + output * OUTPUT_TICKS
    await check_books(served, aconn, provider)
