"""Gateway processes: who may hold allowances, and what becomes of those of the dead.

A process is alive while its row's lease runs, by the database's clock. `renew` says so from
inside; `reap_ended_processes` ends the others from outside: what their spools say was sent is
charged, the rest of their allowances goes back. A spool that cannot be read here leaves the
whole allowance captured until it turns up. A process that was ended while it was only stopped
finds out at its next renewal and settles what it had under way by the late path.
"""

from __future__ import annotations

import asyncio
import logging
import re
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from psycopg import AsyncConnection

from accounts.connections import connect
from billing.ledger import late, settlement
from billing.ledger.database import AWAY
from billing.ledger.settlement import LOCK_WINDOWS
from billing.ledger.spool import is_abandoned
from billing.ledger.spooled import read_spool
from billing.suspensions import suspend_routes

log = logging.getLogger(__name__)

_PROCESS_ID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

LEASE_SECONDS = 30
RENEW_SECONDS = 5

# A process trusts its lease for this much less than the database grants, for clocks that run at
# different rates and for the time between a check and the byte that it lets go.
LEASE_MARGIN_SECONDS = 5


async def register(connection: AsyncConnection[Any], process: str) -> None:
    """Make the row of a new process, with a fresh lease."""
    await connection.execute(
        "INSERT INTO gateway_process (id, host, started_at, lease_until)"
        " VALUES (%s, %s, clock_timestamp(), clock_timestamp() + %s * interval '1 second')",
        [process, socket.gethostname()[:255], LEASE_SECONDS],
    )


async def renew(
    connection: AsyncConnection[Any], process: str, *, finished: int, held: dict[int, int]
) -> bool:
    """Renew the lease, and show what is held and how many attempts have finished.

    Returns False when the process has been ended: it must not use its allowances again.
    """
    cursor = await connection.execute(
        "UPDATE gateway_process SET finished = %s,"
        " lease_until = clock_timestamp() + %s * interval '1 second'"
        " WHERE id = %s AND ended_at IS NULL",
        [finished, LEASE_SECONDS, process],
    )
    if cursor.rowcount == 0:
        return False
    if held:
        await connection.execute(
            "UPDATE allowance a SET held = h.amount"
            " FROM unnest(%s::bigint[], %s::bigint[]) AS h (window_id, amount)"
            " WHERE a.window_id = h.window_id AND a.process_id = %s AND a.held <> h.amount",
            [list(held), list(held.values()), process],
        )
    return True


async def count_alive(connection: AsyncConnection[Any]) -> int:
    """Return how many processes share what is left of every window."""
    cursor = await connection.execute(
        "SELECT count(*) FROM gateway_process"
        " WHERE ended_at IS NULL AND lease_until > clock_timestamp()"
    )
    row = await cursor.fetchone()
    return int(row[0]) if row else 1


async def end_cleanly(connection: AsyncConnection[Any], process: str, *, finished: int) -> None:
    """End a process that has settled everything: all that is left in its allowances goes back."""
    async with connection.transaction():
        if await _lock(connection, process, is_dead=True):
            await connection.execute(
                "UPDATE gateway_process SET finished = %s WHERE id = %s", [finished, process]
            )
            await _end(connection, process, events=[], spool_is_known=True)


async def reap_ended_processes(
    conninfo: str, spool_root: Path, *, note_failure: Callable[[str], None] = log.exception
) -> int:
    """End processes whose lease ran out or whose spool is abandoned here. Returns how many.

    Also replays the spools of processes that were ended before theirs could be read. One that
    cannot be ended stays as it is, is told of by `note_failure` and keeps no other from it; raises
    one of AWAY where the database is.
    """
    connection = await connect(
        conninfo, application_name="tollgate reaper", statement_timeout_seconds=60
    )
    try:
        reaped = 0
        found = [(spool_root / process, False) for process in await _expired(connection)]
        abandoned = await asyncio.to_thread(_abandoned_spools, spool_root)
        for folder, is_dead in [*found, *((folder, True) for folder in abandoned)]:
            try:
                reaped += await _sweep_up(connection, folder, is_dead=is_dead)
            except AWAY as error:
                if connection.closed:
                    raise
                log.warning("process %s cannot be ended now: %s", folder.name, error)
            except Exception:
                log.error("process %s cannot be ended", folder.name)
                note_failure("end the dead")
        return reaped
    finally:
        await connection.close()


