"""Responses take no cap below 16: what is sent there instead is what is held for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from local.provider import RunningProvider
from tests.calls.books import Connection, check_books, event_of
from tests.calls.serving import Served, in_django
from tests.calls.surfaces import ENDPOINTS, ask
from tests.calls.world import OUTPUT_TICKS, World

pytestmark = pytest.mark.django_db(transaction=True)
Start = Callable[[], Awaitable[Served]]

MODEL = "demo-fixed-100"
OF_RESPONSES = "of-responses-alone"


def prepare(world: World) -> None:
    provider = world.add_provider("responses", responses=True)
    world.add_model(
        OF_RESPONSES, provider=provider, upstream_model=MODEL, route={"only_responses": True}
    )


def caps(provider: RunningProvider) -> list[int]:
    """The model writes 100 tokens, or as many as the cap that it got."""
    return [each["usage"]["output_tokens"] for each in provider.received()["requests"]]


@pytest.mark.parametrize("endpoint", ["chat.completions", "completions", "messages"])
async def test_a_smaller_cap_is_sent_as_sixteen_and_held_for(
    endpoint: str, world: World, start: Start, provider: RunningProvider, aconn: Connection
) -> None:
    """It was sent as it was, which OpenAI refuses."""
    await in_django(prepare, world)
    await in_django(world.add_quota, 100 * OUTPUT_TICKS)
    served = await start()
    body = ask(endpoint, OF_RESPONSES, max_tokens=5)
    answer = await served.client.post(ENDPOINTS[endpoint], json=body)
    assert answer.status_code == 200
    assert caps(provider) == [16]
    await served.settled()
    event = await event_of(aconn, answer.headers["x-request-id"])
    assert (event["held_ticks"], event["cost_ticks"]) == (16 * OUTPUT_TICKS, 16 * OUTPUT_TICKS)
    await check_books(served, aconn, provider)


async def test_what_passes_keeps_its_callers_cap(
    world: World, start: Start, provider: RunningProvider
) -> None:
    await in_django(prepare, world)
    served = await start()
    body = ask("responses", OF_RESPONSES, max_output_tokens=5)
    assert (await served.client.post(ENDPOINTS["responses"], json=body)).status_code == 200
    assert caps(provider) == [5]


@pytest.mark.parametrize("endpoint", ["chat.completions", "responses"])
@pytest.mark.parametrize("left", [16, 15])
async def test_an_answer_is_shortened_to_sixteen_and_no_further(
    left: int, endpoint: str, world: World, start: Start, provider: RunningProvider
) -> None:
    await in_django(prepare, world)
    await in_django(world.add_quota, left * OUTPUT_TICKS, clamp=True)
    served = await start()
    answer = await served.client.post(ENDPOINTS[endpoint], json=ask(endpoint, OF_RESPONSES))
    assert answer.status_code == (200 if left == 16 else 400)
    assert caps(provider) == ([16] if left == 16 else [])


async def test_what_is_left_of_a_quota_is_not_stretched(
    world: World, start: Start, provider: RunningProvider
) -> None:
    await in_django(prepare, world)
    await in_django(world.add_quota, 110 * OUTPUT_TICKS, clamp=True)
    served = await start()
    body = ask("chat.completions", OF_RESPONSES, max_tokens=100)
    answers = []
    for _ in range(2):
        answers.append(await served.client.post(ENDPOINTS["chat.completions"], json=body))
        await served.settled()
    assert [answer.status_code for answer in answers] == [200, 429]
    assert caps(provider) == [100]
