"""Tasks that ran into what nobody expected: named where operators look, and calls go on."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Any, cast

import msgspec
import pytest

from billing.ledger import loops
from billing.usage import UsageEvent
from gateway.process import Configuration
from tests.calls.serving import until
from tests.calls.test_metrics import scrape, value
from tests.calls.test_probes import ready
from tests.calls.world import chat

pytestmark = pytest.mark.django_db(transaction=True)
BROKEN: Any = None


async def test_no_task_ends_of_what_nobody_expects(
    start: Callable[..., Any], configuration: Configuration, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loops, "PAUSE_SECONDS", 0.02)
    networks = (ipaddress.ip_network("127.0.0.0/8"),)
    served = await start(msgspec.structs.replace(configuration, metrics_allowed_networks=networks))
    process, own = served.process, served.process.ledger.process
    refusals, process.reporter._refusals = process.reporter._refusals, BROKEN
    redis, process.reporter._redis = process.reporter._redis, cast(Any, object())
    monkeypatch.setattr("gateway.reporting.REPORT_SECONDS", 0.05)
    own.settler.open_batch().over.append(cast(UsageEvent, BROKEN))
    assert (await served.post(chat())).status_code == 200
    failures = process.loops.failures
    await until(lambda: failures["settle"] and failures["report"])
    assert await ready(served) == (200, "ok", ["task_failing"])
    assert value(await scrape(served), "tollgate_task_failures_total", task="report") >= 1
    assert (await served.post(chat())).status_code == 200

    own.settler._queue[0].over.clear()
    process.reporter._refusals, process.reporter._redis = refusals, redis
    await served.settled()
    tasks = [*own._tasks, *process.ledger._tending, *process.reporter._tasks, process._following]
    assert not any(task.done() for task in tasks)
    monkeypatch.setattr(loops, "NAMED_SECONDS", 0.0)
    assert await ready(served) == (200, "ok", [])