async def _sweep_up(connection: AsyncConnection[Any], folder: Path, *, is_dead: bool) -> bool:
    reaped = await reap(connection, folder.name, folder, is_dead=is_dead)
    if is_dead:
        await _replay(connection, folder)
    return reaped


async def reap(
    connection: AsyncConnection[Any], process: str, folder: Path, *, is_dead: bool
) -> bool:
    """End one process with what its spool says. False if it has ended or is alive after all.

    The spool is read after the row is locked and the lease found lapsed. A process that is only
    stopped writes `sent` before it looks at its lease, so what is not in the spool by now will
    not leave.
    """
    async with connection.transaction():
        if not await _lock(connection, process, is_dead=is_dead):
            return False
        events = await asyncio.to_thread(_read, folder)
        await _end(connection, process, events=events or [], spool_is_known=events is not None)
    log.warning(
        "ended gateway process %s: %s",
        process,
        "its spool is out of reach, so all that it had drawn is captured"
        if events is None
        else f"{len(events)} attempts in its spool",
    )
    return True


async def _expired(connection: AsyncConnection[Any]) -> list[str]:
    cursor = await connection.execute(
        "SELECT id::text FROM gateway_process"
        " WHERE ended_at IS NULL AND lease_until < clock_timestamp() ORDER BY id"
    )
    return [row[0] for row in await cursor.fetchall()]


def _abandoned_spools(root: Path) -> list[Path]:
    if not root.is_dir():
        return []
    folders = (folder for folder in sorted(root.iterdir()) if _PROCESS_ID.fullmatch(folder.name))
    return [folder for folder in folders if is_abandoned(folder)]


def _read(folder: Path) -> list[bytes] | None:
    """Return what stands in a spool; None where there is none that this machine can read."""
    return read_spool(folder).payloads if folder.is_dir() else None


async def _lock(connection: AsyncConnection[Any], process: str, *, is_dead: bool) -> bool:
    """Lock the row of a process that has not ended and is dead or whose lease ran out."""
    cursor = await connection.execute(
        "SELECT 1 FROM gateway_process WHERE id = %s AND ended_at IS NULL"
        " AND (%s OR lease_until < clock_timestamp()) FOR UPDATE",
        [process, is_dead],
    )
    return await cursor.fetchone() is not None


async def _end(
    connection: AsyncConnection[Any], process: str, *, events: list[bytes], spool_is_known: bool
) -> None:
    """End a locked process: charge what it sent, then return or capture the rest."""
    readable = await settlement.leave_out_unreadable(connection, events)
    events = await settlement.leave_out_dropped(connection, readable)
    sent = [readable[event] for event in events]
    await suspend_routes(connection, sent)
    await connection.execute(
        "UPDATE gateway_process SET ended_at = clock_timestamp() WHERE id = %s", [process]
    )
    cursor = await connection.execute(
        "SELECT window_id FROM allowance WHERE process_id = %s", [process]
    )
    windows = {row[0] for row in await cursor.fetchall()}
    windows.update(window for event in sent for window in event.windows)
    await connection.execute(LOCK_WINDOWS, [sorted(windows)])
    await settlement.settle_for_ended(connection, process=process, events=events)
    if not spool_is_known:
        await connection.execute(
            "INSERT INTO adjustment (window_id, process, amount, usage, reason)"
            " SELECT window_id, process_id, amount, '{}', 'spool_lost' FROM allowance"
            " WHERE process_id = %s AND amount > 0",
            [process],
        )
    await connection.execute(
        "UPDATE quota_window w SET drawn = w.drawn - a.amount,"
        " posted = w.posted + CASE WHEN %s THEN 0 ELSE a.amount END"
        " FROM allowance a WHERE a.window_id = w.id AND a.process_id = %s",
        [spool_is_known, process],
    )
    await connection.execute("DELETE FROM allowance WHERE process_id = %s", [process])


async def _replay(connection: AsyncConnection[Any], folder: Path) -> None:
    """Settle, by the late path, everything in the spool of a process that is gone; then drop it.

    What the process or its reaper settled before is not settled again.
    """
    found = await asyncio.to_thread(read_spool, folder)
    readable = await settlement.leave_out_unreadable(connection, found.payloads)
    await late.settle_late(connection, process=folder.name, events=list(readable))
    await late.credit_captured(connection, process=folder.name)
    shutil.rmtree(folder, ignore_errors=True)
