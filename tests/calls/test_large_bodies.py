"""A body that takes long to be read and translated does not keep other callers waiting."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest

from gateway.beside import LARGE_BYTES
from local.provider import RunningProvider
from tests.calls.books import check_books
from tests.calls.serving import in_django
from tests.calls.surfaces import ENDPOINTS, KINDS, add_kinds
from tests.calls.world import CENT, World

pytestmark = pytest.mark.django_db(transaction=True)
Connection = psycopg.AsyncConnection[Any]

# The promise is 50 ms; the rest is for the client in the same loop, and for caches full of others'.
LONGEST_SECONDS = 0.5
TURN = {"role": "user", "content": "x"}


@asynccontextmanager
async def no_long_wait() -> AsyncIterator[None]:
    """Raise where the loop let nobody else have a turn for long, by the time that its thread had:
    what the machine gave to others meanwhile says nothing of it."""
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        while True:
            before = time.thread_time()
            await asyncio.sleep(0.001)
            longest = max(longest, time.thread_time() - before)

    gc.freeze()  # As a process of its own has it: the rest of these tests is nothing to look at.
    watching = asyncio.create_task(watch())
    try:
        yield
    finally:
        watching.cancel()
        gc.unfreeze()
    assert longest < LONGEST_SECONDS


@pytest.mark.parametrize("endpoint", ["chat.completions", "responses", "messages"])
async def test_thousands_of_messages_are_answered_beside_other_calls(
    endpoint: str, world: World, start: Any, aconn: Connection, provider: RunningProvider
) -> None:
    """Turns of one side were put together one by one, which took seconds for ten thousand."""
    await in_django(add_kinds, world)
    served = await start()
    name = "input" if endpoint == "responses" else "messages"
    body = {name: [TURN] * 20_000} | ({} if endpoint == "responses" else {"max_tokens": 9})
    kind = "openai" if endpoint == "messages" else "anthropic"
    async with no_long_wait():
        answer = await served.client.post(ENDPOINTS[endpoint], json={"model": KINDS[kind], **body})
    assert answer.status_code == 200, answer.text
    await check_books(served, aconn, provider)


async def test_more_elements_than_any_conversation_has_are_refused_by_what_they_are(
    served: Any, provider: RunningProvider
) -> None:
    async with no_long_wait():
        answer = await served.post({"model": "gpt-4o", "messages": [{"role": "user"}] * 50_001})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "too_many_elements")
    assert provider.received()["total"] == 0


async def test_a_large_call_is_shortened_to_its_quota_as_a_small_one_is(
    world: World, start: Any, aconn: Connection, provider: RunningProvider
) -> None:
    await in_django(add_kinds, world)
    await in_django(world.add_quota, 100 * CENT, clamp=True)
    served = await start()
    messages = [{"role": "user", "content": "x" * 2 * LARGE_BYTES}]
    answer = await served.client.post(
        ENDPOINTS["messages"],
        json={"model": KINDS["openai"], "messages": messages, "max_tokens": 10**7},
    )
    assert (answer.status_code, "x-tollgate-output-cap" in answer.headers) == (200, True), (
        answer.text
    )
    await check_books(served, aconn, provider)
