"""Every kind of quota through the whole gateway: what counts, what refuses, what is told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from django.conf import settings
from django.utils import timezone
from redis.asyncio import Redis

from billing.quotas import end_raise, raise_limit
from local.provider import RunningProvider
from tests.calls.books import Connection, check_books, window_of
from tests.calls.serving import Served, in_django, until
from tests.calls.world import CENT, World, chat

pytestmark = pytest.mark.django_db(transaction=True)
Start = Callable[[], Awaitable[Served]]

# 20 tokens of input and 100 of output; their bound is the bytes of the body and the cap.
FIXED = chat("demo-fixed-20-100", max_tokens=100)


@pytest.fixture(autouse=True)
async def empty_redis() -> None:
    client: Redis = Redis.from_url(settings.REDIS_URL)
    await client.flushdb()
    await client.aclose()


@pytest.fixture
def world(world: World) -> World:
    world.add_model("demo-fixed-20-100")
    return world


def told(answer: httpx2.Response) -> dict[str, Any]:
    """Return what a refusal says of the quota."""
    assert answer.status_code == 429, answer.text
    quota: dict[str, Any] = answer.json()["error"]["quota"]
    return quota


async def statuses(served: Served, body: dict[str, Any], *, calls: int) -> list[int]:
    """Make calls one after the other, each settled before the next; what was left goes back."""
    found = []
    for _ in range(calls):
        found.append((await served.post(body)).status_code)
        await served.settled()
    return found


@pytest.mark.parametrize("window", ["hour", "day", "week", "month", "lifetime"])
async def test_requests_are_counted_one_by_one(
    window: str, world: World, start: Start, aconn: Connection, provider: RunningProvider
) -> None:
    quota = await in_django(world.add_quota, 2, unit="requests", window=window)
    served = await start()
    assert await statuses(served, FIXED, calls=2) == [200, 200]
    answer = await served.post(FIXED)
    assert (told(answer)["unit"], told(answer)["limit"], told(answer)["used"]) == ("requests", 2, 2)
    assert answer.json()["error"]["code"] == "insufficient_quota"
    assert answer.headers["x-should-retry"] == "false"
    await check_books(served, aconn, provider)
    assert await window_of(aconn, quota.pk) == {"posted": 2, "overrun": 0, "drawn": 0}


@pytest.mark.parametrize("hold", ["strict", "bounded"])
async def test_tokens_are_counted_as_the_provider_reports_them(
    hold: str, world: World, start: Start, aconn: Connection
) -> None:
    used = {"input_tokens": 20, "output_tokens": 100, "total_tokens": 120}
    quotas = {
        unit: await in_django(world.add_quota, 5000, unit=unit, window="day", hold=hold)
        for unit in used
    }
    served = await start()
    assert await statuses(served, FIXED, calls=3) == [200, 200, 200]
    for unit, amount in used.items():
        row = await window_of(aconn, quotas[unit].pk)
        assert row["posted"] + row["overrun"] == 3 * amount


async def test_strict_tokens_hold_the_whole_bound(
    world: World, start: Start, aconn: Connection, provider: RunningProvider
) -> None:
    await in_django(
        world.add_quota, 299, unit="output_tokens", window="day", hold="strict", scope="project"
    )
    served = await start()
    answers = await asyncio.gather(*(served.post(FIXED) for _ in range(6)))
    assert [answer.status_code for answer in answers].count(200) == 2
    refusal = told(next(answer for answer in answers if answer.status_code == 429))
    assert (refusal["scope"], refusal["needed"]) == ("project", 100)
    await check_books(served, aconn, provider)


async def test_bounded_tokens_hold_a_quarter_and_use_at_worst_four_times_the_limit(
    world: World, start: Start, aconn: Connection, provider: RunningProvider
) -> None:
    quota = await in_django(
        world.add_quota, 100, unit="output_tokens", window="day", hold="bounded"
    )
    served = await start()
    answers = await asyncio.gather(*(served.post(FIXED) for _ in range(8)))
    assert [answer.status_code for answer in answers].count(200) == 4
    await served.settled()
    # For a second the refusal is remembered with the figures that it had.
    while (used := told(await served.post(FIXED))["used"]) != 400:
        assert used == 0
        await asyncio.sleep(0.05)
    assert await window_of(aconn, quota.pk) == {"posted": 100, "overrun": 300, "drawn": 0}
    assert (await aconn.execute("SELECT 1 FROM route_suspension")).rowcount == 0


async def test_a_call_larger_than_a_quota_of_tokens_names_the_cap_that_fits(
    world: World, start: Start, provider: RunningProvider
) -> None:
    quota = {"unit": "output_tokens", "window": "day", "hold": "strict"}
    await in_django(world.add_quota, 60, **quota)
    await in_django(world.add_quota, 50, **quota, scope="project")
    served = await start()
    error = (await served.post(FIXED)).json()["error"]
    assert (error["code"], error["param"]) == ("hold_exceeds_limit", "max_tokens")
    assert "Set max_tokens to 50 or less." in error["message"]
    assert error["quota"]["scope"] == "project"
    assert provider.received()["total"] == 0
    assert (await served.post({**FIXED, "max_tokens": 50})).status_code == 200


async def test_an_input_larger_than_its_quota_is_told_to_be_shortened(
    world: World, start: Start
) -> None:
    await in_django(world.add_quota, 30, unit="input_tokens", window="day", hold="strict")
    served = await start()
    error = (await served.post(FIXED)).json()["error"]
    assert error["code"] == "hold_exceeds_limit"
    assert "Shorten the input." in error["message"]


async def test_a_shorter_answer_is_asked_for_where_the_whole_does_not_fit(
    world: World, start: Start, aconn: Connection, provider: RunningProvider
) -> None:
    quota = await in_django(world.add_quota, 2 * CENT + CENT // 4, clamp=True)
    served = await start()
    body = chat("demo-fixed-100", max_tokens=100)
    written = []
    for _ in range(3):
        written.append((await served.post(body)).json()["usage"]["completion_tokens"])
        await served.settled()
    assert written == [100, 100, 25]
    assert (await served.post(body)).status_code == 429
    assert provider.received()["total"] == 3
    assert (await window_of(aconn, quota.pk))["posted"] == 2 * CENT + CENT // 4


async def test_a_shorter_answer_fits_all_quotas_and_is_not_asked_for_where_one_forbids(
    world: World, start: Start, provider: RunningProvider
) -> None:
    tokens = {"unit": "output_tokens", "window": "day", "hold": "strict"}
    await in_django(world.add_quota, 40, clamp=True, **tokens)
    await in_django(world.add_quota, CENT // 2, clamp=True, scope="project")
    served = await start()
    answer = await served.post(chat("demo-fixed-100", max_tokens=100))
    assert answer.json()["usage"]["completion_tokens"] == 40
    await in_django(world.add_quota, CENT // 3, scope="organization")
    await until(lambda: len(served.process.quotas._entries) == 3)
    answer = await served.post(chat("demo-fixed-100", max_tokens=100))
    assert answer.json()["error"]["quota"]["scope"] == "organization"


async def test_a_shorter_answer_does_not_help_where_the_cap_does_not_bound_it(
    world: World, start: Start, provider: RunningProvider
) -> None:
    route = {"cap_bounds_reasoning": False}
    await in_django(world.add_model, "thinking", route=route, context_window=1000)
    await in_django(world.add_quota, 5 * CENT, clamp=True)
    served = await start()
    error = (await served.post(chat("thinking", max_tokens=10))).json()["error"]
    assert error["code"] == "hold_exceeds_limit"
    assert provider.received()["total"] == 0


async def test_requests_a_minute_are_refused_as_a_rate_and_told_when_to_come_back(
    world: World, start: Start
) -> None:
    await in_django(world.add_quota, 3, unit="requests", window="minute")
    served = await start()
    answers = [await served.post(FIXED) for _ in range(4)]
    if answers[-1].status_code == 200:  # A new minute began in between.
        answers += [await served.post(FIXED) for _ in range(3)]
    error = answers[-1].json()["error"]
    assert (error["type"], error["code"]) == ("requests", "rate_limit_exceeded")
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 60
    assert "x-should-retry" not in answers[-1].headers
    assert told(answers[-1])["window"] == "minute"


async def test_tokens_a_minute_are_refused_as_a_rate_of_tokens(world: World, start: Start) -> None:
    await in_django(world.add_quota, 150, unit="output_tokens", window="minute", hold="strict")
    served = await start()
    answers = await asyncio.gather(*(served.post(FIXED) for _ in range(4)))
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.json()["error"]["type"] == "tokens"


async def test_cost_a_minute_is_counted_in_the_database(
    world: World, start: Start, aconn: Connection
) -> None:
    quota = await in_django(world.add_quota, 1000 * CENT, window="minute")
    served = await start()
    assert await statuses(served, FIXED, calls=1) == [200]
    assert (await window_of(aconn, quota.pk))["posted"] == CENT


async def test_so_many_calls_run_at_once_and_no_more(
    world: World, start: Start, provider: RunningProvider
) -> None:
    await in_django(world.add_model, "demo-chunks-100-10")
    await in_django(world.add_quota, 2, unit="concurrency", window="none")
    served = await start()
    slow = chat("demo-chunks-100-10", max_tokens=100)
    running = [asyncio.create_task(served.post(slow)) for _ in range(2)]
    await until(lambda: provider.received()["total"] == 2)
    refused = await served.post(FIXED)
    assert refused.json()["error"]["code"] == "rate_limit_exceeded"
    assert "calls at once quota of key 'ci'" in refused.json()["error"]["message"]
    assert "retry-after" in refused.headers
    assert [(await each).status_code for each in running] == [200, 200]
    assert await statuses(served, FIXED, calls=3) == [200, 200, 200]


async def test_several_quotas_of_several_units_hold_together(
    world: World, start: Start, aconn: Connection, provider: RunningProvider
) -> None:
    def prepare() -> None:
        world.add_quota(50 * CENT, scope="organization", window="month")
        world.add_quota(1000, unit="requests", window="minute", scope="organization")
        world.add_quota(9, unit="requests", window="day", scope="project")
        world.add_quota(5000, unit="total_tokens", window="hour", scope="project", hold="bounded")
        world.add_quota(100, unit="concurrency", window="none")
        world.add_quota(7 * CENT)

    await in_django(prepare)
    served = await start()
    answers = await asyncio.gather(*(served.post(FIXED) for _ in range(15)))
    assert [answer.status_code for answer in answers].count(200) == 7
    assert provider.received()["total"] == 7
    await check_books(served, aconn, provider)


async def test_a_quota_of_a_member_holds_all_keys_of_theirs(world: World, start: Start) -> None:
    def prepare() -> list[str]:
        bob = world.organization.memberships.get(user__email="bob@example.org")
        world.add_quota(1, scope="member", scope_id=bob.pk, unit="requests", window="day")
        return [world.add_key(name, owner=bob).plaintext for name in ("laptop", "desk")]

    keys = await in_django(prepare)
    served = await start()
    answers = [await served.post(FIXED, key=key) for key in keys]
    assert [answer.status_code for answer in answers] == [200, 429]
    assert (told(answers[1])["scope"], told(answers[1])["name"]) == ("member", "you")
    assert (await served.post(FIXED)).status_code == 200


async def test_only_a_quota_of_cost_needs_a_price(world: World, start: Start) -> None:
    await in_django(world.add_model, "priceless", priced=False)
    await in_django(world.add_quota, 10, unit="requests", window="day")
    await in_django(world.add_quota, 10**6, unit="total_tokens", window="day", hold="bounded")
    served = await start()
    assert (await served.post(chat("priceless"))).status_code == 200
    await in_django(world.add_quota, 10**6, window="day", hold="bounded")
    await until(lambda: len(served.process.quotas._entries) == 3)
    assert (await served.post(chat("priceless"))).json()["error"]["code"] == "price_unknown"


@pytest.mark.parametrize(("hold", "status"), [("strict", 400), ("bounded", 200)])
async def test_only_strict_quotas_refuse_what_nothing_bounds(
    hold: str, status: int, world: World, start: Start
) -> None:
    await in_django(world.add_quota, 10**7, unit="total_tokens", window="day", hold=hold)
    served = await start()
    answer = await served.post(chat(web_search_options={}))
    assert answer.status_code == status


async def test_what_runs_without_a_bound_is_fine_where_only_requests_are_counted(
    world: World, start: Start
) -> None:
    await in_django(world.add_quota, 5, unit="requests", window="day")
    served = await start()
    assert (await served.post(chat(web_search_options={}))).status_code == 200


async def test_raised_and_ended_again_as_an_operator_says(world: World, start: Start) -> None:
    quota = await in_django(world.add_quota, 1, unit="requests", window="day")
    served = await start()
    assert await statuses(served, FIXED, calls=2) == [200, 429]
    ends_at = timezone.now() + timedelta(hours=1)
    raised = await in_django(raise_limit, quota, amount=1, ends_at=ends_at)
    await until(lambda: served.process.quotas._entries[quota.pk].rule.limit == 2)
    assert await statuses(served, FIXED, calls=1) == [200]
    assert told(await served.post(FIXED))["limit"] == 2
    await in_django(end_raise, raised)
    await until(lambda: served.process.quotas._entries[quota.pk].rule.limit == 1)
    assert told(await served.post(FIXED))["limit"] == 1
