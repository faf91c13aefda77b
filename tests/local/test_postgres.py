"""The embedded PostgreSQL: what it is, what it survives, and what it leaves behind."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from local.children import wait_until
from local.errors import ServerError
from local.postgres import Postgres

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def server(data_dir: Path) -> Iterator[Postgres]:
    postgres = Postgres(data_dir, durable=False)
    yield postgres
    postgres.stop()


def ask(url: str, query: str) -> str:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(query.encode()).fetchone()
        return "" if row is None else str(row[0])


def run(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode())


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_it_is_postgresql_18_in_utf8_and_utc(server: Postgres) -> None:
    url = server.start()
    assert ask(url, "SHOW server_version").startswith("18.")
    assert ask(url, "SHOW server_encoding") == "UTF8"
    assert ask(url, "SHOW timezone") == "UTC"
    assert ask(url, "SELECT lower('GRÜSSE')") == "grüsse"


def test_it_listens_on_the_loopback_address_only_and_asks_for_the_password(
    server: Postgres,
) -> None:
    url = server.start()
    assert ask(url, "SHOW listen_addresses") == "127.0.0.1"
    assert ask(url, "SHOW unix_socket_directories") == ""
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(url, password="wrong")


def test_it_never_runs_as_root(server: Postgres) -> None:
    server.start()
    assert server.folder.stat().st_uid != 0
    assert server.folder.stat().st_mode & 0o077 == 0


def test_a_restart_keeps_data_port_and_password(server: Postgres) -> None:
    url = server.start()
    run(url, "CREATE TABLE kept AS SELECT 7 AS number")
    server.stop()
    assert server.start() == url
    assert ask(url, "SELECT number FROM kept") == "7"


def test_committed_rows_survive_a_kill_of_the_server(data_dir: Path) -> None:
    first = Postgres(data_dir)
    run(first.start(), "CREATE TABLE kept AS SELECT 7 AS number")
    os.kill(first.pid or 0, signal.SIGKILL)
    assert wait_until(lambda: first.poll() is not None, 10)
    second = Postgres(data_dir)
    try:
        assert ask(second.start(), "SELECT number FROM kept") == "7"
    finally:
        second.stop()


def test_a_server_left_running_is_ended_before_the_next_start(data_dir: Path) -> None:
    orphan, server = Postgres(data_dir, durable=False), Postgres(data_dir, durable=False)
    orphan.start()
    try:
        assert ask(server.start(), "SELECT 1") == "1"
        assert orphan.poll() is not None
    finally:
        server.stop()
        orphan.stop()


def test_the_pid_file_of_a_stranger_ends_nobody(server: Postgres) -> None:
    server.start()
    server.stop()
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        (server.folder / "postmaster.pid").write_text(f"{stranger.pid}\n")
        server.start()
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_stop_leaves_no_process_of_the_server(server: Postgres) -> None:
    url = server.start()
    pids = [server.pid or 0]
    with psycopg.connect(url) as connection:
        pids.append(connection.info.backend_pid)
        server.stop()
    assert wait_until(lambda: not any(map(is_running, pids)), 5)
    assert not (server.folder / "postmaster.pid").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's end")
def test_the_server_ends_when_its_supervisor_is_killed(data_dir: Path) -> None:
    program = (
        "import sys, pathlib, time; from local.postgres import Postgres;"
        "server = Postgres(pathlib.Path(sys.argv[1]), durable=False); server.start();"
        "print(server.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(data_dir)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
    ) as supervisor:
        assert supervisor.stdout is not None
        pid = int(supervisor.stdout.readline())
        supervisor.kill()
    assert wait_until(lambda: not is_running(pid), 10)


def test_a_data_folder_of_another_version_is_refused_in_one_sentence(server: Postgres) -> None:
    server.start()
    server.stop()
    (server.folder / "PG_VERSION").write_text("19\n")
    with pytest.raises(ServerError, match=r"was written by PostgreSQL 19.*TOLLGATE_DATA") as caught:
        server.start()
    assert "\n" not in str(caught.value)


def test_a_half_made_data_folder_does_not_count(server: Postgres, data_dir: Path) -> None:
    (data_dir / "postgres.new").mkdir()
    (data_dir / "postgres.new" / "PG_VERSION").write_text("18\n")
    assert ask(server.start(), "SELECT 1") == "1"
    assert not (data_dir / "postgres.new").exists()


def test_a_server_that_does_not_come_up_is_told_with_the_end_of_its_log(server: Postgres) -> None:
    server.start()
    server.stop()
    (server.folder / "postgresql.conf").write_text("no_such_setting = 1\n")
    with pytest.raises(ServerError, match="no_such_setting"):
        server.start()
    assert server.poll() is not None


def test_a_missing_password_file_is_told(server: Postgres, data_dir: Path) -> None:
    server.start()
    server.stop()
    (data_dir / "postgres.password").unlink()
    with pytest.raises(ServerError, match=r"postgres\.password"):
        server.start()
