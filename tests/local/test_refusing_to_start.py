"""What keeps `make run` from starting is told in one sentence, with exit code 1."""

import fcntl
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.new_secrets import make_secrets
from local.postgres import Postgres
from tests.local.running import Run, fail_to_run


def test_a_port_in_use_is_told_with_what_to_do(data_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = fail_to_run(data_dir, PORT=str(port))
    assert said.startswith(f"Port {port} on 127.0.0.1 is in use:")
    assert said.count("\n") == 1


def test_a_port_in_use_leaves_the_data_folder_without_a_server(data_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        fail_to_run(data_dir, PORT=str(taken.getsockname()[1]))
    assert not (data_dir / "postgres").exists()
    assert not (data_dir / "run.json").exists()


@pytest.fixture
def locked(data_dir: Path) -> Iterator[None]:
    with (data_dir / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.mark.usefixtures("locked")
def test_a_data_folder_in_use_is_told(data_dir: Path) -> None:
    said = fail_to_run(data_dir)
    assert said.startswith(f"The data folder {data_dir} is in use by another Tollgate")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [("PORT", "eighty"), ("PORT", "70000"), ("GATEWAY_WORKERS", "0"), ("HOST", "256.1.1.1")],
)
def test_a_bad_value_is_told_by_its_name(data_dir: Path, name: str, value: str) -> None:
    said = fail_to_run(data_dir, **{name: value})
    assert name in said
    assert said.count("\n") == 1


def test_a_setting_that_only_the_product_reads_is_told_as_plainly(data_dir: Path) -> None:
    said = fail_to_run(data_dir, FRESHNESS_SECONDS="soon")
    assert said.startswith("FRESHNESS_SECONDS='soon' is not a whole number.")
    assert said.count("\n") == 1


def test_real_servers_need_secrets_from_the_environment(data_dir: Path) -> None:
    said = fail_to_run(data_dir, DATABASE_URL="postgres://a:b@127.0.0.1:1/c")
    assert said.startswith("SECRET_KEY is not set")
    assert not (data_dir / "postgres").exists()


def test_a_database_that_cannot_be_reached_is_told_without_its_password(data_dir: Path) -> None:
    """The last line of a traceback was told: "Is the server running on that host ...?"."""
    address = "postgres://tollgate:of-the-database@127.0.0.1:1/c"
    servers = {"DATABASE_URL": address, "REDIS_URL": "redis://127.0.0.1:1"}
    said = fail_to_run(data_dir, **make_secrets(), **servers)
    assert said.startswith("The database that DATABASE_URL names cannot be used (connection failed")
    assert said.count("\n") == 1
    assert "of-the-database" not in said


def test_a_data_folder_of_another_postgresql_is_told(data_dir: Path) -> None:
    server = Postgres(data_dir, durable=False)
    server.start()
    server.stop()
    (data_dir / "demo.env").write_text("SECRET_KEY=s\n")
    (server.folder / "PG_VERSION").write_text("19\n")
    said = fail_to_run(data_dir)
    assert "was written by PostgreSQL 19" in said
    assert said.count("\n") == 1


def test_a_database_without_its_secrets_is_not_given_new_ones(data_dir: Path) -> None:
    server = Postgres(data_dir, durable=False)
    server.start()
    server.stop()
    said = fail_to_run(data_dir)
    assert said.startswith(f"{data_dir / 'demo.env'}, which holds the secrets")
    assert not (data_dir / "demo.env").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write to any folder")
def test_a_data_folder_that_cannot_be_written_is_told(data_dir: Path) -> None:
    data_dir.chmod(0o500)
    assert fail_to_run(data_dir / "inner").startswith("Cannot use the data folder")


def test_a_data_folder_that_is_a_file_is_told(data_dir: Path) -> None:
    (data_dir / "file").touch()
    assert fail_to_run(data_dir / "file").startswith(f"Cannot use the data folder {data_dir}/file")


def test_a_command_without_servers_says_so_in_one_sentence(data_dir: Path) -> None:
    run = Run(data_dir)
    done = run.manage("check")
    run.output.unlink()
    assert done.returncode == 1
    assert done.stderr.startswith(f"No servers are running for {data_dir}")
    assert done.stderr.count("\n") == 1
