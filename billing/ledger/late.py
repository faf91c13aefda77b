"""What comes after the fact: truths about attempts of processes that were ended meanwhile.

Three cases, each applied once however often it is told. An event that is not a fact yet becomes
one, paid from what was captured for its process. An event that was captured at its hold as
`unknown` is corrected by an adjustment. An event that says something else than the fact is kept
as a conflict. Facts themselves never change.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec
import psycopg
from psycopg import AsyncConnection
from psycopg.types.json import Jsonb

from billing import rollups
from billing.event_rows import event_rows_sql
from billing.ledger.core import NOT_DRAWN
from billing.ledger.settlement import (
    INSERT_EVENTS,
    LOCK_WINDOWS,
    decode_event,
    json_array,
    leave_out_dropped,
    record_conflict,
    set_aside,
)
from billing.ledger.spooled import id_of
from billing.suspensions import suspend_routes
from billing.usage import Outcome, UsageEvent

BATCH = 1000

BUCKETS = (
    "uncached_input",
    "cache_read",
    "cache_write_5m",
    "cache_write_1h",
    "audio_input",
    "image_input",
    "output",
    "reasoning",
    "audio_output",
)


async def settle_late(
    connection: AsyncConnection[Any], *, process: str, events: Sequence[bytes]
) -> None:
    """Settle attempts of a process that has been ended. Safe to repeat."""
    news = await leave_out_dropped(connection, await _find_news(connection, events))
    await suspend_routes(connection, map(decode_event, news))
    for payload in news:
        try:
            async with connection.transaction():
                await _settle_one(connection, process, payload)
        except (psycopg.DataError, psycopg.IntegrityError) as error:
            await set_aside(connection, payload, str(error))


async def _settle_one(connection: AsyncConnection[Any], process: str, payload: bytes) -> None:
    event = decode_event(payload)
    await connection.execute(LOCK_WINDOWS, [event.windows])
    if await _insert(connection, payload):
        await _pay_from_captured(connection, process, event)
    else:
        await _compare(connection, event)


async def compare_with_facts(connection: AsyncConnection[Any], events: Sequence[bytes]) -> None:
    """Look at attempts that were facts already: the same, better known now, or contradicting."""
    for payload in await _find_news(connection, events):
        event = decode_event(payload)
        async with connection.transaction():
            await connection.execute(LOCK_WINDOWS, [event.windows])
            await _compare(connection, event)


async def credit_captured(connection: AsyncConnection[Any], *, process: str) -> None:
    """Give back what is left of a lost spool's capture: the spool was found and read to its end."""
    async with connection.transaction():
        windows = await connection.execute(
            "SELECT window_id FROM adjustment WHERE process = %s AND window_id IS NOT NULL"
            " GROUP BY window_id HAVING sum(amount) > 0",
            [process],
        )
        for (window,) in sorted(await windows.fetchall()):
            await connection.execute(LOCK_WINDOWS, [[window]])
            left = await _captured(connection, process, window)
            await _credit(connection, process=process, window=window, event=None, amount=left)
            await connection.execute(
                "UPDATE quota_window SET posted = posted - %s WHERE id = %s", [left, window]
            )


# How long an attempt took, and its number, are not compared.
_UNCOMPARED = "'{first_byte_ms, total_ms, process_seq}'::text[]"
_NEWS = f"""
SELECT i.id::text FROM {event_rows_sql("%s::json")} AS i
LEFT JOIN usage_event e ON e.id = i.id
WHERE to_jsonb(e) - {_UNCOMPARED} IS DISTINCT FROM to_jsonb(i) - {_UNCOMPARED}
"""  # noqa: S608 - the pieces are constants.


async def _find_news(connection: AsyncConnection[Any], events: Sequence[bytes]) -> list[bytes]:
    """Leave out what the facts say already. A spool that is replayed is mostly that."""
    found: set[str] = set()
    for start in range(0, len(events), BATCH):
        some = events[start : start + BATCH]
        try:
            cursor = await connection.execute(_NEWS, [json_array(some)])
        except psycopg.DataError:
            return list(events)  # One of them cannot be stored; whoever settles it will see.
        found.update(row[0] for row in await cursor.fetchall())
    return [event for event in events if id_of(event) in found]


_INSERT = f"""{INSERT_EVENTS},
deltas AS ({rollups.insert_deltas_sql("inserted")}),
tag_deltas AS ({rollups.insert_tag_deltas_sql("inserted")})
SELECT id FROM inserted
"""  # noqa: S608 - the pieces are constants.


async def _insert(connection: AsyncConnection[Any], payload: bytes) -> bool:
    cursor = await connection.execute(
        _INSERT, {"events": json_array([payload]), "process": None, "late": True}
    )
    return await cursor.fetchone() is not None


