"""From finished attempts to facts: one transaction for a batch, and nothing twice.

`settle` inserts the events and lets only those that are new move `drawn` to `posted` in their
windows and write rollup deltas, so a replay of any part of it changes nothing. Windows are
locked ascending by id, after the process, as every writer of the ledger does. An event that the
database will not take is set aside by halving the batch; it never holds up its neighbours.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from typing import Any

import msgspec
import psycopg
from psycopg import AsyncConnection
from psycopg.types.json import Json, Jsonb

from billing import rollups
from billing.event_rows import event_rows_sql
from billing.ledger.spooled import id_of
from billing.partitions import bounds_of
from billing.usage import UsageEvent

log = logging.getLogger(__name__)

# A spool may hold a million attempts: so many are one statement, which PostgreSQL gives a minute.
AT_ONCE = 5_000

decode_event = msgspec.json.Decoder(UsageEvent).decode


class ProcessEnded(Exception):
    """The process was ended by another one; its attempts settle by the late path."""


INSERT_EVENTS = f"""
WITH incoming AS MATERIALIZED (
    SELECT * FROM {event_rows_sql("%(events)s::json")}
    WHERE %(late)s OR EXISTS (
        SELECT 1 FROM gateway_process WHERE id = %(process)s AND ended_at IS NULL
    )
),
inserted AS (
    INSERT INTO usage_event SELECT * FROM incoming ON CONFLICT (id) DO NOTHING RETURNING *
)
"""  # noqa: S608 - the pieces are constants.

# A hold of -1 marks a window that counts without being drawn from.
_SETTLE = f"""{INSERT_EVENTS},
posts AS (
    SELECT c.window_id,
        sum(CASE WHEN c.hold = -1 THEN c.amount ELSE 0 END)::bigint AS counted,
        sum(CASE WHEN c.hold = -1 THEN 0 ELSE least(c.amount, c.hold) END)::bigint AS posted,
        sum(CASE WHEN c.hold = -1 THEN 0 ELSE greatest(c.amount - c.hold, 0) END)::bigint
            AS overrun
    FROM inserted i
    CROSS JOIN LATERAL unnest(i.windows, i.window_amounts, i.window_holds)
        AS c (window_id, amount, hold)
    GROUP BY c.window_id
),
post_windows AS (
    UPDATE quota_window w SET
        posted = w.posted + p.counted + p.posted,
        overrun = w.overrun + p.overrun,
        drawn = w.drawn - p.posted,
        ceiling = greatest(w.ceiling, CASE WHEN p.counted > 0 AND w.ceiling IS NOT NULL
            THEN w.posted + w.drawn + p.counted END)
    FROM posts p WHERE w.id = p.window_id
),
post_allowances AS (
    UPDATE allowance a SET amount = a.amount - p.posted
    FROM posts p
    WHERE a.window_id = p.window_id AND a.process_id = %(process)s AND p.posted > 0
),
deltas AS ({rollups.insert_deltas_sql("inserted")}),
tag_deltas AS ({rollups.insert_tag_deltas_sql("inserted")})
SELECT count(*) FROM inserted
"""  # noqa: S608 - the pieces are constants.

_PROCESS = "SELECT ended_at IS NULL FROM gateway_process WHERE id = %s FOR SHARE"
LOCK_WINDOWS = "SELECT id FROM quota_window WHERE id = ANY (%s) ORDER BY id FOR UPDATE"


async def settle(
    connection: AsyncConnection[Any], *, process: str, events: Sequence[bytes], windows: list[int]
) -> None:
    """Make facts of finished attempts. `events` are UsageEvents as JSON, `windows` all of theirs.

    Raises ProcessEnded, having changed nothing, when the process is no longer alive in the
    database, and psycopg's errors when it cannot be known whether the batch was committed.
    """
    try:
        are_new = await _settle_batch(connection, process, events, windows)
    except (psycopg.DataError, psycopg.IntegrityError) as error:
        if len(events) == 1:
            await set_aside(connection, events[0], str(error))
            return
        middle = len(events) // 2
        for half in (events[:middle], events[middle:]):
            await settle(connection, process=process, events=half, windows=windows)
        return
    if not are_new:
        from billing.ledger.late import compare_with_facts

        await compare_with_facts(connection, events)


async def _settle_batch(
    connection: AsyncConnection[Any], process: str, events: Sequence[bytes], windows: list[int]
) -> bool:
    """Insert a batch in one round trip; False where some were facts already, or came twice."""
    parameters = {"events": json_array(events), "process": process, "late": False}
    async with connection.pipeline(), connection.transaction():
        alive = await connection.execute(_PROCESS, [process])
        await connection.execute(LOCK_WINDOWS, [windows])
        settled = await connection.execute(_SETTLE, parameters)
    if await alive.fetchone() != (True,):
        raise ProcessEnded(process)
    return await settled.fetchone() == (len(events),)


async def set_aside(connection: AsyncConnection[Any], event: bytes, error: str) -> None:
    """Keep an event that the database refuses, whole, where a person can look at it."""
    attempt = id_of(event)
    log.error("usage event %s cannot be stored and was set aside: %s", attempt, error)
    await connection.execute(
        "INSERT INTO rejected_event (event_id, payload, error) VALUES (%s, %s, %s)"
        " ON CONFLICT (event_id) DO NOTHING",
        [attempt, event.decode(), error],
    )


async def leave_out_unreadable(
    connection: AsyncConnection[Any], events: Sequence[bytes]
) -> dict[bytes, UsageEvent]:
    """Return the events that this release can read, by their JSON. The others, which a later one
    has left in a spool, are set aside: what their process had drawn would never go back."""
    kept = {}
    for payload in events:
        try:
            event = decode_event(payload)
        except msgspec.ValidationError as error:
            await set_aside(connection, payload, str(error))
            continue
        if len(event.windows) == len(event.window_amounts) == len(event.window_holds):
            kept[payload] = event
        else:
            await set_aside(connection, payload, "it has not an amount and a hold for each window")
    return kept


async def leave_out_dropped(
    connection: AsyncConnection[Any], events: Collection[bytes]
) -> list[bytes]:
    """Return the events whose days are kept. The others are set aside: when the facts of a day are
    dropped, nobody can tell any more whether an event of it was settled before."""
    cursor = await connection.execute("SELECT max(day) + 1 FROM dropped_day")
    row = await cursor.fetchone()
    if row is None or row[0] is None:
        return list(events)
    first, _ = bounds_of(row[0])
    kept = []
    for event in events:
        if id_of(event) < first:
            await set_aside(connection, event, f"the facts of days before {row[0]} are dropped")
        else:
            kept.append(event)
    return kept


async def settle_for_ended(
    connection: AsyncConnection[Any], *, process: str, events: Sequence[bytes]
) -> None:
    """Post a dead process's attempts to its allowances. The caller holds the transaction, the
    process's row and all windows; what cannot be stored is set aside, so that it can be ended."""
    for start in range(0, len(events), AT_ONCE):
        await _settle_for_ended(connection, process=process, events=events[start : start + AT_ONCE])


