"""A window's row in PostgreSQL, made or found when a process first draws from the window."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import psycopg

from billing.ledger.allowances import Window
from billing.ledger.windows import END, period

Connection = psycopg.AsyncConnection[Any]


async def open_windows(connection: Connection, windows: Sequence[Window]) -> list[Window]:
    """Learn the ids of windows that this process meets for the first time, and from when to
    when they count. One whose quota is being changed is waited for alone.

    Returns those that cannot be opened: their quota is deleted, and the change log will say so.
    """
    if not windows:
        return []
    await _ask_for(connection, windows, waits=len(windows) == 1)
    for window in windows:
        if not window.window:
            await _ask_for(connection, [window], waits=True)
    return [window for window in windows if not window.window]


async def _ask_for(connection: Connection, windows: Sequence[Window], *, waits: bool) -> None:
    cursor = await connection.execute(
        "SELECT ids, starts, ends FROM ledger_open_windows(%s, %s, %s, %s, %s, %s)",
        [
            [window.rule.id for window in windows],
            [window.opened_at for window in windows],
            [window.starts_at for window in windows],
            [window.ends_at for window in windows],
            [_end_of_next(window) for window in windows],
            waits,
        ],
    )
    row = await cursor.fetchone()
    assert row is not None
    for window, number, starts_at, ends_at in zip(windows, *row, strict=True):
        if number is not None:
            window.place(number, starts_at, ends_at)


def _end_of_next(window: Window) -> datetime:
    """Return when the period after a window's ends, by today's time zone."""
    if window.ends_at >= END:
        return END
    return period(window.rule.window, window.ends_at, window.time_zone)[1]
