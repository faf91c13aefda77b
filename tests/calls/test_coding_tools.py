"""What coding tools send is answered by every kind of provider, and metered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psycopg
import pytest

from local.provider import RunningProvider
from tests.calls.books import check_books, event_of
from tests.calls.serving import in_django
from tests.calls.surfaces import KINDS, add_kinds
from tests.calls.world import World
from tests.wire.translating import (
    read_completion,
    read_events,
    read_message,
    read_response,
)

pytestmark = pytest.mark.django_db(transaction=True)
Connection = psycopg.AsyncConnection[Any]

FOLDER = Path(__file__).parents[1] / "wire" / "requests"
REQUESTS = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}
READERS: dict[str, Any] = {
    "messages": read_message,
    "responses": read_response,
    "chat/completions": read_completion,
    "completions": read_events,
}


@pytest.mark.parametrize("name", REQUESTS)
async def test_a_request_of_a_coding_tool_is_answered_by_every_kind_of_provider(
    name: str, world: World, start: Any, aconn: Connection, provider: RunningProvider
) -> None:
    sent = REQUESTS[name]
    await in_django(add_kinds, world, "claude-sonnet-4-5")
    served = await start()
    for model in KINDS.values():
        headers = dict(sent["headers"])
        if "idempotency-key" in headers:  # One key is for one call.
            headers["idempotency-key"] += f"-{model}"
        answer = await served.client.post(
            sent["path"], json={"model": model, **sent["body"]}, headers=headers
        )
        assert answer.status_code == 200, (model, answer.text)
        endpoint = sent["path"].removeprefix("/v1/").partition("?")[0]
        assert READERS[endpoint](answer.content)
        await served.settled()
        event = await event_of(aconn, answer.headers["x-request-id"])
        assert (event["outcome"], event["usage_source"]) == ("answered", "reported")
        assert event["output"] > 0
    await check_books(served, aconn, provider)


@pytest.mark.parametrize("name", ["terminal-agent", "adaptive-agent", "title-of-a-session"])
async def test_a_tool_that_counts_first_is_told_a_number(
    name: str, world: World, start: Any
) -> None:
    await in_django(add_kinds, world)
    served = await start()
    asked = {
        field: value
        for field, value in REQUESTS[name]["body"].items()
        if field in {"messages", "system", "tools", "thinking"}
    }
    for model in KINDS.values():
        answer = await served.client.post(
            "/v1/messages/count_tokens?beta=true", json={"model": model, **asked}
        )
        assert answer.json()["input_tokens"] > 5


async def test_a_prompt_of_two_hundred_kilobytes_passes_and_is_translated(
    world: World, start: Any, aconn: Connection, provider: RunningProvider
) -> None:
    await in_django(add_kinds, world)
    served = await start()
    words = "This line stands in a very long file.\n" * 5300
    assert len(words) > 200_000
    body = {"max_tokens": 50, "messages": [{"role": "user", "content": words}]}
    for path in ("/v1/messages", "/v1/chat/completions"):
        for model in KINDS.values():
            answer = await served.client.post(path, json={"model": model, **body})
            assert answer.status_code == 200, answer.text
    await check_books(served, aconn, provider)


@pytest.mark.parametrize(
    ("name", "kind", "field"),
    [
        ("patching-agent", "openai+responses", "input[3]"),
        ("adaptive-agent", "anthropic", "tools[2]"),
    ],
)
async def test_a_strict_quota_refuses_hosted_tools_only_where_they_would_be_sent(
    name: str, kind: str, field: str, world: World, start: Any
) -> None:
    """What translation leaves out costs nothing; it was refused as if it had been sent."""

    def prepare() -> None:
        add_kinds(world, "claude-sonnet-4-5")
        world.add_quota(10**13)

    await in_django(prepare)
    served = await start()
    sent = REQUESTS[name]
    for each, model in KINDS.items():
        passes = each == kind or (each == "openai+only-responses" and kind == "openai+responses")
        answer = await served.client.post(
            sent["path"], json={"model": model, **sent["body"]}, headers=sent["headers"]
        )
        assert answer.status_code == (400 if passes else 200), (model, answer.text)
        assert passes == (field in answer.text)
