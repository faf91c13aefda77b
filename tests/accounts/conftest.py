"""A keyring over the test database, brought up to date at a test's word."""

import psycopg
import pytest
from django.conf import settings

from accounts.changes import Change
from accounts.issuance import IssuedKey, issue_key
from accounts.keyring import Keyring
from accounts.models import Project


@pytest.fixture
def issued(project: Project) -> IssuedKey:
    """A service key of acme/default."""
    return issue_key(project=project, name="ci")


class FollowedKeyring(Keyring):
    """A keyring that reads the change log when it is told to."""

    async def open(self, connection: psycopg.AsyncConnection) -> None:
        self.connection = connection
        await self.load(connection)
        self.seq = max([change.seq for change in await self._read(0)], default=0)

    async def catch_up(self) -> list[Change]:
        changes = [change for change in await self._read(self.seq) if change.kind in self.kinds]
        await self.refresh(self.connection, changes)
        self.seq = changes[-1].seq if changes else self.seq
        return changes

    async def _read(self, seq: int) -> list[Change]:
        cursor = await self.connection.execute(
            "SELECT seq, kind, object_id, organization FROM change_log WHERE seq > %s ORDER BY seq",
            (seq,),
        )
        return [Change(*row) for row in await cursor.fetchall()]


@pytest.fixture
async def keyring(issued: IssuedKey, aconn: psycopg.AsyncConnection) -> FollowedKeyring:
    ring = FollowedKeyring(prefixes=[settings.KEY_PREFIX], peppers=settings.KEY_PEPPERS)
    await ring.open(aconn)
    return ring
