"""The usage that the demo provider reports: the honest figures of each model, and its lies."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from local.provider import DemoProvider
from local.provider.chat import count_prompt

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
Client = httpx2.AsyncClient


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    headers = {"authorization": "Bearer sk-demo", "anthropic-version": "2023-06-01"}
    async with (
        DemoProvider(pace_seconds=0) as provider,
        httpx2.AsyncClient(base_url=provider.url, headers=headers) as client,
    ):
        yield client


def body(model: str, **more: Any) -> dict[str, Any]:
    said = [{"role": "user", "content": "one two three four"}]
    return {"model": model, "max_tokens": 100, "messages": said, **more}


async def ask(client: Client, model: str, path: str = CHAT, **more: Any) -> Any:
    return (await client.post(path, json=body(model, **more))).json()


async def stream(client: Client, model: str, path: str = CHAT, **more: Any) -> list[Any]:
    """The payloads of the stream's events, with usage asked for."""
    if path == CHAT:
        more["stream_options"] = {"include_usage": True}
    response = await client.post(path, json=body(model, stream=True, **more))
    lines = [line[6:] for line in response.text.splitlines() if line.startswith("data: {")]
    return [json.loads(line) for line in lines]


async def test_half_of_a_cached_prompt_was_cached(client: Client) -> None:
    openai = (await ask(client, "demo-cached"))["usage"]
    anthropic = (await ask(client, "demo-cached", MESSAGES))["usage"]
    assert openai["prompt_tokens"] == 4
    assert openai["prompt_tokens_details"]["cached_tokens"] == 2
    assert (anthropic["input_tokens"], anthropic["cache_read_input_tokens"]) == (2, 2)


async def test_reasoning_is_inside_the_completion_and_its_cap(client: Client) -> None:
    usage = (await ask(client, "demo-reasoning-30", max_tokens=40))["usage"]
    assert usage["completion_tokens"] == 40
    assert usage["completion_tokens_details"]["reasoning_tokens"] == 30
    assert usage["total_tokens"] == 44


async def test_a_cap_can_leave_nothing_but_reasoning(client: Client) -> None:
    answer = await ask(client, "demo-reasoning", max_tokens=10)
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["choices"][0]["message"]["content"] == ""
    assert answer["usage"]["completion_tokens"] == 10


@pytest.mark.parametrize("streamed", [True, False])
async def test_xai_counts_reasoning_outside_and_gives_the_cost(
    client: Client, streamed: bool
) -> None:
    model = "demo-reasoning-outside"
    usage = ((await stream(client, model))[-1] if streamed else await ask(client, model))["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (32, 9)
    assert usage["completion_tokens_details"]["reasoning_tokens"] == 94
    assert usage["total_tokens"] == 135
    assert usage["cost_in_usd_ticks"] == 32 * 30_000 + (9 + 94) * 150_000


async def test_cumulative_usage_stands_on_every_chunk(client: Client) -> None:
    events = await stream(client, "demo-cumulative-usage")
    counted = [event["usage"]["completion_tokens"] for event in events]
    assert counted == sorted(counted)
    assert counted[0] == 0
    reasons = [event["choices"][0]["finish_reason"] for event in events]
    assert (set(reasons[:-1]), reasons[-1]) == ({""}, "stop")
    whole = await ask(client, "demo-cumulative-usage")
    assert counted[-1] == whole["usage"]["completion_tokens"]


async def test_fixed_usage_is_as_the_name_says_up_to_the_cap(client: Client) -> None:
    assert (await ask(client, "demo-fixed-70"))["usage"]["completion_tokens"] == 70
    assert (await ask(client, "demo-fixed"))["usage"]["completion_tokens"] == 1
    both = (await ask(client, "demo-fixed-2000-70"))["usage"]
    assert (both["prompt_tokens"], both["completion_tokens"]) == (2000, 70)
    assert (await ask(client, "demo-fixed-500"))["usage"]["completion_tokens"] == 100
    streamed = await stream(client, "demo-fixed-70")
    assert streamed[-1]["usage"]["completion_tokens"] == 70
    assert len(streamed) <= 64 + 3


async def test_bench_usage_is_sixteen_and_sixteen(client: Client) -> None:
    first, second = await ask(client, "bench-instant"), await ask(client, "bench-instant")
    assert first["usage"]["total_tokens"] == 32
    assert first["id"] != second["id"]
    assert {event["id"] for event in await stream(client, "bench-instant")} != {first["id"]}


@pytest.mark.parametrize("path", [CHAT, MESSAGES])
async def test_usage_is_left_out_or_null(client: Client, path: str) -> None:
    assert "usage" not in await ask(client, "demo-no-usage", path)
    assert (await ask(client, "demo-null-usage", path))["usage"] is None
    events = await stream(client, "demo-no-usage", path)
    assert not any(event.get("usage") for event in events)
    assert not any("usage" in event.get("message", {}) for event in events)


@pytest.mark.parametrize(
    ("model", "figure"),
    [("demo-usage-strings", "4"), ("demo-usage-negative", -4), ("demo-usage-huge", 2**63)],
)
async def test_figures_are_bent_in_both_dialects(client: Client, model: str, figure: Any) -> None:
    assert (await ask(client, model))["usage"]["prompt_tokens"] == figure
    assert (await ask(client, model, MESSAGES))["usage"]["input_tokens"] == figure
    assert (await stream(client, model))[-1]["usage"]["prompt_tokens"] == figure


async def test_usage_above_the_cap_is_ten_times_the_cap(client: Client) -> None:
    openai = (await ask(client, "demo-usage-above-cap"))["usage"]
    anthropic = (await ask(client, "demo-usage-above-cap", MESSAGES))["usage"]
    assert (openai["completion_tokens"], openai["total_tokens"]) == (1000, 1004)
    assert anthropic["output_tokens"] == 1000


async def test_parts_and_total_disagree_by_seven(client: Client) -> None:
    usage = (await ask(client, "demo-usage-mismatch"))["usage"]
    parts = usage["prompt_tokens"] + usage["completion_tokens"]
    assert usage["total_tokens"] == parts + 7


async def test_usage_comes_twice(client: Client) -> None:
    response = await client.post(CHAT, json=body("demo-usage-twice"))
    assert response.text.count('"usage":') == 2
    events = await stream(client, "demo-usage-twice")
    assert len([event for event in events if event["usage"]]) == 2
    deltas = await stream(client, "demo-usage-twice", MESSAGES)
    assert [event["type"] for event in deltas].count("message_delta") == 2


async def test_a_prompt_of_parts_tools_and_calls_is_counted_whole(client: Client) -> None:
    said: list[Any] = [
        {"role": "system", "content": "be kind"},
        {"role": "user", "content": [{"type": "text", "text": "a b"}, {"type": "image_url"}]},
        {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{} x"}}]},
        {"role": "tool", "content": "done"},
    ]
    usage = (await ask(client, "gpt-4o", messages=said))["usage"]
    assert usage["prompt_tokens"] == count_prompt({"messages": said}) == 2 + 2 + 85 + 3 + 1
