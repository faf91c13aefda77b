"""What is written down of a stream under way, for whoever finds it when its process has died."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec
import pytest

from billing.ledger.spool import SEEN
from billing.usage import UsageEvent
from gateway import relaying
from tests.calls.serving import Served, in_django
from tests.calls.world import CENT, World, chat

pytestmark = pytest.mark.django_db(transaction=True)
Start = Callable[[], Awaitable[Served]]


def read_seen(served: Served) -> list[UsageEvent]:
    """Return what was noted of streams under way, also of those that have ended since."""
    logs = served.process.ledger.process.spool.folder.glob("*.log")
    lines = [line for log in logs for line in log.read_bytes().splitlines()]
    return [msgspec.json.decode(x[11:], type=UsageEvent) for x in lines if x[9:10] == SEEN]


async def test_a_stream_under_way_stays_at_its_hold_whatever_it_has_used_so_far(
    world: World, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Ended while it was stopped, a process found its attempt charged at what had been seen: its
    # truth was above that, and the rest of its hold had been given to others.
    monkeypatch.setattr(relaying, "SEEN_SECONDS", 0.0)
    await in_django(world.add_model, "demo-cumulative-usage")
    await in_django(world.add_quota, 10 * CENT)
    served = await start()
    answer = await served.post(chat("demo-cumulative-usage", max_tokens=100, stream=True))
    (seen,) = read_seen(served)
    assert (seen.outcome, seen.usage_source) == ("unknown", "held")
    assert seen.cost_ticks == seen.held_ticks == seen.window_amounts[0] == CENT
    assert seen.upstream_id
    assert seen.upstream_id in answer.text
