"""`make run` as a whole: the first start, commands beside it, its end, and what it survives."""

import json
import os
import shutil
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import psycopg
import pytest

from local.children import wait_until
from tests.local.running import Run, fail_to_run, list_processes_of, running
from tests.servers import make_reachable_folder


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    folder = make_reachable_folder()
    with running(folder) as started:
        yield started
    shutil.rmtree(folder)


def call(run: Run, key: str) -> dict[str, object]:
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello!"}]}
    request = Request(
        f"http://127.0.0.1:{run.port}/v1/chat/completions",
        data=json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
    )
    with urlopen(request, timeout=20) as response:
        answer: dict[str, object] = json.load(response)
        return answer


def test_the_first_start_prints_a_call_that_is_answered_with_usage(run: Run) -> None:
    key = run.read_demo()["DEMO_KEY"]
    assert f"Bearer {key}" in run.output.read_text()
    assert "usage" in call(run, key)


def test_the_files_with_secrets_are_their_owners_alone(run: Run) -> None:
    for name in ("demo.env", "run.json", "postgres.password"):
        assert (run.data_dir / name).stat().st_mode & 0o077 == 0


def test_commands_work_beside_it(run: Run) -> None:
    for command in (["migrate", "--check"], ["apply", str(run.data_dir / "demo.yaml")]):
        done = run.manage(*command)
        assert done.returncode == 0, done.stderr


def test_the_operator_of_the_demo_can_log_in(run: Run) -> None:
    demo = run.read_demo()
    program = (
        "from django.contrib.auth import authenticate;"
        f"print(authenticate(username={demo['DEMO_EMAIL']!r}, password={demo['DEMO_PASSWORD']!r})"
        ".is_superuser)"
    )
    assert run.manage("shell", "--no-imports", "-c", program).stdout.strip() == "True"


def test_nothing_but_the_web_server_listens_on_a_known_port_without_a_password(run: Run) -> None:
    found = run.read_running()
    for name in ("DATABASE_URL", "REDIS_URL"):
        assert "@127.0.0.1:" in str(found[name])
        assert not str(found[name]).startswith(("postgres://@", "redis://@"))


@pytest.mark.parametrize(
    "number", [pytest.param(signal.SIGINT, marks=pytest.mark.slow), signal.SIGTERM]
)
def test_a_signal_ends_every_child_and_leaves_no_socket_or_half_written_file(
    data_dir: Path, number: signal.Signals
) -> None:
    with running(data_dir) as run:
        assert run.stop(number) == 0
        assert list_processes_of(data_dir) == []
    assert not (data_dir / "run.json").exists()
    assert not list(data_dir.rglob("*.new"))
    assert not (data_dir / "postgres" / "postmaster.pid").exists()
    with socket.create_server(("127.0.0.1", run.port)):
        pass


@pytest.mark.slow
def test_a_second_start_keeps_login_key_and_data(data_dir: Path) -> None:
    with running(data_dir) as first:
        demo = first.read_demo()
    with running(data_dir) as second:
        assert second.read_demo() == demo
        assert "usage" in call(second, demo["DEMO_KEY"])


@pytest.mark.slow
def test_a_revoked_demo_key_is_followed_by_one_that_works(data_dir: Path) -> None:
    with running(data_dir) as first:
        old = first.read_demo()["DEMO_KEY"]
        public_id = old.partition("_")[2][:12]
        assert first.manage("revoke_key", public_id).returncode == 0
    with running(data_dir) as second:
        new = second.read_demo()["DEMO_KEY"]
        assert new != old
        assert "usage" in call(second, new)


@pytest.mark.slow
def test_a_database_of_a_newer_version_is_told(data_dir: Path) -> None:
    with running(data_dir) as run, psycopg.connect(str(run.read_running()["DATABASE_URL"])) as db:
        db.execute(
            "INSERT INTO django_migrations (app, name, applied) VALUES ('billing', '9000', now())"
        )
    said = fail_to_run(data_dir)
    assert said.startswith("The database was migrated by a newer Tollgate (billing.9000")
    assert said.count("\n") == 1
    assert list_processes_of(data_dir) == []


def test_an_end_while_it_starts_leaves_nothing_running(data_dir: Path) -> None:
    run = Run(data_dir)
    run.start()
    assert wait_until((data_dir / "postgres.password").exists, 20)
    assert run.stop() == 0
    run.output.unlink()
    assert list_processes_of(data_dir) == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's end")
@pytest.mark.slow
def test_a_killed_supervisor_leaves_nothing_running_and_the_next_start_works(
    data_dir: Path,
) -> None:
    with running(data_dir) as run:
        assert run.process is not None
        run.process.kill()
        run.process.wait()
        assert wait_until(lambda: list_processes_of(data_dir) == [], 30)
    assert (data_dir / "run.json").exists()
    assert run.manage("check").stderr.startswith("No servers are running")
    with running(data_dir, PORT=str(run.port)) as again:
        assert again.get("/readyz") == 200


@pytest.mark.slow
def test_a_killed_web_server_and_database_come_back(data_dir: Path) -> None:
    with running(data_dir) as run:
        key = run.read_demo()["DEMO_KEY"]
        kill_children_named(run, "config.serve", "postgres")
        run.wait_for("web ended with exit code -9")
        run.wait_for("Postgres ended with exit code -9")
        assert wait_until(lambda: is_ready(run), 30)
        assert "usage" in call(run, key)


def kill_children_named(run: Run, *words: str) -> None:
    assert run.process is not None
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            command = (entry / "cmdline").read_text()
        except OSError:
            continue
        if parent == run.process.pid and any(word in command for word in words):
            os.kill(int(entry.name), signal.SIGKILL)


def is_ready(run: Run) -> bool:
    try:
        return run.get("/readyz") == 200
    except OSError:
        return False


@pytest.mark.slow
def test_an_open_host_gets_no_demo_login_and_no_key(data_dir: Path) -> None:
    with running(data_dir, HOST="0.0.0.0") as run:
        printed = run.output.read_text()
        assert run.read_demo().keys() == {"SECRET_KEY", "KEY_PEPPERS", "CREDENTIAL_KEYS"}
    assert "createsuperuser" in printed
    assert "curl" not in printed


def test_with_real_servers_nothing_embedded_starts(data_dir: Path) -> None:
    names = ("DATABASE_URL", "REDIS_URL", "SECRET_KEY", "KEY_PEPPERS", "CREDENTIAL_KEYS")
    with running(data_dir, **{name: os.environ[name] for name in names}) as run:
        assert "DATABASE_URL names a database of yours" in run.output.read_text()
        commands = " ".join(list_processes_of(data_dir))
    assert "config.serve" in commands
    assert "valkey-server" not in commands
    assert "bin/postgres" not in commands
    assert {path.name for path in data_dir.iterdir()} >= {"logs"}
    assert not (data_dir / "postgres").exists()
    assert not (data_dir / "demo.env").exists()
