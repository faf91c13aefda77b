"""What calls and keys are told of their limits: headers of answers and refusals, and /v1/me."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from billing.ledger.allowances import Allowances, Claim
from billing.ledger.bundles import Bundle
from billing.quotas import QuotaRule
from gateway.errors.limits import write_duration
from gateway.limits import find_shown, limit_headers
from tests.calls.serving import Served, early_in_a_minute, in_django, until
from tests.calls.world import CENT, World, chat

pytestmark = pytest.mark.django_db(transaction=True)
Start = Callable[[], Awaitable[Served]]

FIXED = chat("demo-fixed-20-100", max_tokens=100)
DAY = {"window": "day"}


@pytest.fixture
def world(world: World) -> World:
    world.add_model("demo-fixed-20-100")
    return world


def limits(answer: httpx2.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if "ratelimit" in name}


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_tells_what_is_left_of_requests_and_tokens(
    stream: bool, world: World, start: Start
) -> None:
    def prepare() -> None:
        world.add_quota(10, unit="requests", **DAY)
        world.add_quota(5000, unit="output_tokens", hold="strict", **DAY)
        world.add_quota(100 * CENT)

    await in_django(prepare)
    served = await start()
    told = limits(await served.post({**FIXED, "stream": stream}))
    assert told.pop("x-ratelimit-reset-requests") == told.pop("x-ratelimit-reset-tokens")
    assert told == {
        "x-ratelimit-limit-requests": "10",
        "x-ratelimit-remaining-requests": "9",
        "x-ratelimit-limit-tokens": "5000",
        "x-ratelimit-remaining-tokens": "4900",
    }


async def test_the_limit_that_has_least_left_speaks(world: World, start: Start) -> None:
    def prepare() -> None:
        world.add_quota(100, unit="requests", **DAY)
        world.add_quota(7, unit="requests", scope="project", window="lifetime")

    await in_django(prepare)
    served = await start()
    for left in ("6", "5"):
        told = limits(await served.post(FIXED))
        assert told == {
            "x-ratelimit-limit-requests": "7",
            "x-ratelimit-remaining-requests": left,
        }


async def test_without_limits_on_requests_or_tokens_nothing_is_told(
    world: World, start: Start
) -> None:
    await in_django(world.add_quota, 100 * CENT)
    await in_django(world.add_quota, None, unit="requests", **DAY)
    served = await start()
    assert limits(await served.post(FIXED)) == {}


async def test_a_refusal_tells_the_limit_in_the_headers_of_both_vendors(
    world: World, start: Start
) -> None:
    await in_django(world.add_quota, 1, unit="requests", **DAY)
    served = await start()
    await served.post(FIXED)
    told = limits(await served.post(FIXED))
    resets_at = datetime.fromisoformat(told.pop("anthropic-ratelimit-requests-reset"))
    assert timedelta() < resets_at - datetime.now(UTC) <= timedelta(hours=25)
    assert told.pop("x-ratelimit-reset-requests").endswith("s")
    assert told == {
        "x-ratelimit-limit-requests": "1",
        "x-ratelimit-remaining-requests": "0",
        "anthropic-ratelimit-requests-limit": "1",
        "anthropic-ratelimit-requests-remaining": "0",
    }


async def test_an_answer_that_was_shortened_says_to_how_much(world: World, start: Start) -> None:
    await in_django(world.add_quota, CENT // 2, clamp=True)
    served = await start()
    answer = await served.post(FIXED)
    assert answer.headers["x-tollgate-output-cap"] == "50"


async def me(served: Served) -> dict[str, dict[str, Any]]:
    quotas = (await served.client.get("/v1/me")).json()["quotas"]
    return {quota["unit"]: quota for quota in quotas}


async def test_a_key_sees_how_every_quota_stands_while_calls_run_and_after(
    world: World, start: Start
) -> None:
    def prepare() -> None:
        world.add_model("demo-chunks-30-10")
        world.add_quota(10, unit="requests", window="minute")
        world.add_quota(4, unit="concurrency", window="none")
        world.add_quota(1000, unit="output_tokens", hold="strict", **DAY)
        world.add_quota(None, unit="input_tokens", **DAY)
        world.add_quota(100 * CENT)

    await in_django(prepare)
    served = await start()
    await early_in_a_minute()
    running = asyncio.create_task(served.post(chat("demo-chunks-30-10", max_tokens=30)))
    await until(lambda: served.process.ledger.process.open_holds)
    told = await me(served)
    stands = {unit: (q["used"], q["held"], q["left"]) for unit, q in told.items()}
    assert stands == {
        "requests": (0, 1, 9),
        "concurrency": (0, 1, 3),
        "output_tokens": (0, 30, 970),
        "input_tokens": (0, 0, None),
        "cost": ("0.00", "0.003", "0.997"),
    }
    as_of = datetime.fromisoformat(told["cost"]["as_of"])
    assert abs(as_of - datetime.now(UTC)) < timedelta(seconds=30)
    assert (await running).status_code == 200
    await served.settled()
    stands = {unit: (q["used"], q["held"], q["left"]) for unit, q in (await me(served)).items()}
    assert stands["requests"] == (1, 0, 9)
    assert stands["concurrency"] == (0, 0, 4)
    assert stands["output_tokens"] == (30, 0, 970)
    assert stands["input_tokens"][0] > 0
    assert stands["cost"] == ("0.003", "0.00", "0.997")


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(0, "0ms"), (0.0125, "12ms"), (1, "1s"), (59.9, "59s"), (360, "6m0s"), (3661, "1h1m1s")],
)
def test_times_are_written_as_openai_does(seconds: float, written: str) -> None:
    assert write_duration(seconds) == written


def test_anthropics_callers_are_told_in_anthropics_way() -> None:
    left = {"requests": (100, 40), "input_tokens": (1000, 30), "total_tokens": (9, 7)}
    claims = [held(unit, *figures) for unit, figures in left.items()]
    shown = find_shown([window.rule for window, _ in claims], protocol="anthropic")
    found = dict(limit_headers(shown, claims, now=NOON.timestamp()))
    reset = b"2026-06-11T00:00:00Z"
    assert found == {
        b"anthropic-ratelimit-requests-limit": b"100",
        b"anthropic-ratelimit-requests-remaining": b"40",
        b"anthropic-ratelimit-requests-reset": reset,
        b"anthropic-ratelimit-tokens-limit": b"9",
        b"anthropic-ratelimit-tokens-remaining": b"7",
        b"anthropic-ratelimit-tokens-reset": reset,
        b"anthropic-ratelimit-input-tokens-limit": b"1000",
        b"anthropic-ratelimit-input-tokens-remaining": b"30",
        b"anthropic-ratelimit-input-tokens-reset": reset,
    }


NOON = datetime(2026, 6, 10, 12, tzinfo=UTC)


def held(unit: str, limit: int, left: int) -> Claim:
    """Return a claim on a day's window of which so much is left."""
    rule = QuotaRule(
        id=1,
        organization=1,
        scope="key",
        scope_id=1,
        model="",
        unit=unit,
        limit=limit,
        window="day",
        mode="enforce",
        hold="strict",
        clamp=False,
        ends_at=None,
        made_at=0.0,
    )
    (window,) = Allowances().find(Bundle([rule]), now=NOON.timestamp(), time_zone="UTC")
    window.left = left
    return window, 1
