"""Cost quotas: what fits passes, what does not is refused before it leaves and told why."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import openai
import pytest
from django.conf import settings

from billing.models import Quota
from local.provider import RunningProvider
from tests.calls.books import Connection, check_books, event_of, window_of
from tests.calls.serving import Served, in_django, until
from tests.calls.world import CENT, OUTPUT_TICKS, World, chat

pytestmark = pytest.mark.django_db(transaction=True)
Start = Callable[[], Awaitable[Served]]

# Reserves and costs exactly a cent.
A_CENT = chat("demo-fixed-100", max_tokens=100)


@pytest.mark.parametrize("scope", ["key", "project", "organization"])
async def test_what_fits_exactly_passes_and_the_next_call_is_told_why_not(
    scope: str, world: World, start: Start, aconn: Connection, provider: RunningProvider
) -> None:
    quota = await in_django(world.add_quota, 2 * CENT, scope=scope)
    served = await start()
    answers = [await served.post(A_CENT) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    told = answers[2].json()["error"]["quota"]
    names = {"key": "ci", "project": "default", "organization": "acme"}
    assert (told["scope"], told["name"]) == (scope, names[scope])
    await check_books(served, aconn, provider)
    expected = {"posted": 2 * CENT, "overrun": 0, "drawn": 0}
    assert await window_of(aconn, quota.pk) == expected


async def test_a_refusal_explains_itself(world: World, start: Start) -> None:
    await in_django(world.add_quota, 2 * CENT + 1)
    served = await start()
    for _ in range(2):
        await served.post(A_CENT)
    await served.settled()
    answer = await served.post(A_CENT)
    error = answer.json()["error"]
    assert (answer.status_code, error["type"]) == (429, "insufficient_quota")
    assert (error["code"], error["param"]) == ("insufficient_quota", None)
    assert answer.headers["x-should-retry"] == "false"
    assert "retry-after" not in answer.headers
    call_id = answer.headers["x-request-id"]
    assert error["message"] == (
        "The lifetime cost quota of key 'ci' has no room for this call: limit $0.0200000001, "
        "used $0.02, held by running calls $0.00, needed at most $0.01. It does not reset. "
        "It can be raised by an owner or admin of the organization. Ask for more at "
        f"{error['quota']['ask_at']} (call {call_id})"
    )
    quota = error["quota"]
    quota_id = (await in_django(Quota.objects.get)).pk
    assert quota["ask_at"] == f"{settings.PUBLIC_URL}/limits/{quota_id}"
    assert (quota["unit"], quota["window"], quota["resets_at"]) == ("cost", "lifetime", None)
    assert (quota["limit"], quota["used"], quota["needed"]) == ("0.0200000001", "0.02", "0.01")


async def test_what_runs_is_told_as_held(world: World, start: Start) -> None:
    await in_django(world.add_model, "demo-chunks-50-10")
    await in_django(world.add_quota, CENT)
    served = await start()
    running = asyncio.create_task(served.post(chat("demo-chunks-50-10", max_tokens=100)))
    await until(lambda: served.process.ledger.process.open_holds)
    refused = (await served.post(A_CENT)).json()["error"]["quota"]
    assert (refused["used"], refused["held"]) == ("0.00", "0.01")
    assert (await running).status_code == 200


async def test_openais_client_raises_once_and_does_not_retry(
    world: World, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "gateway.asgi")
    await in_django(world.add_quota, CENT)
    served = await start()
    await served.post(A_CENT)
    async with openai.AsyncOpenAI(base_url=f"{served.url}/v1", api_key=world.key) as client:
        with pytest.raises(openai.RateLimitError) as raised:
            await client.chat.completions.create(**A_CENT)
    assert raised.value.code == "insufficient_quota"
    assert sum("refused: 429" in record.getMessage() for record in caplog.records) == 1


@pytest.mark.parametrize(("input_ticks", "output_ticks"), [(0, OUTPUT_TICKS), (0, 0)])
async def test_a_limit_of_zero_refuses_everything(
    input_ticks: int, output_ticks: int, world: World, start: Start, provider: RunningProvider
) -> None:
    await in_django(world.add_model, "any", priced=False)
    await in_django(world.add_price, "any", input=input_ticks, output=output_ticks)
    await in_django(world.add_quota, 0)
    served = await start()
    answer = await served.post(chat("any"))
    assert answer.status_code == 429
    assert answer.json()["error"]["quota"]["limit"] == "0.00"
    assert provider.received()["total"] == 0


@pytest.mark.parametrize("cap", ["max_tokens", "max_completion_tokens"])
async def test_a_hold_above_the_limit_names_the_cap_that_fits_and_it_does(
    cap: str, world: World, start: Start, provider: RunningProvider
) -> None:
    await in_django(world.add_model, "dear", input=7, priced=True)
    await in_django(world.add_quota, CENT)
    served = await start()
    error = (await served.post(chat("dear", **{cap: 5000}))).json()["error"]
    assert (error["code"], error["param"]) == ("hold_exceeds_limit", cap)
    # They were 0.00, whatever had been used: nobody looks at the window of what can never fit.
    assert (error["quota"]["used"], error["quota"]["held"]) == (None, None)
    largest = int(error["message"].partition(f"Set {cap} to ")[2].partition(" ")[0])
    assert (await served.post(chat("dear", **{cap: largest + 1}))).status_code == 400
    assert provider.received()["total"] == 0
    assert (await served.post(chat("dear", **{cap: largest}))).status_code == 200


async def test_the_cap_that_fits_fits_every_quota_and_every_route(
    world: World, start: Start
) -> None:
    def prepare() -> None:
        model = world.add_model("two-ways", priced=False)
        other = world.add_route(model, world.add_provider("other"))
        world.add_price("two-ways", provider="local", input=0, output=OUTPUT_TICKS)
        world.add_price("two-ways", provider=other.name, input=80_000, output=OUTPUT_TICKS // 2)
        world.add_quota(CENT, scope="organization")
        world.add_quota(CENT // 2)

    await in_django(prepare)
    served = await start()
    error = (await served.post(chat("two-ways", max_tokens=5000))).json()["error"]
    largest = int(error["message"].partition("Set max_tokens to ")[2].partition(" ")[0])
    assert (await served.post(chat("two-ways", max_tokens=largest + 1))).status_code == 400
    assert (await served.post(chat("two-ways", max_tokens=largest))).status_code == 200


async def test_a_call_of_which_not_even_one_token_fits_is_told_so(
    world: World, start: Start
) -> None:
    await in_django(world.add_quota, OUTPUT_TICKS - 1)
    served = await start()
    error = (await served.post(chat(max_tokens=1))).json()["error"]
    assert error["code"] == "hold_exceeds_limit"
    assert "Not even the shortest answer" in error["message"]


def with_part(**part: Any) -> dict[str, Any]:
    return chat(messages=[{"role": "user", "content": [{"type": "text", "text": "?"}, part]}])


UNBOUNDED = {
    "messages[0].content[1]": with_part(
        type="image_url", image_url={"url": "https://example.org/a.png"}
    ),
    "tools[0]": chat(tools=[{"type": "web_search"}]),
    "web_search_options": chat(web_search_options={}),
    "search_parameters": chat(search_parameters={"mode": "auto"}),
    "deferred": chat(deferred=True),
    "service_tier": chat(service_tier="priority"),
    "modalities": chat(modalities=["text", "image"]),
    "prediction": chat(prediction={"type": "content", "content": "x"}),
}


async def test_what_nothing_bounds_is_refused_by_its_field(
    world: World, start: Start, provider: RunningProvider
) -> None:
    await in_django(world.add_quota, 1000 * CENT)
    served = await start()
    for field, body in UNBOUNDED.items():
        answer = await served.post(body)
        error = answer.json()["error"]
        told = (answer.status_code, error["code"], error["param"])
        assert told == (400, "unbounded_feature", field)
    assert provider.received()["total"] == 0


async def test_without_a_strict_quota_nothing_is_refused_for_its_bound(
    world: World, start: Start
) -> None:
    await in_django(world.add_quota, None)
    served = await start()
    for field, body in UNBOUNDED.items():
        answer = await served.post(body)
        assert answer.status_code == 200, (field, answer.text)


async def test_a_cost_quota_needs_a_price(
    world: World, start: Start, provider: RunningProvider
) -> None:
    await in_django(world.add_model, "priceless", priced=False)
    await in_django(world.add_quota, CENT)
    served = await start()
    answer = await served.post(chat("priceless"))
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "price_unknown")
    assert answer.headers["x-should-retry"] == "false"
    assert provider.received()["total"] == 0


async def test_without_a_cost_quota_a_model_without_price_is_metered_all_the_same(
    world: World, start: Start, aconn: Connection
) -> None:
    await in_django(world.add_model, "priceless", priced=False)
    served = await start()
    answer = await served.post(chat("priceless"))
    await served.settled()
    event = await event_of(aconn, answer.headers["x-request-id"])
    assert (event["cost_ticks"], event["price_version"]) == (0, None)
    assert event["output"] == answer.json()["usage"]["completion_tokens"]


@pytest.mark.parametrize("fields", [{"limit": None}, {"limit": CENT, "mode": "observe"}])
async def test_a_quota_that_only_counts_refuses_nothing_and_counts_all(
    fields: dict[str, Any], world: World, start: Start, aconn: Connection, provider: RunningProvider
) -> None:
    quota = await in_django(world.add_quota, **fields)
    served = await start()
    for _ in range(3):
        assert (await served.post(A_CENT)).status_code == 200
    await served.settled()
    assert (await window_of(aconn, quota.pk))["posted"] == 3 * CENT


async def test_of_sixty_calls_at_once_fifty_pass(
    world: World, start: Start, aconn: Connection, provider: RunningProvider
) -> None:
    quota = await in_django(world.add_quota, 50 * CENT)
    served = await start()
    answers = await asyncio.gather(*(served.post(A_CENT) for _ in range(60)))
    statuses = [answer.status_code for answer in answers]
    assert (statuses.count(200), statuses.count(429)) == (50, 10)
    assert provider.received()["total"] == 50
    await check_books(served, aconn, provider)
    expected = {"posted": 50 * CENT, "overrun": 0, "drawn": 0}
    assert await window_of(aconn, quota.pk) == expected


async def test_two_processes_do_not_pass_more_than_one(
    world: World, start: Start, aconn: Connection, provider: RunningProvider
) -> None:
    quota = await in_django(world.add_quota, 20 * CENT)
    both = [await start(), await start()]
    answers = await asyncio.gather(*(both[n % 2].post(A_CENT) for n in range(30)))
    assert [answer.status_code for answer in answers].count(200) == 20
    assert provider.received()["total"] == 20
    for served in both:
        await served.settled()
    assert (await window_of(aconn, quota.pk))["posted"] == 20 * CENT


async def test_of_several_quotas_all_are_held_or_none(
    world: World, start: Start, aconn: Connection, provider: RunningProvider
) -> None:
    def prepare() -> list[int]:
        limits = {"key": 9, "project": 5, "organization": 7}
        return [world.add_quota(n * CENT, scope=scope).pk for scope, n in limits.items()]

    quotas = await in_django(prepare)
    served = await start()
    answers = await asyncio.gather(*(served.post(A_CENT) for _ in range(12)))
    assert [answer.status_code for answer in answers].count(200) == 5
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.json()["error"]["quota"]["scope"] == "project"
    await check_books(served, aconn, provider)
    expected = {"posted": 5 * CENT, "overrun": 0, "drawn": 0}
    assert [await window_of(aconn, quota) for quota in quotas] == [expected] * 3


async def test_a_month_begins_and_ends_at_midnight_in_the_organizations_zone(
    world: World, start: Start, aconn: Connection
) -> None:
    await in_django(world.add_quota, CENT, window="month", scope="project")
    served = await start()
    await served.post(A_CENT)
    answer = await served.post(A_CENT)
    told = answer.json()["error"]["quota"]
    now = datetime.now(ZoneInfo("Europe/Berlin"))
    first = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    after = first.replace(year=now.year + now.month // 12, month=now.month % 12 + 1)
    assert (told["time_zone"], told["resets_at"]) == ("Europe/Berlin", after.isoformat())
    left_seconds = (after.astimezone(UTC) - now.astimezone(UTC)).total_seconds()
    assert abs(int(answer.headers["retry-after"]) - left_seconds) < 5
    cursor = await aconn.execute("SELECT starts_at, ends_at FROM quota_window")
    assert await cursor.fetchall() == [(first, after)]


async def test_a_quota_for_one_model_leaves_the_others_alone(world: World, start: Start) -> None:
    await in_django(world.add_quota, 0, model="gpt-4o")
    served = await start()
    assert (await served.post(A_CENT)).status_code == 200
    refused = await served.post(chat(max_tokens=5))
    assert refused.json()["error"]["quota"]["model"] == "gpt-4o"


async def test_a_cost_above_its_hold_is_recorded_whole_and_told_to_the_operator(
    world: World,
    start: Start,
    aconn: Connection,
    provider: RunningProvider,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await in_django(world.add_model, "demo-usage-above-cap")
    quota = await in_django(world.add_quota, 2 * CENT)
    served = await start()
    answer = await served.post(chat("demo-usage-above-cap", max_tokens=100))
    await check_books(served, aconn, provider)
    event = await event_of(aconn, answer.headers["x-request-id"])
    assert (event["held_ticks"], event["cost_ticks"]) == (CENT, 10 * CENT)
    expected = {"posted": CENT, "overrun": 9 * CENT, "drawn": 0}
    assert await window_of(aconn, quota.pk) == expected
    assert (await served.post(A_CENT)).status_code == 429
    assert any("more than was held" in r.getMessage() for r in caplog.records)


async def test_a_lowered_limit_lets_what_runs_finish_and_refuses_what_is_new(
    world: World, start: Start, aconn: Connection, provider: RunningProvider
) -> None:
    await in_django(world.add_model, "demo-chunks-50-10")
    quota = await in_django(world.add_quota, 5 * CENT)
    served = await start()
    running = asyncio.create_task(served.post(chat("demo-chunks-50-10", max_tokens=100)))
    await until(lambda: served.process.ledger.process.open_holds)
    await aconn.execute('UPDATE quota SET "limit" = 1 WHERE id = %s', [quota.pk])
    assert (await served.post(A_CENT)).status_code in {400, 429}
    assert (await running).status_code == 200
    await served.settled()
    assert (await window_of(aconn, quota.pk))["posted"] == 50 * OUTPUT_TICKS
