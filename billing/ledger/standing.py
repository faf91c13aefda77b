"""How windows in PostgreSQL stand now, for whoever asks: no call waits for it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from billing.ledger.allowances import Standing, Window
from billing.ledger.database import Database

# A limit of which a raise has ended is made true by the next draw; until then it is computed.
_STANDING = """
SELECT w.quota_id, w.starts_at, w.ends_at,
    CASE WHEN w.raised_until <= now()
        THEN ledger_limit(w.quota_id, w.posted + w.overrun + w.drawn, now())
        ELSE w."limit" END,
    w.posted + w.overrun, w.drawn
FROM unnest(%s::bigint[], %s::timestamptz[]) AS asked (quota_id, at)
JOIN quota_window w
    ON w.quota_id = asked.quota_id AND w.starts_at <= asked.at AND w.ends_at > asked.at
"""


async def read_windows(database: Database, windows: Sequence[Window]) -> list[Standing]:
    """Return how windows stand, in their order. Raises psycopg's errors."""
    if not windows:
        return []
    asked = [w.rule.id for w in windows], [w.opened_at for w in windows]
    async with database.connection() as connection:
        cursor = await connection.execute(_STANDING, asked)
        found = {row[0]: row[1:] for row in await cursor.fetchall()}
    now = time.time()
    return [_stand(window, found.get(window.rule.id), now) for window in windows]


def _stand(window: Window, row: tuple[Any, ...] | None, now: float) -> Standing:
    """Say how a window stands by its row, or without one as a new one does. What this process has
    drawn and is not using is held by nobody."""
    if row is None:
        row = (window.starts_at, window.ends_at, window.rule.limit, 0, 0)
    starts_at, ends_at, limit, used, drawn = row
    held = max(drawn - max(window.free, 0), 0)
    return Standing(window.rule, starts_at, ends_at, limit, used, held, now)
