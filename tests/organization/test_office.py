"""What is looked up for management keys never holds up the loop that calls run on."""

from __future__ import annotations

import asyncio
import threading

import psycopg
import pytest
from django.db import connection

from accounts.models import Organization
from gateway.endpoints.organization import office as offices
from gateway.endpoints.organization.office import MOST_AT_ONCE, Office
from gateway.errors import OfficeBusy
from tests.calls.serving import Served

pytestmark = pytest.mark.django_db(transaction=True)


async def test_the_loop_goes_on_while_a_thread_waits() -> None:
    office, gate = Office(), threading.Event()
    waiting = asyncio.create_task(office.run(gate.wait))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not waiting.done()
    gate.set()
    assert await waiting
    office.close()


async def test_what_would_wait_too_long_is_refused_at_once() -> None:
    office, gate = Office(), threading.Event()
    waiting = [asyncio.create_task(office.run(gate.wait)) for _ in range(MOST_AT_ONCE)]
    await asyncio.sleep(0)
    with pytest.raises(OfficeBusy):
        await office.run(gate.wait)
    gate.set()
    await asyncio.gather(*waiting)
    assert await office.run(gate.wait)
    office.close()


async def test_a_database_that_does_not_answer_is_a_refusal_and_not_a_hang(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(offices, "PATIENCE_SECONDS", 0.05)
    office, gate = Office(), threading.Event()
    with pytest.raises(OfficeBusy):
        await office.run(gate.wait)
    gate.set()
    office.close()


async def test_no_connection_stays_open(acme: Organization) -> None:
    office = Office()

    def read() -> tuple[bool, str]:
        slug = Organization.objects.get(pk=acme.pk).slug
        return connection.connection is not None, slug

    assert await office.run(read) == (True, "acme")
    assert await office.run(lambda: connection.connection) is None
    office.close()


async def test_a_locked_table_holds_up_no_call(served: Served, alices_key: str, dsn: str) -> None:
    """A writer that never ends keeps the API waiting, and models are listed all the while."""
    async with await psycopg.AsyncConnection.connect(dsn) as blocker:
        await blocker.execute("LOCK TABLE management_key IN ACCESS EXCLUSIVE MODE")
        headers = {"authorization": f"Bearer {alices_key}"}
        path = "/v1/organization/projects"
        waiting = [asyncio.create_task(served.client.get(path, headers=headers)) for _ in range(5)]
        for _ in range(20):
            assert (await served.client.get("/v1/models")).status_code == 200
        assert not any(each.done() for each in waiting)
        await blocker.rollback()
        assert {(await each).status_code for each in waiting} == {200}
