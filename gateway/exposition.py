"""/metrics: what one process counted, and how the whole installation is, as Prometheus reads it.

Counters are plain integers until somebody asks. With several workers on one port each request
reaches one of them: `tollgate_process_info` says which, and the figures from the database are the
same at all. Nobody outside METRICS_ALLOWED_NETWORKS is told that this exists.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from accounts.addresses import is_inside, parse_address
from billing.status import FIGURES
from gateway.caller import Caller
from gateway.fleet import Fleet
from gateway.metrics import Histogram, Meter

if TYPE_CHECKING:
    from gateway.process import GatewayProcess


class Exposition:
    """Answers scrapes of one process."""

    content_type = CONTENT_TYPE_LATEST.encode()

    def __init__(self, process: GatewayProcess) -> None:
        self._process = process
        self._fleet = Fleet(process.configuration.conninfo)

    def may_see(self, caller: Caller) -> bool:
        """Say whether the caller is in METRICS_ALLOWED_NETWORKS, and not hidden behind a proxy
        that we do not know."""
        configuration = self._process.configuration
        if not configuration.trusted_proxies and any(
            caller.header_values(name) for name in (b"x-forwarded-for", b"forwarded")
        ):
            return False
        address = parse_address(caller.address(configuration.trusted_proxies))
        return address is not None and is_inside(address, configuration.metrics_allowed_networks)

    async def render(self) -> bytes:
        """Return the whole text."""
        figures = await self._fleet.figures()
        registry = CollectorRegistry()
        registry.register(_Families(self._process, figures))
        ProcessCollector(registry=registry)  # CPU, memory and open files of this process.
        return generate_latest(registry)

    async def close(self) -> None:
        await self._fleet.close()


class _Families(Collector):
    """One scrape: the families of metrics in order."""

    def __init__(self, process: GatewayProcess, figures: Mapping[str, float]) -> None:
        self._process = process
        self._figures = figures

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        process = self._process
        identity = (process.ledger.process.id, process.configuration.version)
        yield _gauge("process_info", "This process; always 1.", {identity: 1}, "process", "version")
        yield from _calls(process.meter)
        yield from _ledger(process)
        yield from _health(process)
        for name, value in self._figures.items():
            yield GaugeMetricFamily(f"tollgate_fleet_{name}", FIGURES[name][0], value=value)


def _calls(meter: Meter) -> Iterator[Metric]:
    text, by = "Calls that were forwarded and have ended.", ("endpoint", "protocol", "outcome")
    yield _counter("calls", text, meter.calls, *by)
    text = "Attempts at providers that have ended."
    yield _counter("attempts", text, meter.attempts, "provider", "outcome")
    refusals = {(code, str(status)): n for (code, status), n in meter.refusals.items()}
    yield _counter("refusals", "Calls that were not forwarded.", refusals, "code", "status")
    added = HistogramMetricFamily(
        "tollgate_added_latency_seconds",
        "Time from the whole request to the end of its answer, less the time at providers.",
    )
    _fill(added, [], meter.added)
    yield added
    first_byte = HistogramMetricFamily(
        "tollgate_upstream_first_byte_seconds",
        "Time from an attempt's departure to the head of its answer.",
        labels=["provider"],
    )
    total = HistogramMetricFamily(
        "tollgate_upstream_seconds",
        "Time from an attempt's departure to the end of its answer.",
        labels=["provider"],
    )
    for provider, times in meter.upstream.items():
        _fill(first_byte, [provider], times.first_byte)
        _fill(total, [provider], times.total)
    yield first_byte
    yield total


def _ledger(process: GatewayProcess) -> Iterator[Metric]:
    own = process.ledger.process
    calls = sum(process.meter.calls.values())
    draws, waits = own.draws.draws, own.allowances.waits
    yield _counter("draws", "Rounds of draws from the database.", {(): draws})
    rounds = own.rates.rounds
    yield _counter("rate_draws", "Rounds of draws of rates from Redis.", {(): rounds})
    yield _counter("draw_waits", "Calls that had to wait for a draw.", {(): waits})
    share = draws / calls if calls else 0.0
    yield _gauge("draws_per_call", "Draws for each call since the start.", {(): share})
    yield _gauge("waiting_calls", "Calls that wait for a draw.", {(): own.allowances.waiting})
    yield _gauge("open_holds", "Attempts that have not ended.", {(): own.open_holds})
    spool, settler = own.spool, own.settler
    yield _gauge("spool_attempts", "Attempts in the spool, not settled.", {(): spool.unsettled})
    yield _gauge("spool_bytes", "Size of the spool.", {(): spool.size_bytes})
    yield _gauge(
        "spool_oldest_seconds",
        "How long the oldest attempt in the spool has been there.",
        {(): _age_seconds(spool.oldest)},
    )
    yield _gauge("settlement_queue", "Finished attempts not settled.", {(): settler.depth})
    yield _gauge(
        "settlement_lag_seconds",
        "How long the first of them has waited.",
        {(): settler.lag_seconds},
    )


def _health(process: GatewayProcess) -> Iterator[Metric]:
    yield _gauge(
        "freshness_seconds_left",
        "How long what is in memory may still be used; negative when calls are refused.",
        {(): process.freshness_seconds_left},
    )
    yield _gauge(
        "lease_seconds_left",
        "How long this process may let calls go without renewing its lease.",
        {(): process.lease_seconds_left},
    )
    yield _gauge("keys", "API keys in memory.", {(): len(process.keyring)})
    resting = process.circuits.count_resting(now=time.monotonic())
    yield _gauge("routes_resting", "Routes tried last since they failed lately.", {(): resting})
    states = {(name,): int(holds) for name, holds in process.states().items()}
    yield _gauge("degraded", "States named by /readyz: 1 where it holds.", states, "state")
    failures = {(name,): n for name, n in process.loops.failures.items()}
    text = "Times that a task ran into what nobody expected, and went on."
    yield _counter("task_failures", text, failures, "task")
    lost = {(): process.reporter.lost + process.refusals.dropped}
    yield _counter("refusal_samples_lost", "Refusals of which no sample could be kept.", lost)


def _age_seconds(attempt: str | None) -> float:
    """Return how long ago an attempt was made: its id begins with the milliseconds."""
    if attempt is None:
        return 0.0
    return max(time.time() - int(attempt[:8] + attempt[9:13], 16) / 1000, 0.0)


def _counter(name: str, text: str, values: Mapping[Any, int], *labels: str) -> CounterMetricFamily:
    family = CounterMetricFamily(f"tollgate_{name}", text, labels=labels)
    for place, value in values.items():
        family.add_metric([str(label) for label in place], value)
    return family


def _gauge(name: str, text: str, values: Mapping[Any, float], *labels: str) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"tollgate_{name}", text, labels=labels)
    for place, value in values.items():
        family.add_metric([str(label) for label in place], value)
    return family


def _fill(family: HistogramMetricFamily, labels: list[str], histogram: Histogram) -> None:
    """Add a histogram: Prometheus wants, for each bound, everything up to it."""
    buckets, so_far = [], 0
    for edge, count in zip((*histogram.edges, "+Inf"), histogram.bins, strict=True):
        so_far += count
        buckets.append((str(edge), float(so_far)))
    family.add_metric(labels, buckets=buckets, sum_value=histogram.total)
