"""A follower over a real server that is stopped, killed and started again, on uvloop."""

import asyncio
import os
import shutil
import signal
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path

import psycopg
import pytest
import uvloop

from accounts.changes import Change, Follower
from local.postgres import Postgres
from tests.servers import make_reachable_folder

FRESHNESS_SECONDS = 2.0


class Counter:
    """A subscriber that counts what it is told."""

    kinds = frozenset({"project"})

    def __init__(self) -> None:
        self.loads = 0
        self.seen: list[int] = []

    async def load(self, connection: psycopg.AsyncConnection) -> None:
        self.loads += 1

    async def refresh(self, connection: psycopg.AsyncConnection, changes: Sequence[Change]) -> None:
        self.seen += [change.object_id for change in changes]


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    folder = make_reachable_folder()
    server = Postgres(folder, durable=False)
    try:
        server.start()
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute(
                "CREATE TABLE change_log (seq bigserial PRIMARY KEY, kind text,"
                " object_id bigint, organization bigint, at timestamptz DEFAULT now())"
            )
            _change(connection, 0)
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def test_a_stopped_server_lets_freshness_lapse_and_is_followed_again_afterwards(
    server: Postgres,
) -> None:
    async def story(follower: Follower, counter: Counter) -> None:
        with psycopg.connect(server.url, autocommit=True) as writer:
            processes = _find_processes(server)
            _signal_all(processes, signal.SIGSTOP)
            try:
                slowest = await _measure_loop(5)
                # A statement that it waited for would take as long as the server is stopped; the
                # rest is for this machine's other work.
                assert slowest < 2, "the loop has to go on meanwhile"
                assert follower.fresh_until < time.monotonic() - 1
            finally:
                _signal_all(processes, signal.SIGCONT)
            _change(writer, 1)
            await _until(lambda: 1 in counter.seen)
            assert follower.fresh_until > time.monotonic()
            assert counter.loads == 1

    _play(server, story)


def test_closing_over_a_stopped_server_takes_seconds_and_not_for_ever(server: Postgres) -> None:
    async def story(follower: Follower, _: Counter) -> None:
        processes = _find_processes(server)
        _signal_all(processes, signal.SIGSTOP)
        try:
            await asyncio.sleep(0.2)
            began = time.monotonic()
            await follower.close()
            assert time.monotonic() - began < 4
        finally:
            _signal_all(processes, signal.SIGCONT)

    _play(server, story)


def test_a_server_that_was_started_again_is_followed_from_the_last_number(
    server: Postgres,
) -> None:
    async def story(follower: Follower, counter: Counter) -> None:
        await asyncio.to_thread(server.stop)
        await asyncio.sleep(0.5)
        server.start()  # Not in another thread: the server ends with the one that starts it.
        with psycopg.connect(server.url, autocommit=True) as writer:
            _change(writer, 2)
        await _until(lambda: 2 in counter.seen)
        assert counter.loads == 1

    _play(server, story)


def _play(server: Postgres, story: Callable[[Follower, Counter], Awaitable[None]]) -> None:
    async def run() -> None:
        counter = Counter()
        follower = Follower(server.url, [counter], freshness_seconds=FRESHNESS_SECONDS)
        await follower.start()
        task = asyncio.create_task(follower.run())
        try:
            await story(follower, counter)
        finally:
            await follower.close()
            await task

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


async def _measure_loop(seconds: float) -> float:
    """Return the longest time for which the event loop did not come round."""
    deadline = time.monotonic() + seconds
    slowest = 0.0
    while (now := time.monotonic()) < deadline:
        await asyncio.sleep(0.01)
        slowest = max(slowest, time.monotonic() - now - 0.01)
    return slowest


async def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 6
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.01)


def _change(connection: psycopg.Connection, number: int) -> None:
    with connection.transaction():
        connection.execute(
            "INSERT INTO change_log (kind, object_id) VALUES ('project', %s)", (number,)
        )
        connection.execute("NOTIFY tollgate_changes")


def _find_processes(server: Postgres) -> list[int]:
    """The postmaster and its children; it stops first, so that it makes no further ones."""
    assert server.pid is not None
    found = [server.pid]
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == server.pid:
            found.append(int(status.parent.name))
    return found


def _signal_all(processes: Sequence[int], number: signal.Signals) -> None:
    for process in processes:
        os.kill(process, number)
