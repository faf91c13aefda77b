"""What one route does not answer another one may, with a fact of each try and a hold for each."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from gateway import models
from local.provider import RunningProvider
from tests.calls.books import Connection, check_books, window_of
from tests.calls.serving import Served, in_django
from tests.calls.world import CENT, World, chat

pytestmark = pytest.mark.django_db(transaction=True)
Start = Callable[[], Awaitable[Served]]


def add_routes(world: World, *upstream_models: str) -> models.Model:
    """Make a model that is tried under these names, in this order."""
    model = world.add_model("twice", upstream_model=upstream_models[0], max_output_tokens=100)
    for priority, name in enumerate(upstream_models[1:], start=1):
        models.Route.objects.create(
            model=model, provider=world.provider, upstream_model=name, priority=priority
        )
    return model


async def attempts_of(aconn: Connection, call_id: str) -> list[tuple[Any, ...]]:
    cursor = await aconn.execute(
        "SELECT attempt_no, upstream_model, outcome, http_status FROM usage_event"
        " WHERE call_id = %s ORDER BY attempt_no",
        [call_id],
    )
    return await cursor.fetchall()


# What the first try comes to: its outcome and status, and whether it may have been billed.
FAILURES = {
    "demo-429": ("upstream_refused", 429, False),
    "demo-500": ("upstream_failed", 500, False),
    "demo-529": ("upstream_failed", 529, False),
    "demo-html-502": ("upstream_failed", 502, True),
    "demo-401": ("upstream_refused", 401, False),
    "demo-reset": ("upstream_failed", None, True),
}


@pytest.mark.parametrize("failing", FAILURES)
async def test_the_next_route_answers_for_one_that_fails(
    failing: str, world: World, start: Start, aconn: Connection, provider: RunningProvider
) -> None:
    outcome, status, is_captured = FAILURES[failing]
    await in_django(add_routes, world, failing, "demo-fixed-100")
    quota = await in_django(world.add_quota, 10 * CENT)
    served = await start()
    answer = await served.post(chat("twice"))
    assert answer.status_code == 200
    await check_books(served, aconn, provider)
    tries = await attempts_of(aconn, answer.headers["x-request-id"])
    assert tries == [(1, failing, outcome, status), (2, "demo-fixed-100", "answered", 200)]
    posted = 2 * CENT if is_captured else CENT
    window = await window_of(aconn, quota.pk)
    assert (window["posted"], window["overrun"]) == (posted, 0)


@pytest.mark.parametrize("refusing", ["demo-400", "demo-404", "demo-413", "demo-422"])
async def test_what_is_wrong_with_the_request_is_wrong_on_every_route(
    refusing: str, world: World, start: Start, aconn: Connection
) -> None:
    await in_django(add_routes, world, refusing, "demo-fixed-100")
    served = await start()
    answer = await served.post(chat("twice"))
    assert answer.status_code == int(refusing[5:8])
    await served.settled()
    assert len(await attempts_of(aconn, answer.headers["x-request-id"])) == 1


async def test_nothing_is_tried_twice_on_one_route(
    world: World, start: Start, provider: RunningProvider
) -> None:
    await in_django(world.add_model, "demo-500")
    served = await start()
    assert (await served.post(chat("demo-500"))).status_code == 500
    assert provider.received()["total"] == 1


async def test_a_try_whose_further_hold_does_not_fit_is_not_made(
    world: World, start: Start, aconn: Connection, provider: RunningProvider
) -> None:
    await in_django(add_routes, world, "demo-html-502", "demo-fixed-100")
    await in_django(world.add_quota, CENT)
    served = await start()
    answer = await served.post(chat("twice"))
    assert answer.status_code == 502
    await check_books(served, aconn, provider)
    assert provider.received()["total"] == 1


async def test_a_try_that_only_fits_with_a_shorter_answer_is_sent_with_that_cap(
    world: World, start: Start, aconn: Connection, provider: RunningProvider
) -> None:
    await in_django(add_routes, world, "demo-html-502", "demo-fixed-100")
    quota = await in_django(world.add_quota, CENT + CENT // 2, clamp=True)
    served = await start()
    answer = await served.post(chat("twice"))
    assert answer.status_code == 200
    assert answer.json()["usage"]["completion_tokens"] == 50
    assert answer.headers["x-tollgate-output-cap"] == "50"
    await check_books(served, aconn, provider)
    window = await window_of(aconn, quota.pk)
    assert (window["posted"], window["overrun"]) == (CENT + CENT // 2, 0)


async def test_a_caller_is_told_of_the_failure_and_not_of_the_route_that_is_away(
    world: World, start: Start, provider: RunningProvider
) -> None:
    model = await in_django(add_routes, world, "demo-429")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        away = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
    await in_django(lambda: world.add_route(model, world.add_provider("away", away)))
    served = await start()
    answer = await served.post(chat("twice"))
    assert (answer.status_code, provider.received()["total"]) == (429, 1)
    assert answer.headers["retry-after-ms"] == "1500"


async def test_a_route_that_named_its_time_rests_and_the_other_is_asked_at_once(
    world: World, start: Start, provider: RunningProvider
) -> None:
    await in_django(add_routes, world, "demo-429", "demo-fixed-100")
    served = await start()
    for _ in range(3):
        assert (await served.post(chat("twice"))).status_code == 200
    assert provider.received()["by_model"] == {"demo-429": 1, "demo-fixed-100": 3}


async def test_a_stream_falls_back_before_its_first_byte(world: World, start: Start) -> None:
    await in_django(add_routes, world, "demo-500", "demo-fixed-100")
    served = await start()
    answer = await served.post(chat("twice", stream=True))
    assert answer.status_code == 200
    assert answer.text.endswith("data: [DONE]\n\n")
