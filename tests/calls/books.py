"""What is left of calls: their facts, the windows they were held in, and that all books agree."""

from __future__ import annotations

from typing import Any

import msgspec
import psycopg
from django.db import connection as django_connection

from billing.check import check_ledger
from local.provider import RunningProvider
from tests.calls.serving import Served, in_django

Connection = psycopg.AsyncConnection[Any]


async def event_of(aconn: Connection, call_id: str) -> dict[str, Any]:
    """Return the one fact of a call."""
    cursor = await aconn.execute(
        "SELECT row_to_json(e)::text FROM usage_event e WHERE call_id = %s", [call_id]
    )
    rows = await cursor.fetchall()
    assert len(rows) == 1, f"call {call_id} has {len(rows)} facts"
    found: dict[str, Any] = msgspec.json.decode(rows[0][0])
    return found


async def window_of(aconn: Connection, quota: int) -> dict[str, int]:
    """Return what is posted, overrun and drawn of a quota's only window."""
    cursor = await aconn.execute(
        "SELECT posted, overrun, drawn FROM quota_window WHERE quota_id = %s", [quota]
    )
    row = await cursor.fetchone()
    return dict(zip(("posted", "overrun", "drawn"), row or (0, 0, 0), strict=True))


async def check_books(served: Served, aconn: Connection, provider: RunningProvider) -> None:
    """What the provider received is what was recorded, nothing is held, no window is over."""
    await served.settled()
    process = served.process.ledger.process
    assert process.open_holds == 0
    await process.draws.give_back(everything=True)
    assert all(w.taken == 0 for w in process.allowances.all())
    cursor = await aconn.execute("SELECT id::text FROM usage_event ORDER BY 1")
    recorded = [row[0] for row in await cursor.fetchall()]
    received = sorted(receipt["call_id"] for receipt in provider.received()["requests"])
    assert recorded == received
    over = 'SELECT id FROM quota_window WHERE posted + drawn > "limit"'
    assert (await (await aconn.execute(over)).fetchall()) == []
    findings = await in_django(check_ledger, django_connection)
    assert (findings.differences, findings.conflicts, findings.rejected) == ([], 0, 0)
