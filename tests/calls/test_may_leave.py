"""Between its hold and its first byte a call may still be kept: then nothing of it leaves."""

from __future__ import annotations

import asyncio
import time

import pytest

from local.provider import RunningProvider
from tests.calls.books import Connection, check_books, window_of
from tests.calls.serving import Served, in_django, until
from tests.calls.world import CENT, World, chat
from tests.ledger.test_spool_turns import no_file_longer_than

pytestmark = pytest.mark.django_db(transaction=True)

CALL = chat("demo-fixed-100", max_tokens=100)


@pytest.fixture(params=[False, True], ids=["whole", "streamed"])
def call(request: pytest.FixtureRequest) -> dict[str, object]:
    return {**CALL, "stream": request.param}


async def post(served: Served, call: object) -> tuple[int, str]:
    """Make a call; return the status and what it was refused for."""
    answer = await served.post(call)
    refused = answer.status_code != 200
    return answer.status_code, answer.json()["error"]["code"] if refused else ""


@pytest.fixture
async def quota(world: World) -> int:
    added = await in_django(world.add_quota, 10 * CENT)
    return int(added.pk)


async def test_a_lease_that_ends_while_its_record_is_written_lets_nothing_leave(
    quota: int,
    served: Served,
    aconn: Connection,
    provider: RunningProvider,
    call: dict[str, object],
) -> None:
    process = served.process.ledger.process
    lease_ends, write = process.lease_ends, process.spool._write

    def write_and_lose(*lines: list[object]) -> None:
        write(*lines)  # type: ignore[arg-type]
        process.lease_ends = 0.0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(process.spool, "_write", write_and_lose)
        assert await post(served, call) == (503, "ledger_away")
    assert provider.received()["total"] == 0
    assert (process.open_holds, process.spool.unsettled) == (0, 0)
    process.lease_ends = lease_ends
    assert (await served.post(call)).status_code == 200
    await check_books(served, aconn, provider)
    assert (await window_of(aconn, quota))["posted"] == CENT


async def test_a_disk_that_fills_up_lets_nothing_leave_and_calls_under_way_end(
    world: World,
    served: Served,
    aconn: Connection,
    provider: RunningProvider,
    call: dict[str, object],
) -> None:
    await in_django(world.add_model, "demo-slow-1s")
    prices = served.process.prices  # They are the last to follow.
    await until(lambda: prices.price_for("demo-slow-1s", world.provider.name, at=time.time()))
    spool = served.process.ledger.process.spool
    slow = asyncio.create_task(served.post(chat("demo-slow-1s", max_tokens=10)))
    await until(lambda: spool.unsettled == 1)
    with no_file_longer_than(spool.size_bytes):
        assert await post(served, call) == (503, "spool_full")
        ended = await slow
    assert provider.received()["total"] == 1
    assert ended.status_code == 200
    await until(lambda: not spool.is_full)
    assert (await served.post(call)).status_code == 200
    await check_books(served, aconn, provider)
