"""One connection to PostgreSQL that comes back, for a task that is its only user.

The path of a call never awaits it: it waits for a future that the task resolves. Statements
against a server that does not answer are left to wait, not cancelled; a cancelled psycopg call
against a stopped server blocks its loop's task for ten seconds.
"""

from __future__ import annotations

import contextlib
from typing import Any

import psycopg
from psycopg import AsyncConnection
from psycopg.conninfo import make_conninfo

Row = tuple[Any, ...]

# What a server or a network that went away looks like; anything else is about the statement.
AWAY = (psycopg.OperationalError, psycopg.InterfaceError, OSError)

_OPTIONS = "-c statement_timeout=10s -c lock_timeout=3s -c idle_in_transaction_session_timeout=10s"


class Database:
    """Opens a connection when it is first needed, and a new one after it broke."""

    def __init__(self, conninfo: str, *, name: str) -> None:
        self._conninfo = make_conninfo(
            conninfo,
            application_name=name,
            options=_OPTIONS,
            connect_timeout=3,
            keepalives_idle=5,
            keepalives_interval=2,
            keepalives_count=3,
            tcp_user_timeout=10_000,
        )
        self._connection: AsyncConnection[Row] | None = None

    async def connection(self) -> AsyncConnection[Row]:
        """Return the open connection, in autocommit mode. Raises one of AWAY."""
        if self._connection is None or self._connection.closed or self._connection.broken:
            self.drop()
            self._connection = await AsyncConnection.connect(self._conninfo, autocommit=True)
        return self._connection

    def drop(self) -> None:
        """Let go of the connection at once, whatever the server does: the next use opens one."""
        if self._connection is not None:
            with contextlib.suppress(psycopg.Error):
                self._connection.pgconn.finish()
            self._connection = None
