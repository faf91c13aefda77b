"""Connections of the path of a call: psycopg 3, autocommit, and no wait without an end.

Cancelling a coroutine that awaits psycopg takes 10 s while the server is stopped: psycopg asks the
server to cancel and waits for the answer. So nothing here cancels. A connection that takes too long
is severed, and whoever awaits it gets psycopg.OperationalError in the same instant. The server has
its own bounds on us: a process that is stopped in a transaction must not keep its locks.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg

# libpq takes no connect_timeout below two seconds. The last two end a connection whose network is
# gone; a server that is only stopped still acknowledges, and severed_after() ends that one.
BOUNDS: dict[str, str | int] = {
    "connect_timeout": 2,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 5000,
}

# Between statements, and as a whole: the last one also counts while a pipeline waits for its end,
# and PostgreSQL has it since 17.
_SET_BOUNDS = """
    SELECT set_config(name, CASE name WHEN 'transaction_timeout' THEN %s ELSE %s END, false)
    FROM pg_settings WHERE name IN
        ('statement_timeout', 'idle_in_transaction_session_timeout', 'transaction_timeout')
"""


async def connect(
    conninfo: str, *, application_name: str, statement_timeout_seconds: int
) -> psycopg.AsyncConnection:
    """Open a connection in about two seconds or raise psycopg.OperationalError.

    A transaction may take as long as two statements.
    """
    bounded = psycopg.conninfo.make_conninfo(conninfo, application_name=application_name, **BOUNDS)
    connection = await psycopg.AsyncConnection.connect(bounded, autocommit=True)
    try:
        with severed_after(connection, 2):
            bounds = (f"{2 * statement_timeout_seconds}s", f"{statement_timeout_seconds}s")
            await connection.execute(_SET_BOUNDS, bounds)
    except BaseException:
        await connection.close()
        raise
    return connection


@contextmanager
def severed_after(connection: psycopg.AsyncConnection, seconds: float) -> Iterator[None]:
    """Sever the connection unless the block ends within `seconds`."""
    timer = asyncio.get_running_loop().call_later(seconds, sever, connection)
    try:
        yield
    finally:
        timer.cancel()


def sever(connection: psycopg.AsyncConnection) -> None:
    """Shut the socket down without a word to the server; harmless when it is closed already."""
    try:
        with socket.socket(fileno=os.dup(connection.fileno())) as own:
            own.shutdown(socket.SHUT_RDWR)
    except (psycopg.Error, OSError):
        return  # Closed on our side, or by the server: nobody can be waiting for it any more.


def conninfo_of(settings: Mapping[str, Any]) -> str:
    """Return a database of Django's settings as libpq names it."""
    names = {"dbname": "NAME", "host": "HOST", "port": "PORT", "user": "USER"}
    found: dict[str, Any] = {ours: settings[theirs] or None for ours, theirs in names.items()}
    options = {k: v for k, v in settings["OPTIONS"].items() if k.startswith("ssl")}
    return psycopg.conninfo.make_conninfo(**found, password=settings["PASSWORD"] or None, **options)
