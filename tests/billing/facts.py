"""Events for tests, and a way into the database that is settlement's own, less the windows."""

from __future__ import annotations

import random
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from django.db import connection

from billing import rollups
from billing.event_rows import event_rows_sql
from billing.usage import Outcome, UsageEvent, UsageSource

NOON = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)


def id_at(at: datetime) -> str:
    """Return a UUIDv7 of that millisecond."""
    milliseconds = round(at.timestamp() * 1000)
    value = milliseconds << 80 | 0x7 << 76 | random.getrandbits(76)
    return str(uuid.UUID(int=value & ~(0x3 << 62) | 0x2 << 62))


def make_event(at: datetime = NOON, **changes: Any) -> UsageEvent:
    """Return an event of an answered call of 100 + 10 tokens for 1,500 ticks."""
    event = id_at(at)
    fields: dict[str, Any] = {
        "id": event,
        "call_id": event,
        "attempt_no": 1,
        "organization": 1,
        "project": 1,
        "key": 1,
        "member": None,
        "model": "gpt-4o",
        "provider": "openai",
        "upstream_model": "gpt-4o-2024-08-06",
        "upstream_id": "chatcmpl-1",
        "protocol": "openai",
        "endpoint": "/v1/chat/completions",
        "outcome": Outcome.ANSWERED,
        "http_status": 200,
        "uncached_input": 100,
        "output": 10,
        "cost_ticks": 1500,
        "price_version": 1,
        "usage_source": UsageSource.REPORTED,
        "held_ticks": 2000,
        "first_byte_ms": 200,
        "total_ms": 1000,
        "tags": {},
        "process": str(uuid.UUID(int=1)),
        "process_seq": 1,
        "windows": [],
        "window_amounts": [],
        "window_holds": [],
    }
    buckets = dict.fromkeys(rollups.BUCKETS, 0)
    return UsageEvent(**{**buckets, **fields, **changes})


def store(events: Sequence[UsageEvent]) -> int:
    """Insert events and the deltas of those that are new; return how many were new."""
    with connection.cursor() as cursor:
        cursor.execute(STORE, [msgspec.json.encode(events).decode()])
        return int(cursor.fetchone()[0])


STORE = f"""
WITH inserted AS (
    INSERT INTO usage_event SELECT * FROM {event_rows_sql("%s::json")}
    ON CONFLICT (id) DO NOTHING RETURNING *
),
deltas AS ({rollups.insert_deltas_sql("inserted")}),
tag_deltas AS ({rollups.insert_tag_deltas_sql("inserted")})
SELECT count(*) FROM inserted
"""


def correct(event: UsageEvent, *, amount: int, usage: dict[str, int]) -> None:
    """Append a correction of an event's own figures, as the late path does."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO adjustment (event_id, amount, usage, reason)"
            " VALUES (%s, %s, %s::jsonb, 'late') RETURNING id",
            [event.id, amount, msgspec.json.encode(usage).decode()],
        )
        cursor.execute(rollups.INSERT_CORRECTION_DELTA, [cursor.fetchone()[0]])


def rows_of(table: str) -> list[tuple[Any, ...]]:
    """Return a rollup table's rows without their ids, in the order of their dimensions."""
    shape = rollups.ROLLUP_TAG if "tag" in table else rollups.ROLLUP
    with connection.cursor() as cursor:
        columns = ", ".join(shape.columns)
        cursor.execute(f"SELECT {columns} FROM {table} ORDER BY {', '.join(shape.dimensions)}")
        return list(cursor.fetchall())