async def _settle_for_ended(
    connection: AsyncConnection[Any], *, process: str, events: Sequence[bytes]
) -> None:
    parameters = {"events": json_array(events), "process": process, "late": True}
    try:
        async with connection.transaction():
            await connection.execute(_SETTLE, parameters)
    except (psycopg.DataError, psycopg.IntegrityError) as error:
        if len(events) == 1:
            await set_aside(connection, events[0], str(error))
            return
        middle = len(events) // 2
        for half in (events[:middle], events[middle:]):
            await _settle_for_ended(connection, process=process, events=half)


async def record_conflict(connection: AsyncConnection[Any], event: UsageEvent, digest: str) -> None:
    """Keep a settlement that contradicts the fact. It is alerted and never applied."""
    log.error("usage event %s was settled twice with different figures", event.id)
    await connection.execute(
        "INSERT INTO settlement_conflict (event_id, digest, payload) VALUES (%s, %s, %s)"
        " ON CONFLICT (event_id, digest) DO NOTHING",
        [event.id, digest, Jsonb(msgspec.to_builtins(event))],
    )


def json_array(events: Sequence[bytes]) -> Json:
    """Return events as a parameter, which is written without another copy as text."""
    return Json(events, dumps=_join)


def _join(events: Sequence[bytes]) -> bytes:
    return b"[" + b",".join(events) + b"]"
