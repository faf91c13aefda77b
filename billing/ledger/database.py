"""One connection to PostgreSQL that comes back, for a task that is its only user.

The path of a call never awaits it: it waits for a future that the task resolves. A statement that
is not answered is never cancelled; after LONGEST_SECONDS its connection is severed, and whether
it was committed is then unknown to the one who sent it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg import AsyncConnection

from accounts.connections import connect, sever, severed_after

LONGEST_SECONDS = 15

# What a server or a network that went away looks like; anything else is about the statement.
AWAY = (psycopg.OperationalError, psycopg.InterfaceError, OSError)


class Database:
    """Opens a connection when it is first needed, and a new one after it broke."""

    def __init__(self, conninfo: str, *, name: str) -> None:
        self._conninfo = conninfo
        self._name = name
        self._connection: AsyncConnection[Any] | None = None

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection[Any]]:
        """Lend the connection, in autocommit mode, for some statements. Raises one of AWAY."""
        if self._connection is None or self._connection.closed or self._connection.broken:
            self._connection = await connect(
                self._conninfo, application_name=self._name, statement_timeout_seconds=10
            )
        with severed_after(self._connection, LONGEST_SECONDS):
            yield self._connection

    def drop(self) -> None:
        """Let go of the connection at once, whatever the server does: the next use opens one."""
        if self._connection is not None:
            sever(self._connection)
            self._connection = None
