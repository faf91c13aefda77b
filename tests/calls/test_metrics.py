"""/metrics over real sockets: parsed as Prometheus does, and true of what was called."""

from __future__ import annotations

import asyncio
import ipaddress
import math
import re
from collections.abc import Callable
from typing import Any

import httpx2
import msgspec
import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from gateway.metrics import ADDED_EDGES, UPSTREAM_EDGES
from gateway.process import Configuration
from tests.calls.serving import Served, in_django, until
from tests.calls.world import CENT, World, chat
from tests.house.tracked import ROOT

pytestmark = pytest.mark.django_db(transaction=True)
LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)
GUIDE = ROOT / "docs" / "guides" / "operating.md"


@pytest.fixture
def configuration(configuration: Configuration) -> Configuration:
    return msgspec.structs.replace(
        configuration, metrics_allowed_networks=LOOPBACK, version="1.2.3"
    )


async def scrape(served: Served) -> dict[str, Metric]:
    answer = await served.client.get("/metrics", headers={"authorization": ""})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return {family.name: family for family in text_string_to_metric_families(answer.text)}


def value(families: dict[str, Metric], name: str, **labels: str) -> float:
    """Return one sample of a family, by its labels."""
    family = families[name.removesuffix("_total").removesuffix("_count").removesuffix("_sum")]
    found = [
        s.value for s in family.samples if s.name == name and labels.items() <= s.labels.items()
    ]
    assert len(found) == 1, f"{name} {labels}: {family.samples}"
    return float(found[0])


async def begin(world: World, start: Callable[..., Any]) -> Served:
    """Start a gateway of a key with a quota of a dollar, and some models that misbehave."""
    await in_django(world.add_quota, 100 * CENT)
    for name in ("demo-500", "demo-slow-300ms", "demo-slow-1s"):
        await in_django(world.add_model, name)
    served: Served = await start()
    return served


async def test_what_was_called_refused_and_drawn_is_counted(
    world: World, start: Callable[..., Any]
) -> None:
    served = await begin(world, start)
    for _ in range(3):
        assert (await served.post(chat("demo-fixed-100", max_tokens=100))).status_code == 200
    assert (await served.post(chat("demo-500", max_tokens=100))).status_code == 500
    assert (await served.post(chat("no-such-model"))).status_code == 404
    assert (await served.post(chat(), key="tg_wrong")).status_code == 401
    assert (await served.post(chat("demo-fixed-100", max_tokens=16_000))).status_code == 400
    await served.settled()
    families = await scrape(served)
    place = {"endpoint": "chat.completions", "protocol": "openai"}
    assert value(families, "tollgate_calls_total", outcome="answered", **place) == 3
    assert value(families, "tollgate_calls_total", outcome="upstream_failed", **place) == 1
    attempts = families["tollgate_attempts"]
    assert {(s.labels["provider"], s.labels["outcome"]) for s in attempts.samples} == {
        ("local", "answered"),
        ("local", "upstream_failed"),
    }
    refusals = {s.labels["code"]: s for s in families["tollgate_refusals"].samples}
    assert {"model_not_found", "hold_exceeds_limit"} < set(refusals)
    assert sum(sample.value for sample in refusals.values()) == 3
    assert refusals["model_not_found"].labels["status"] == "404"
    draws = value(families, "tollgate_draws_total")
    assert 1 <= draws <= 4
    assert value(families, "tollgate_draws_per_call") == pytest.approx(draws / 4)
    assert value(families, "tollgate_draw_waits_total") >= 1
    assert value(families, "tollgate_added_latency_seconds_count") == 4
    for idle in ("spool_attempts", "open_holds", "settlement_queue", "waiting_calls"):
        assert value(families, f"tollgate_{idle}") == 0


async def test_the_time_at_a_provider_is_no_added_latency(
    world: World, start: Callable[..., Any]
) -> None:
    served = await begin(world, start)
    for _ in range(2):
        assert (await served.post(chat("demo-slow-300ms", max_tokens=50))).status_code == 200
    families = await scrape(served)
    upstream = value(families, "tollgate_upstream_seconds_sum", provider="local")
    assert upstream >= 0.6
    assert value(families, "tollgate_upstream_seconds_count", provider="local") == 2
    assert value(families, "tollgate_upstream_first_byte_seconds_count", provider="local") == 2
    assert value(families, "tollgate_added_latency_seconds_sum") < upstream


async def test_every_histogram_counts_upwards_to_all(
    world: World, start: Callable[..., Any]
) -> None:
    served = await begin(world, start)
    assert (await served.post(chat("demo-fixed-100", max_tokens=100))).status_code == 200
    families = await scrape(served)
    edges = {
        "tollgate_added_latency_seconds": ADDED_EDGES,
        "tollgate_upstream_seconds": UPSTREAM_EDGES,
        "tollgate_upstream_first_byte_seconds": UPSTREAM_EDGES,
    }
    for name, expected in edges.items():
        buckets = [s for s in families[name].samples if s.name.endswith("_bucket")]
        assert [float(s.labels["le"]) for s in buckets] == [*expected, math.inf]
        counts = [s.value for s in buckets]
        assert counts == sorted(counts)
        assert counts[-1] == 1


