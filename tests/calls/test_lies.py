"""Whatever a provider says of its usage, the service stays up and no budget is spent unseen."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from local.provider import RunningProvider
from tests.calls.books import Connection, check_books, event_of, window_of
from tests.calls.serving import Served, in_django
from tests.calls.world import CENT, World, chat

pytestmark = pytest.mark.django_db(transaction=True)
Start = Callable[[], Awaitable[Served]]

# Nothing that can be believed: all that was held is charged, and the operator is told.
NONSENSE = (
    "demo-no-usage",
    "demo-null-usage",
    "demo-usage-strings",
    "demo-usage-negative",
    "demo-usage-huge",
    "demo-usage-mismatch",
)


@pytest.fixture(params=[False, True], ids=["whole", "streamed"])
def stream(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.mark.parametrize("model", NONSENSE)
async def test_usage_that_makes_no_sense_is_charged_at_its_hold(
    model: str, stream: bool, world: World, start: Start, aconn: Connection
) -> None:
    await in_django(world.add_model, model)
    quota = await in_django(world.add_quota, 2 * CENT)
    served = await start()
    answer = await served.post(chat(model, max_tokens=100, stream=stream))
    assert answer.status_code == 200
    await served.settled()
    event = await event_of(aconn, answer.headers["x-request-id"])
    assert (event["outcome"], event["usage_source"]) == ("answered", "held")
    assert event["cost_ticks"] == event["held_ticks"] == CENT
    assert await window_of(aconn, quota.pk) == {"posted": CENT, "overrun": 0, "drawn": 0}
    assert (await served.post(chat("demo-fixed-100", max_tokens=100))).status_code == 200


async def test_the_operator_is_told_of_each(
    stream: bool, world: World, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    def prepare() -> None:
        for model in NONSENSE:
            world.add_model(model)

    await in_django(prepare)
    served = await start()
    for model in NONSENSE:
        caplog.clear()
        await served.post(chat(model, max_tokens=100, stream=stream))
        told = [r.getMessage() for r in caplog.records if r.levelname == "ERROR"]
        assert len(told) == 1, model
        assert "cannot be used" in told[0]


async def test_usage_that_is_sent_twice_is_counted_once(
    world: World, start: Start, aconn: Connection, provider: RunningProvider
) -> None:
    await in_django(world.add_model, "demo-usage-twice")
    await in_django(world.add_quota, 2 * CENT)
    served = await start()
    for stream in (False, True):
        answer = await served.post(chat("demo-usage-twice", max_tokens=100, stream=stream))
        await check_books(served, aconn, provider)
        event = await event_of(aconn, answer.headers["x-request-id"])
        assert event["usage_source"] == "reported"
        receipt = provider.received()["requests"][-1]
        assert event["output"] == receipt["usage"]["completion_tokens"]


async def test_more_than_was_held_is_told_whole_as_an_overrun(
    stream: bool, world: World, start: Start, aconn: Connection, provider: RunningProvider
) -> None:
    await in_django(world.add_model, "demo-usage-above-cap")
    quota = await in_django(world.add_quota, 2 * CENT)
    served = await start()
    await served.post(chat("demo-usage-above-cap", max_tokens=100, stream=stream))
    await check_books(served, aconn, provider)
    expected = {"posted": CENT, "overrun": 9 * CENT, "drawn": 0}
    assert await window_of(aconn, quota.pk) == expected