async def _pay_from_captured(
    connection: AsyncConnection[Any], process: str, event: UsageEvent
) -> None:
    """Charge a new fact of an ended process: first to what was captured for it, the rest is
    overrun, because nothing is drawn for it any more."""
    for window, amount, hold in zip(
        event.windows, event.window_amounts, event.window_holds, strict=True
    ):
        if hold == NOT_DRAWN:
            await connection.execute(
                "UPDATE quota_window SET posted = posted + %s, ceiling ="
                " CASE WHEN ceiling IS NULL THEN NULL ELSE greatest(ceiling, posted + drawn + %s)"
                " END WHERE id = %s",
                [amount, amount, window],
            )
            continue
        captured = min(amount, await _captured(connection, process, window))
        await _credit(connection, process=process, window=window, event=event.id, amount=captured)
        await connection.execute(
            "UPDATE quota_window SET overrun = overrun + %s WHERE id = %s",
            [amount - captured, window],
        )


async def _captured(connection: AsyncConnection[Any], process: str, window: int) -> int:
    cursor = await connection.execute(
        "SELECT coalesce(sum(amount), 0)::bigint FROM adjustment"
        " WHERE process = %s AND window_id = %s",
        [process, window],
    )
    row = await cursor.fetchone()
    return max(int(row[0]), 0) if row else 0


async def _credit(
    connection: AsyncConnection[Any], *, process: str, window: int, event: str | None, amount: int
) -> None:
    if amount:
        await connection.execute(
            "INSERT INTO adjustment (window_id, event_id, process, amount, usage, reason)"
            " VALUES (%s, %s, %s, %s, '{}', 'spool_found')",
            [window, event, process, -amount],
        )


async def _compare(connection: AsyncConnection[Any], event: UsageEvent) -> None:
    cursor = await connection.execute(
        "SELECT row_to_json(e)::text FROM usage_event e WHERE id = %s", [event.id]
    )
    row = await cursor.fetchone()
    if row is None or event.outcome is Outcome.UNKNOWN:
        return  # A guess never contradicts a fact.
    fact = decode_event(row[0])
    if fact.outcome is Outcome.UNKNOWN:
        await _correct(connection, fact, event)
    elif _digest(fact) != _digest(event):
        await record_conflict(connection, event, _digest(event))


async def _correct(connection: AsyncConnection[Any], fact: UsageEvent, truth: UsageEvent) -> None:
    """Append the difference between what was captured and what turned out, once."""
    usage = {b: getattr(truth, b) - getattr(fact, b) for b in BUCKETS}
    usage = {bucket: difference for bucket, difference in usage.items() if difference}
    ticks = truth.cost_ticks - fact.cost_ticks
    cursor = await connection.execute(
        "INSERT INTO adjustment (window_id, event_id, amount, usage, reason)"
        " VALUES (NULL, %s, %s, %s, 'late') ON CONFLICT DO NOTHING RETURNING id",
        [fact.id, ticks, Jsonb(usage)],
    )
    row = await cursor.fetchone()
    if row is None:
        await _compare_correction(connection, truth, ticks=ticks, usage=usage)
        return
    await connection.execute(rollups.INSERT_CORRECTION_DELTA, [row[0]])
    for window, was, now in zip(
        fact.windows, fact.window_amounts, truth.window_amounts, strict=True
    ):
        await connection.execute(
            "INSERT INTO adjustment (window_id, event_id, amount, usage, reason)"
            " VALUES (%s, %s, %s, '{}', 'late')",
            [window, fact.id, now - was],
        )
        await connection.execute(
            "UPDATE quota_window SET posted = posted - least(posted, %(less)s),"
            " overrun = overrun - greatest(%(less)s - posted, 0) + %(more)s WHERE id = %(window)s",
            {"less": max(was - now, 0), "more": max(now - was, 0), "window": window},
        )


async def _compare_correction(
    connection: AsyncConnection[Any], truth: UsageEvent, *, ticks: int, usage: dict[str, int]
) -> None:
    """Keep a second truth as a conflict where it is not the one that corrected the fact."""
    cursor = await connection.execute(
        "SELECT amount = %s AND usage = %s FROM adjustment"
        " WHERE event_id = %s AND window_id IS NULL AND reason = 'late'",
        [ticks, Jsonb(usage), truth.id],
    )
    if await cursor.fetchone() != (True,):
        await record_conflict(connection, truth, _digest(truth))


def _digest(event: UsageEvent) -> str:
    """Return a digest of what an event says of its usage; how long it took is not compared."""
    said = msgspec.structs.asdict(event)
    for name in ("first_byte_ms", "total_ms", "process_seq"):
        said.pop(name)
    return hashlib.sha256(msgspec.json.encode(said, order="sorted")).hexdigest()
