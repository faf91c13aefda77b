"""A follower applies every change once it is committed, loses none, and says how fresh it is."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import LiteralString

import psycopg
import pytest

from accounts import changes
from accounts.changes import Change, Follower, trim_change_log
from accounts.models import ChangeLog, Project

pytestmark = pytest.mark.django_db(transaction=True)


class Names:
    """A subscriber: the names of all projects."""

    kinds = frozenset({"project"})

    def __init__(self) -> None:
        self.names: dict[int, str] = {}
        self.loads = 0
        self.applied: list[Change] = []
        self.broken = False

    async def load(self, connection: psycopg.AsyncConnection) -> None:
        self.loads += 1
        self.broken = False
        self.names = dict(await _fetch(connection, "SELECT id, name FROM project"))

    async def refresh(self, connection: psycopg.AsyncConnection, changes: Sequence[Change]) -> None:
        if self.broken:
            raise KeyError("a mistake in a subscriber")
        self.applied += changes
        numbers = [change.object_id for change in changes]
        rows = await _fetch(connection, "SELECT id, name FROM project WHERE id = ANY(%s)", numbers)
        self.names.update(rows)


async def test_everything_is_loaded_before_start_returns(project: Project, dsn: str) -> None:
    began = time.monotonic()
    async with _following(dsn) as (follower, names):
        assert names.names == {project.pk: "Default"}
        assert began + 5 < follower.fresh_until < time.monotonic() + 5


async def test_a_change_is_applied_in_well_under_a_second(
    project: Project, dsn: str, aconn: psycopg.AsyncConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told of each, and does not look once a second: it would look once in ten minutes."""
    monkeypatch.setattr(changes, "POLL_SECONDS", 600.0)
    async with _following(dsn) as (_, names):
        for number in range(30):
            await aconn.execute("UPDATE project SET name = %s", (f"name {number}",))
            await _until(lambda: names.names[project.pk] == f"name {number}")  # noqa: B023


async def test_a_notice_that_cannot_be_read_has_nothing_loaded_again(
    project: Project, dsn: str, aconn: psycopg.AsyncConnection, caplog: pytest.LogCaptureFixture
) -> None:
    """One word of another release on the recalls' channel had every key be read anew."""
    numbers: list[int] = []
    async with _following(dsn, {"numbers": lambda said: numbers.append(int(said))}) as (_, names):
        await aconn.execute("NOTIFY numbers, 'one'")
        await aconn.execute("NOTIFY numbers, '2'")
        await _until(lambda: numbers == [2])
        assert names.loads == 1
    assert "A notice on numbers cannot be read." in caplog.text


async def test_a_change_of_another_kind_does_not_concern_a_subscriber(
    project: Project, dsn: str, aconn: psycopg.AsyncConnection
) -> None:
    async with _following(dsn) as (_, names):
        await aconn.execute("UPDATE organization SET name = 'new'")
        await aconn.execute("UPDATE project SET name = 'new'")
        await _until(lambda: bool(names.applied))
        assert {change.kind for change in names.applied} == {"project"}


async def test_more_changes_than_one_read_holds_are_all_applied(
    project: Project, dsn: str, aconn: psycopg.AsyncConnection
) -> None:
    async with _following(dsn) as (_, names):
        async with aconn.transaction():
            await aconn.execute(
                "INSERT INTO project (organization_id, slug, name, made_at)"
                " SELECT organization_id, n, n, now()"
                " FROM project, generate_series(1, 11000) AS numbers(n)"
            )
        await _until(lambda: len(names.names) == 11_001)
        assert names.loads == 1


async def test_changes_made_while_the_connection_was_lost_are_applied(
    project: Project, dsn: str, aconn: psycopg.AsyncConnection
) -> None:
    await _touch_log(aconn)
    async with _following(dsn) as (follower, names):
        await aconn.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'tollgate changes' AND datname = current_database()"
        )
        await aconn.execute("UPDATE project SET name = 'meanwhile'")
        await _until(lambda: names.names[project.pk] == "meanwhile")
        assert names.loads == 1
        assert follower.fresh_until > time.monotonic()


async def test_a_log_trimmed_beyond_the_last_number_seen_makes_all_load_again(
    project: Project, dsn: str, aconn: psycopg.AsyncConnection
) -> None:
    await _touch_log(aconn)
    names = Names()
    follower = Follower(dsn, [names], freshness_seconds=5)
    await follower.start()
    await aconn.execute("UPDATE project SET name = 'first'")
    await aconn.execute("UPDATE project SET name = 'second'")
    await aconn.execute("DELETE FROM change_log WHERE seq < (SELECT max(seq) FROM change_log)")
    async with _running(follower):
        await _until(lambda: names.names[project.pk] == "second")
    assert names.loads == 2


async def test_a_log_that_begins_anew_makes_all_load_again(
    project: Project, dsn: str, aconn: psycopg.AsyncConnection
) -> None:
    # As after a restore from an older backup.
    await _touch_log(aconn)
    async with _following(dsn) as (_, names):
        await aconn.execute("TRUNCATE change_log RESTART IDENTITY")
        await _until(lambda: names.loads == 2)


async def test_a_subscriber_that_fails_is_loaded_again(
    project: Project, dsn: str, aconn: psycopg.AsyncConnection
) -> None:
    await _touch_log(aconn)
    async with _following(dsn) as (_, names):
        names.broken = True
        await aconn.execute("UPDATE project SET name = 'new'")
        await _until(lambda: names.names[project.pk] == "new")
        assert names.loads == 2


async def test_start_says_so_when_the_database_is_away() -> None:
    follower = Follower("host=127.0.0.1 port=1 dbname=none", [], freshness_seconds=5)
    with pytest.raises(psycopg.OperationalError):
        await follower.start()
    assert follower.fresh_until < time.monotonic()


async def test_closing_ends_it_at_once(
    project: Project, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "POLL_SECONDS", 600.0)
    async with _following(dsn):
        pass  # Its end is waited for, some seconds at most.


def test_trimming_keeps_what_is_young_and_the_newest_row(project: Project) -> None:
    ChangeLog.objects.all().delete()
    for name in ("one", "two", "three"):
        Project.objects.update(name=name)
    oldest = ChangeLog.objects.earliest("seq")
    newest = ChangeLog.objects.latest("seq")
    ChangeLog.objects.filter(seq=oldest.seq).update(at=oldest.at - timedelta(days=8))
    assert trim_change_log(timedelta(days=7)) == 1
    assert trim_change_log(timedelta(0)) == 1
    assert ChangeLog.objects.get() == newest


@asynccontextmanager
async def _following(
    dsn: str, notices: Mapping[str, Callable[[str], None]] | None = None
) -> AsyncIterator[tuple[Follower, Names]]:
    names = Names()
    follower = Follower(dsn, [names], freshness_seconds=5, notices=notices)
    await follower.start()
    async with _running(follower):
        yield follower, names


@asynccontextmanager
async def _running(follower: Follower) -> AsyncIterator[None]:
    task = asyncio.create_task(follower.run())
    try:
        yield
    finally:
        await follower.close()
        await asyncio.wait_for(task, 5)


async def _fetch(
    connection: psycopg.AsyncConnection, query: LiteralString, *parameters: object
) -> list[tuple[int, str]]:
    rows = await (await connection.execute(query, parameters)).fetchall()
    return [(number, name) for number, name in rows]


async def _touch_log(connection: psycopg.AsyncConnection) -> None:
    """Leave a row in the log, which an emptied test database does not have."""
    await connection.execute("UPDATE project SET name = 'touched'")


async def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.005)
