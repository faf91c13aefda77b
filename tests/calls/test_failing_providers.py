"""What callers are told when their provider refuses, fails or breaks off, and what the fact says.

Refusals are billed by nobody. Whatever may have been worked on stays charged: at what was seen of
an answer that had begun, and else at all that was held.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, NamedTuple

import pytest

from local.provider import RunningProvider
from local.provider.errors import OPERATOR_ORGANIZATION, OPERATOR_TEAM
from tests.calls.books import Connection, check_books, event_of
from tests.calls.serving import Served, in_django
from tests.calls.world import CREDENTIAL, World, chat

pytestmark = pytest.mark.django_db(transaction=True)
Start = Callable[[], Awaitable[Served]]

OPERATORS = (OPERATOR_ORGANIZATION, OPERATOR_TEAM, "proj_operator", CREDENTIAL, "credit", "billing")
SHORT = {"first_byte_timeout_ms": 2_000, "idle_timeout_ms": 2_000}


class Told(NamedTuple):
    """The status and code that a caller was given, the outcome of the fact, and what it costs."""

    status: int
    code: str | None
    outcome: str
    cost: str


class Shown(NamedTuple):
    """How a stream ended that had begun, the outcome of the fact, and what it costs."""

    end: str
    outcome: str
    cost: str


OF_THE_OPERATOR = Told(502, "upstream_error", "upstream_refused", "nothing")
REFUSED = {
    "demo-401": OF_THE_OPERATOR,
    "demo-402": OF_THE_OPERATOR,
    "demo-403": OF_THE_OPERATOR,
    "demo-400-xai": OF_THE_OPERATOR,
    "demo-429-quota": OF_THE_OPERATOR,
    "demo-400": Told(400, "upstream_refused", "upstream_refused", "nothing"),
    "demo-404": Told(404, "model_not_found", "upstream_refused", "nothing"),
    "demo-413": Told(413, "request_too_large", "upstream_refused", "nothing"),
    "demo-422": Told(422, "upstream_refused", "upstream_refused", "nothing"),
    "demo-429": Told(429, "rate_limit_exceeded", "upstream_refused", "nothing"),
    "demo-500": Told(500, "upstream_error", "upstream_failed", "nothing"),
    "demo-503": Told(503, "upstream_error", "upstream_failed", "nothing"),
    "demo-529": Told(503, "upstream_error", "upstream_failed", "nothing"),
}
FAILED = Told(502, "upstream_error", "upstream_failed", "hold")
TIMED_OUT = Told(504, "upstream_timeout", "upstream_timeout", "hold")
NO_ANSWERS = {
    "demo-html": FAILED,
    "demo-html-502": FAILED,
    "demo-garbage": FAILED,
    "demo-redirect": FAILED,
    "demo-gzip": FAILED,
    "demo-reset": FAILED,
    "demo-slow-5s": TIMED_OUT,
}
HALF_ANSWERS = {
    "demo-reset-midstream": FAILED,
    "demo-cut-midstream": FAILED,
    "demo-error-in-stream": FAILED,
    "demo-stall": TIMED_OUT,
}
HALF_STREAMS = {
    "demo-reset-midstream": Shown("upstream_error", "answered_partial", "seen"),
    "demo-cut-midstream": Shown("upstream_error", "answered_partial", "seen"),
    "demo-error-in-stream": Shown("upstream_error", "answered_partial", "seen"),
    "demo-stall": Shown("upstream_timeout", "answered_partial", "seen"),
    "demo-no-done": Shown("[DONE]", "answered", "seen"),
    "demo-no-usage": Shown("[DONE]", "answered", "hold"),
}


async def ask(served: Served, model: str, *, stream: bool) -> Any:
    answer = await served.post(chat(model, stream=stream, max_tokens=500))
    assert not any(word in answer.text for word in OPERATORS), answer.text
    await served.settled()
    return answer


async def tell(served: Served, aconn: Connection, models: Iterable[str], *, stream: bool) -> Any:
    """Ask every model; what was told of each."""
    found = {}
    for model in models:
        answer = await ask(served, model, stream=stream)
        event = await event_of(aconn, answer.headers["x-request-id"])
        code = answer.json()["error"]["code"]
        found[model] = Told(answer.status_code, code, event["outcome"], name_cost(event))
    return found


def name_cost(event: dict[str, Any]) -> str:
    if event["cost_ticks"] == event["held_ticks"]:
        return "hold"
    return "seen" if event["cost_ticks"] else "nothing"


async def make(world: World, models: Iterable[str], **route: int) -> None:
    def add() -> None:
        for model in models:
            world.add_model(model, route=route)
        world.add_quota(10**12)

    await in_django(add)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_a_refusal_keeps_its_class_unless_it_is_about_the_operator_and_costs_nothing(
    world: World, start: Start, aconn: Connection, provider: RunningProvider, stream: bool
) -> None:
    await make(world, REFUSED)
    served = await start()
    assert await tell(served, aconn, REFUSED, stream=stream) == REFUSED
    await check_books(served, aconn, provider)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_no_answer_at_all_is_a_plain_502_or_504_and_stays_at_its_hold(
    world: World, start: Start, aconn: Connection, provider: RunningProvider, stream: bool
) -> None:
    await make(world, NO_ANSWERS, **SHORT)
    served = await start()
    assert await tell(served, aconn, NO_ANSWERS, stream=stream) == NO_ANSWERS
    await check_books(served, aconn, provider)


async def test_half_of_an_answer_in_one_piece_is_none(
    world: World, start: Start, aconn: Connection, provider: RunningProvider
) -> None:
    await make(world, HALF_ANSWERS, **SHORT)
    served = await start()
    assert await tell(served, aconn, HALF_ANSWERS, stream=False) == HALF_ANSWERS
    await check_books(served, aconn, provider)


async def test_a_stream_that_breaks_off_says_so_and_costs_what_was_seen(
    world: World, start: Start, aconn: Connection, provider: RunningProvider
) -> None:
    await make(world, HALF_STREAMS, **SHORT)
    served = await start()
    found = {}
    for model in HALF_STREAMS:
        answer = await ask(served, model, stream=True)
        assert answer.status_code == 200
        event = await event_of(aconn, answer.headers["x-request-id"])
        found[model] = Shown(read_end(answer.text), event["outcome"], name_cost(event))
    assert found == HALF_STREAMS
    await check_books(served, aconn, provider)


def read_end(stream: str) -> str:
    """The last event: [DONE], or the code of an error."""
    last = stream.removesuffix("\n\n").rpartition("data: ")[2]
    return last if last == "[DONE]" else str(json.loads(last)["error"]["code"])


async def test_a_refused_connection_is_no_attempt_and_holds_nothing(
    world: World, start: Start, aconn: Connection, provider: RunningProvider
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/v1"

    def add() -> None:
        world.add_model("nowhere", provider=world.add_provider("nowhere", url))
        world.add_quota(10**12)

    await in_django(add)
    served = await start()
    answer = await served.post(chat("nowhere"))
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_error")
    assert url not in answer.text
    await check_books(served, aconn, provider)


async def test_the_operators_log_says_what_the_caller_is_not_told(
    world: World, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    await make(world, ["demo-402"])
    served = await start()
    answer = await ask(served, "demo-402", stream=False)
    line = next(m for m in caplog.messages if "answered 402" in m)
    assert answer.headers["x-request-id"] in line
    assert answer.headers["x-request-id"] in answer.json()["error"]["message"]
    assert "credit balance" in line
    assert answer.headers["x-should-retry"] == "false"
