"""How windows stand now, for whoever asks: no call waits for it.

All who ask at the same time share one reading, and there is never more than one under way: where
it is not answered, whoever asks is told so at once, and it is the only thing that waits.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import psycopg

from billing.ledger.allowances import WAIT_SECONDS, Standing, Unavailable, Window
from billing.ledger.database import AWAY, Database
from billing.ledger.loops import Loops

Found = dict[Window, Standing]

# A limit of which a raise has ended is made true by the next draw; until then it is computed.
_STANDING = """
SELECT asked.place, w.starts_at, w.ends_at,
    CASE WHEN w.raised_until <= now()
        THEN ledger_limit(w.quota_id, w.posted + w.overrun + w.drawn, now())
        ELSE w."limit" END,
    w.posted + w.overrun, w.drawn
FROM unnest(%s::bigint[], %s::timestamptz[]) WITH ORDINALITY AS asked (quota_id, at, place)
JOIN quota_window w
    ON w.quota_id = asked.quota_id AND w.starts_at <= asked.at AND w.ends_at > asked.at
"""


class Readings:
    """Reads by `read`, which returns how windows stand in their order."""

    def __init__(
        self, read: Callable[[Sequence[Window]], Awaitable[list[Standing]]], *, loops: Loops
    ) -> None:
        self.made = 0
        self._read = read
        self._loops = loops
        self._asked: list[tuple[Sequence[Window], asyncio.Future[Found]]] = []
        self._reading: asyncio.Task[None] | None = None
        self._started = 0.0

    async def ask(self, windows: Sequence[Window]) -> list[Standing]:
        """Return how windows stand, in their order. Raises Unavailable within WAIT_SECONDS."""
        if not windows:
            return []
        loop = asyncio.get_running_loop()
        if self._reading is None:
            self._started = loop.time()
            self._reading = asyncio.create_task(self._read_all(), name="read how windows stand")
        elif loop.time() - self._started > WAIT_SECONDS:
            raise Unavailable("the last reading has not been answered")
        future: asyncio.Future[Found] = loop.create_future()
        self._asked.append((windows, future))
        late = Unavailable("the database did not answer in time")
        timer = loop.call_later(WAIT_SECONDS, _refuse, future, late)
        try:
            found = await future
        finally:
            timer.cancel()
        return [found[window] for window in windows]

    async def _read_all(self) -> None:
        """Read until nobody asks."""
        while self._asked:
            asked, self._asked = self._asked, []
            self._started = asyncio.get_running_loop().time()
            waiting = [(windows, future) for windows, future in asked if not future.done()]
            try:
                await self._answer(waiting)
            except Exception as error:
                if not isinstance(error, (psycopg.Error, *AWAY)):
                    self._loops.note_failure("read how windows stand")
                for _, future in waiting:
                    _refuse(future, Unavailable(str(error)))
        self._reading = None

    async def _answer(
        self, asked: Sequence[tuple[Sequence[Window], asyncio.Future[Found]]]
    ) -> None:
        windows = list(dict.fromkeys(window for some, _ in asked for window in some))
        found = dict(zip(windows, await self._read(windows), strict=True))
        self.made += 1
        for _, future in asked:
            if not future.done():
                future.set_result(found)


def _refuse(future: asyncio.Future[Found], reason: Unavailable) -> None:
    if not future.done():
        future.set_exception(reason)


async def read_windows(database: Database, windows: Sequence[Window]) -> list[Standing]:
    """Return how windows in PostgreSQL stand, in their order. Raises psycopg's errors."""
    if not windows:
        return []
    asked = [w.rule.id for w in windows], [w.opened_at for w in windows]
    try:
        async with database.connection() as connection:
            cursor = await connection.execute(_STANDING, asked)
            found = {row[0]: row[1:] for row in await cursor.fetchall()}
    except BaseException:
        database.drop()
        raise
    now = time.time()
    return [_stand(window, found.get(place), now) for place, window in enumerate(windows, start=1)]


def _stand(window: Window, row: tuple[Any, ...] | None, now: float) -> Standing:
    """Say how a window stands by its row, or without one as a new one does. What this process has
    drawn and is not using is held by nobody."""
    if row is None:
        row = (window.starts_at, window.ends_at, window.rule.limit, 0, 0)
    starts_at, ends_at, limit, used, drawn = row
    held = max(drawn - max(window.free, 0), 0)
    return Standing(window.rule, starts_at, ends_at, limit, used, held, now)
