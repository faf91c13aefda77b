"""OpenTelemetry: a span for each call and attempt, at a real collector, with nothing of content."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import psycopg
import pytest

from gateway.process import Configuration
from local.children import find_free_port
from tests.calls.collector import Collector, attributes, collecting
from tests.calls.serving import Served, in_django, serve
from tests.calls.world import CREDENTIAL, World, chat
from tests.ledger.making import one

pytestmark = pytest.mark.django_db(transaction=True)
CANARY = "canary-in-the-prompt"


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as found:
        yield found


async def trace(
    world: World, configuration: Configuration, collector: Collector, *bodies: Any
) -> list[str]:
    """Make calls at a gateway that traces, and end it, which sends what is left. Returns the ids
    of the calls."""
    traced = msgspec.structs.replace(configuration, otlp_endpoint=collector.url)
    ids = []
    async with serve(traced, key=world.key) as served:
        for body in bodies:
            ids.append((await served.post(body)).headers["x-request-id"])
        await served.settled()
    return ids


async def test_a_call_and_its_attempt_are_spans_of_one_trace(
    world: World,
    configuration: Configuration,
    collector: Collector,
    aconn: psycopg.AsyncConnection[Any],
) -> None:
    began = time.time_ns()
    [call_id] = await trace(world, configuration, collector, chat("demo-fixed-100"))
    assert set(collector.paths) == {"/v1/traces"}
    [call], [attempt] = collector.named("call"), collector.named("attempt")
    assert attempt.parent_span_id == call.span_id
    assert attempt.trace_id == call.trace_id
    assert call.parent_span_id == b""
    told = attributes(call)
    assert told["tollgate.call_id"] == call_id
    assert told["tollgate.key"] == world.issued.key.public_id
    assert told["tollgate.organization"] == world.organization.pk
    assert (told["tollgate.outcome"], told["gen_ai.request.model"]) == (
        "answered",
        "demo-fixed-100",
    )
    told = attributes(attempt)
    assert told["tollgate.attempt_id"] == str(await one(aconn, "SELECT id::text FROM usage_event"))
    assert told["gen_ai.usage.output_tokens"] == 100
    assert told["tollgate.cost_ticks"] == await one(aconn, "SELECT cost_ticks FROM usage_event")
    assert told["http.response.status_code"] == 200
    assert began <= call.start_time_unix_nano <= attempt.start_time_unix_nano
    assert attempt.end_time_unix_nano <= call.end_time_unix_nano <= time.time_ns()
    assert [event.name for event in attempt.events] == ["first byte"]


async def test_a_failed_attempt_is_an_error_and_the_next_one_a_sibling(
    world: World, configuration: Configuration, collector: Collector
) -> None:
    await in_django(world.add_model, "demo-reset")
    await trace(world, configuration, collector, chat("demo-reset"))
    attempts = collector.named("attempt")
    assert attempts
    assert {attempt.status.code for attempt in attempts} == {2}
    assert len({attempt.parent_span_id for attempt in attempts}) == 1


async def test_nothing_of_content_or_secrets_is_in_a_span(
    world: World, configuration: Configuration, collector: Collector
) -> None:
    body = chat("demo-echo", messages=[{"role": "user", "content": CANARY}])
    await trace(world, configuration, collector, body, {**body, "stream": True})
    assert len(collector.named("call")) == 2
    for secret in (CANARY, world.key, world.key[15:47], CREDENTIAL):
        assert secret.encode() not in collector.raw


async def test_refused_calls_leave_no_span(
    world: World, configuration: Configuration, collector: Collector
) -> None:
    await trace(world, configuration, collector, chat("no-such-model"))
    assert collector.spans == []


async def test_a_collector_that_is_away_costs_calls_nothing(
    world: World, configuration: Configuration
) -> None:
    away = f"http://127.0.0.1:{find_free_port()}"
    traced = msgspec.structs.replace(configuration, otlp_endpoint=away)
    async with serve(traced, key=world.key) as served:
        answers = await asyncio.gather(*(served.post(chat()) for _ in range(5)))
        assert {answer.status_code for answer in answers} == {200}
        await served.settled()
        ending = time.monotonic()
    # The promise: the end of a process waits three seconds for the collector, beside the rest.
    assert time.monotonic() - ending < 15


async def test_without_an_endpoint_there_is_no_tracing(start: Callable[..., Any]) -> None:
    served: Served = await start()
    assert served.process.tracing is None
