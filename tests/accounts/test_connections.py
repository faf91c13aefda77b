"""A client that falls silent in the middle of a transaction gives its locks up."""

import psycopg
import pytest

from accounts.connections import connect
from accounts.models import Organization

pytestmark = pytest.mark.django_db(transaction=True)

LOCK = b"SELECT id FROM organization WHERE slug = 'acme' FOR UPDATE"


async def test_it_does_between_two_statements(
    acme: Organization, dsn: str, aconn: psycopg.AsyncConnection
) -> None:
    silent = await connect(dsn, application_name="silent", statement_timeout_seconds=1)
    await silent.execute("BEGIN")
    await silent.execute(LOCK)
    await expect_to_lock(aconn)
    await silent.close()


async def test_it_does_in_a_pipeline_of_which_the_end_was_never_sent(
    acme: Organization, dsn: str, aconn: psycopg.AsyncConnection
) -> None:
    # PostgreSQL bounds the wait between statements only once it has said that it is ready.
    silent = await connect(dsn, application_name="silent", statement_timeout_seconds=1)
    silent.pgconn.enter_pipeline_mode()
    for statement in (b"BEGIN", LOCK):
        silent.pgconn.send_query_params(statement, None)
    silent.pgconn.send_flush_request()
    silent.pgconn.flush()
    await expect_to_lock(aconn)
    await silent.close()


async def expect_to_lock(connection: psycopg.AsyncConnection) -> None:
    """It is locked by the silent one, and not for ever."""
    with pytest.raises(psycopg.errors.LockNotAvailable):
        await until_locked(connection)
    await connection.execute("SET lock_timeout = '20s'")
    await connection.execute(LOCK)


async def until_locked(connection: psycopg.AsyncConnection) -> None:
    while True:
        await connection.execute(LOCK + b" NOWAIT")
