"""The figures of the whole installation, as every process offers them: read from the database at
most every few seconds, and never waited for long.

A figure that cannot be had is left out of the answer; it never fails one. Statements are not
cancelled: a reading that takes too long goes on, and the next one who asks finds what it brought.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping

import psycopg

from accounts.connections import connect
from billing.ledger.database import AWAY
from billing.status import FIGURES

log = logging.getLogger(__name__)

KEPT_SECONDS = 5.0
STALE_SECONDS = 60.0
WAIT_SECONDS = 1.0
STATEMENT_SECONDS = 1


class Fleet:
    """Keeps what the database last said."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._figures: dict[str, float] = {}
        self._read_at = float("-inf")
        self._reading: asyncio.Task[None] | None = None

    async def figures(self) -> Mapping[str, float]:
        """Return the figures by name, as fresh as can be had within a second."""
        now = time.monotonic()
        if now - self._read_at > KEPT_SECONDS:
            if self._reading is None or self._reading.done():
                self._reading = asyncio.create_task(self._read(), name="read the fleet's figures")
            await asyncio.wait([self._reading], timeout=WAIT_SECONDS)
        return self._figures if now - self._read_at < STALE_SECONDS else {}

    async def close(self) -> None:
        """Wait for a reading that is under way."""
        if self._reading is not None:
            await asyncio.wait([self._reading], timeout=WAIT_SECONDS)

    async def _read(self) -> None:
        try:
            connection = await connect(
                self._conninfo,
                application_name="tollgate metrics",
                statement_timeout_seconds=STATEMENT_SECONDS,
            )
        except (psycopg.Error, *AWAY) as error:
            log.debug("the fleet's figures cannot be read: %s", error)
            return
        try:
            self._figures = await _read_each(connection)
            self._read_at = time.monotonic()
        finally:
            await connection.close()


async def _read_each(connection: psycopg.AsyncConnection) -> dict[str, float]:
    """Read every figure; one that takes too long or fails is missing."""
    found = {}
    for name, (_, query) in FIGURES.items():
        try:
            row = await (await connection.execute(query.encode())).fetchone()
        except (psycopg.Error, *AWAY) as error:
            log.debug("%s cannot be read: %s", name, error)
        else:
            if row is not None:
                found[name] = float(row[0])
    return found