async def test_what_is_held_and_queued_shows_while_it_is(
    world: World, start: Callable[..., Any]
) -> None:
    served = await begin(world, start)
    slow = asyncio.create_task(served.post(chat("demo-slow-1s", max_tokens=50)))
    await until(lambda: served.process.ledger.process.open_holds == 1)
    await until(lambda: served.process.ledger.process.spool.unsettled == 1)
    families = await scrape(served)
    assert value(families, "tollgate_open_holds") == 1
    assert value(families, "tollgate_spool_attempts") == 1
    assert value(families, "tollgate_spool_bytes") > 0
    assert 0 <= value(families, "tollgate_spool_oldest_seconds") < 60
    await slow


async def test_the_process_and_the_fleet_are_described(served: Served) -> None:
    assert (await served.post(chat())).status_code == 200
    await served.settled()
    families = await scrape(served)
    process = served.process.ledger.process.id
    assert value(families, "tollgate_process_info", process=process, version="1.2.3") == 1
    assert value(families, "tollgate_keys") == 1
    assert 0 < value(families, "tollgate_freshness_seconds_left") <= 5
    assert value(families, "tollgate_lease_seconds_left") > 0
    assert value(families, "tollgate_fleet_processes_alive") == 1
    assert value(families, "tollgate_fleet_ledger_check_age_seconds") == -1
    for figure in ("fold_lag_seconds", "rejected_events", "settlement_conflicts"):
        assert value(families, f"tollgate_fleet_{figure}") >= 0
    states = {s.labels["state"]: s.value for s in families["tollgate_degraded"].samples}
    assert states == dict.fromkeys(served.process.states(), 0)
    assert value(families, "process_open_fds") > 5


async def test_completeness_says_that_nothing_is_missing(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.fleet.KEPT_SECONDS", 0.0)
    for _ in range(3):
        assert (await served.post(chat())).status_code == 200
    await served.settled()

    async def finished() -> float:
        return value(await scrape(served), "tollgate_fleet_attempts_finished_recently")

    async with asyncio.timeout(20):  # A process says how many it finished when it renews its lease.
        while await finished() < 3:
            await asyncio.sleep(0.1)
    families = await scrape(served)
    assert value(families, "tollgate_fleet_attempts_finished_recently") == 3
    assert value(families, "tollgate_fleet_attempts_stored_recently") == 3


async def test_no_label_comes_from_a_caller(served: Served) -> None:
    for number in range(20):
        await served.post(chat(f"made-up-{number}"), key=f"tg_made-up-{number}")
        await served.client.get(f"/v1/made-up-{number}")
        await served.client.post(f"/made-up-{number}")
    answer = await served.client.get("/metrics")
    assert "made-up" not in answer.text


@pytest.mark.parametrize("name", ["x-forwarded-for", "forwarded"])
async def test_nobody_comes_through_a_proxy_that_is_not_known(served: Served, name: str) -> None:
    # `Forwarded` was not looked at: a proxy on this machine stood for everybody behind it.
    assert is_unknown(await served.client.get("/metrics", headers={name: "127.0.0.1"}))


async def test_for_others_there_are_no_metrics(
    start: Callable[..., Any], configuration: Configuration
) -> None:
    others = (ipaddress.ip_network("192.0.2.0/24"),)
    changed = msgspec.structs.replace(configuration, metrics_allowed_networks=others)
    served = await start(changed)
    assert is_unknown(await served.client.get("/metrics"))
    trusted = msgspec.structs.replace(changed, trusted_proxies=LOOPBACK)
    served = await start(trusted)
    through = {"x-forwarded-for": "192.0.2.7"}
    assert (await served.client.get("/metrics", headers=through)).status_code == 200
    assert is_unknown(await served.client.get("/metrics", headers={"x-forwarded-for": "192.0.3.7"}))


async def test_metrics_are_read_and_nothing_else(served: Served) -> None:
    head = await served.client.head("/metrics")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"].startswith("text/plain; version=")
    assert is_unknown(await served.client.post("/metrics"))


def is_unknown(answer: httpx2.Response) -> bool:
    return answer.status_code == 404 and "tollgate_" not in answer.text


async def test_every_metric_is_explained_in_the_guide(
    world: World, start: Callable[..., Any]
) -> None:
    served = await begin(world, start)
    await served.post(chat("demo-fixed-100", max_tokens=100))
    ours = {name for name in await scrape(served) if name.startswith("tollgate_")}
    told = set(re.findall(r"`(tollgate_\w+?)(?:_total)?`", GUIDE.read_text()))
    assert ours - told == set()
    assert told - ours == set()
