"""Streams of a provider that keeps to no grammar: every caller gets a proper end, and one fact."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
from typing import Any

import pytest

from tests.calls.books import Connection, event_of
from tests.calls.serving import Served, in_django
from tests.calls.surfaces import ENDPOINTS, ask
from tests.calls.world import World
from tests.gateway.sockets import Peer, serve
from tests.wire.translating import read_events

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
ENDS = {"[DONE]", "message_stop", "response.completed", "response.incomplete"}


def data(*values: Any) -> bytes:
    return b"".join(b"data: " + json.dumps(value).encode() + b"\n\n" for value in values)


def named(*values: Any) -> bytes:
    return b"".join(b"event: %b\n" % str(v.get("type")).encode() + data(v) for v in values)


def chunk(delta: Any, **fields: Any) -> dict[str, Any]:
    return {"id": "c", "choices": [{"index": 0, "delta": delta, **fields}]}


START = {"type": "message_start", "message": {"id": "m", "usage": {"input_tokens": 1}}}
STOP = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {}}
MIB = "x" * 2**20
COMMENT = b": only a comment\n\n"
STREAMS: dict[str, list[bytes]] = {
    "openai": [
        b"",
        b"data: {\n\n",
        b"\xff\xfe\n\n",
        b"data: [DONE]\n\n",
        COMMENT,
        data(5),
        data([]),
        data({"choices": 5}, {"choices": [5]}),
        data(chunk(5)),
        data(chunk({"content": 5})),
        data(chunk({"content": MIB})),
        data(chunk({"content": "a", "role": None}, finish_reason=5)),
        data(chunk({"tool_calls": [{"index": -1}, {"index": 10**9, "id": "x"}, {}]})),
        data(chunk({"tool_calls": [{"function": {"name": "f", "arguments": "{" * 2**20}}]})),
        data(chunk({}, finish_reason="stop"), {"usage": {"prompt_tokens": -1}}),
        data(chunk({}, finish_reason="stop")) * 3 + b"data: [DONE]\n\n" * 3,
        data({"error": "x"}) + data(chunk({"content": "after"})),
        b"data: " + b"[" * 100_000 + b"\n\n",
        b"data:" + b"x" * (9 * 2**20),
        data(chunk({"content": "cut"}))[:-9],
    ],
    "anthropic": [
        b"",
        named(STOP),
        named(START, START, STOP),
        named({"type": "message_stop"}),
        named(START, {"type": "content_block_delta", "index": 7, "delta": {"type": "text_delta"}}),
        named(START, {"type": "content_block_start", "index": 10**9, "content_block": 5}),
        named(START, {"type": "content_block_delta", "index": "a", "delta": []}),
        named({"type": "message_start", "message": []}, {"type": "error"}),
        named(START, {"type": "content_block_start", "content_block": {"type": "tool_use"}}, STOP),
        named(
            START,
            {"type": "content_block_delta", "delta": {"type": "text_delta", "text": MIB}},
            STOP,
        ),
        named(START, {"type": "never_heard_of"}, {"type": None}, STOP),
    ],
    "responses": [
        b"",
        named({"type": "response.completed"}),
        named({"type": "response.completed", "response": 5}),
        named({"type": "response.completed", "response": {"output": 5, "usage": 5}}),
        named({"type": "response.completed", "response": {}}) * 2,
        named({"type": "response.output_text.delta", "delta": 5}),
        named({"type": "response.output_text.delta", "delta": MIB}),
        named({"type": "response.output_item.added", "output_index": -1, "item": 5}),
        named({"type": "response.output_item.added", "item": {"type": "function_call"}}),
        named({"type": "response.function_call_arguments.delta", "output_index": 9, "delta": "x"}),
        named({"type": "response.failed", "response": {"error": {"message": "no"}}}),
        named({"type": "response.incomplete", "response": {"incomplete_details": {"reason": 5}}}),
        named({"type": "error"}, {"type": "response.completed", "response": {}}),
    ],
}
ROUTES: dict[str, dict[str, Any]] = {"responses": {"only_responses": True}}


async def check_end(served: Served, aconn: Connection, endpoint: str, name: str) -> None:
    """Ask for a stream; it ends in the caller's dialect, one way or the other."""
    async with asyncio.timeout(20):
        answer = await served.client.post(
            ENDPOINTS[endpoint], json=ask(endpoint, "hostile", stream=True)
        )
    assert answer.status_code in {200, 502}, answer.text[:300]
    if answer.status_code == 200:
        events = read_events(answer.content.replace(COMMENT, b""))
        has_ended = events[-1].get("type") in ENDS
        assert has_ended or events[-1]["error"]["message"], (name, events[-1])
        assert sum(event.get("type") in ENDS for event in events) == has_ended
    else:
        assert answer.json()["error"]["message"]
    await served.settled()
    assert await event_of(aconn, answer.headers["x-request-id"])
    assert served.process.ledger.process.open_holds == 0


@pytest.mark.parametrize("pair", list(itertools.product(STREAMS, ENDPOINTS)), ids="-".join)
async def test_every_caller_gets_a_proper_end(
    pair: tuple[str, str],
    world: World,
    start: Any,
    aconn: Connection,
    caplog: pytest.LogCaptureFixture,
) -> None:
    protocol, endpoint = pair
    sent = [b""]

    async def handler(peer: Peer) -> None:
        await peer.read_request()
        peer.write(HEAD + sent[0])
        await peer.writer.drain()
        peer.writer.close()

    async with serve(handler, limit=2**24) as raw:

        def prepare() -> None:
            spoken = "anthropic" if protocol == "anthropic" else "openai"
            hostile = world.add_provider("hostile", f"{raw.url}/v1", protocol=spoken)
            world.add_model("hostile", provider=hostile, route=ROUTES.get(protocol))

        await in_django(prepare)
        served = await start()
        for stream in STREAMS[protocol]:
            sent[0] = stream
            await check_end(served, aconn, endpoint, f"{protocol} {stream[:80]!r}")
    assert not [r for r in caplog.records if r.exc_info and r.levelno >= logging.ERROR]
