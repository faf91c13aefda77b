"""The product's parts as processes of their own, each known by its id: for tests that break them.

What `make run` starts as one thing is started here piece by piece, from the same code: embedded
PostgreSQL and Valkey (durable, because what a crash loses is the question), the demo provider,
`config.serve` with as many workers as a test wants, Celery. run_servers() is for many tests and
run_parts() for one, with a database of its own; both end what they started, whatever happened, and
fail when anything is left.
"""

import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import psycopg
import redis
import yaml
from cryptography.fernet import Fernet

from local.children import Child, end_child, find_free_port, read_tail, start_child, wait_until
from local.postgres import DATABASE, Postgres
from local.provider import RunningProvider, start_as_process
from local.valkey import Valkey
from tests.processes import list_children, list_processes_with, read_command
from tests.servers import make_reachable_folder

REPOSITORY = Path(__file__).resolve().parents[1]
START_SECONDS = 30.0
GONE_SECONDS = 5.0
SERVE = ("config.serve",)
GRACEFUL_END = ((signal.SIGTERM, 20.0),)
INHERITED = ("DATABASE_URL", "REDIS_URL", "TOLLGATE_DATA", "PORT", "HOST", "PUBLIC_URL")


class Gateway:
    """`python -m config.serve`: one gateway process, or uvicorn's parent of several."""

    def __init__(self, process: Child, *, port: int, workers: int) -> None:
        self.process = process
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self._workers = workers

    def worker_pids(self) -> list[int]:
        """The gateway processes that run now."""
        if self._workers == 1:
            return [self.process.pid]
        return [each for each in list_children(self.process.pid) if _is_worker(each)]

    def stop(self) -> None:
        end_child(self.process, GRACEFUL_END)


class Servers:
    """PostgreSQL and Valkey, for test after test. A test that ends one of them starts it again."""

    def __init__(self, folder: Path) -> None:
        self.postgres = Postgres(folder)
        self.valkey = Valkey(folder)
        self.env = {
            "SECRET_KEY": secrets.token_urlsafe(48),
            "KEY_PEPPERS": f"1:{secrets.token_hex(32)}",
            "CREDENTIAL_KEYS": Fernet.generate_key().decode(),
        }
        self._databases = 0

    def start(self) -> None:
        """Start both, and bring the database that others are copied from to this version."""
        addresses = {"DATABASE_URL": self.postgres.start(), "REDIS_URL": self.valkey.start()}
        run_manage({**os.environ, **addresses, **self.env}, "migrate", "--verbosity", "0")

    def make_database(self) -> str:
        """Return the address of a new database without a row, and empty Valkey."""
        self._databases += 1
        url, name = self.postgres.url, f"test_{self._databases}"
        with psycopg.connect(f"{url.rpartition('/')[0]}/postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {DATABASE}")
        with redis.Redis.from_url(self.valkey.url) as client:
            client.flushall()
        return f"{url.rpartition('/')[0]}/{name}"

    def stop(self) -> None:
        self.valkey.stop()
        self.postgres.stop()


class Parts:
    """Everything that one machine needs, in a folder of its own."""

    def __init__(self, folder: Path, servers: Servers) -> None:
        self.folder = folder
        self.logs = folder / "logs"
        self.postgres = servers.postgres
        self.valkey = servers.valkey
        self._servers = servers
        self._provider: RunningProvider | None = None
        self.env: dict[str, str] = {}
        self._children: list[Child] = []

    def start(self, *, pace_seconds: float) -> None:
        """Start the demo provider, and make the database."""
        self.logs.mkdir()
        self._provider = start_as_process(pace_seconds=pace_seconds)
        clean = {name: value for name, value in os.environ.items() if name not in INHERITED}
        self.env = {
            **clean,
            **self._servers.env,
            "TOLLGATE_DATA": str(self.folder),
            "DATABASE_URL": self._servers.make_database(),
            "REDIS_URL": self.valkey.url,
            "UPSTREAM_ALLOWED_NETWORKS": "127.0.0.0/8",
            "PYTHONUNBUFFERED": "1",
        }

    @property
    def provider(self) -> RunningProvider:
        assert self._provider is not None
        return self._provider

    def serve(self, *, workers: int = 1, **how: Any) -> Gateway:
        """Start a gateway as launch() does; returns when all its processes take calls."""
        before = self.count_processes()
        gateway = self.launch(workers=workers, **how)
        self.until(lambda: is_ready(gateway.port), gateway.process)
        self.until(lambda: self.count_processes() >= before + workers, gateway.process)
        return gateway

    def launch(
        self,
        *,
        workers: int = 1,
        machine: str = "",
        database_url: str = "",
        program: Sequence[str] = SERVE,
    ) -> Gateway:
        """Start a gateway on a port of its own.

        With a `machine` it has a disk of its own: no other gateway can read its spool. With a
        `database_url` it reaches the database by another way.
        """
        port = find_free_port()
        env = {"HOST": "127.0.0.1", "PORT": str(port), "GATEWAY_WORKERS": str(workers)}
        env["TOLLGATE_DATA"] = str(self.folder / machine)
        env["DATABASE_URL"] = database_url or self.env["DATABASE_URL"]
        process = self._start("web", "-m", *program, **env)
        return Gateway(process, port=port, workers=workers)

    def work(self) -> Child:
        """Start Celery with beat, as `make run` does."""
        options = ["worker", "--beat", "--schedule", str(self.folder / "schedule")]
        options += ["--concurrency", "1", "--loglevel", "info"]
        quiet = ("--without-gossip", "--without-mingle")
        return self._start("worker", "-m", "celery", "-A", "config.celery", *options, *quiet)

    def run(self, name: str, *program: str) -> Child:
        """Start another module of the product beside the gateways; `name` is its log's."""
        return self._start(name, "-m", *program)

    def manage(self, *arguments: str) -> str:
        """Run `manage.py` and return what it printed. Raises AssertionError with what it said."""
        return run_manage(self.env, *arguments)

    def apply(self, declaration: Mapping[str, Any]) -> dict[str, str]:
        """Apply a declaration; returns the keys that were made, by name."""
        file = self.folder / "declared.yaml"
        file.write_text(yaml.safe_dump(declaration))
        return read_issued_keys(self.manage("apply", str(file)))

    def connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self.env["DATABASE_URL"], autocommit=True, connect_timeout=5)

    def rows(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        with self.connect() as connection:
            return connection.execute(query, parameters).fetchall()

    def count_processes(self) -> int:
        """How many gateway processes there ever were, by the database's word."""
        return int(self.rows("SELECT count(*) FROM gateway_process")[0][0])

    def count_received(self) -> int:
        """How many requests have arrived at the provider since its start."""
        return int(self.provider.received()["total"])

    def until(
        self, holds: Callable[[], object], process: Child | None = None, *, seconds: float = 0
    ) -> None:
        """Wait until something holds. Raises AssertionError when time is up or `process` ended."""
        deadline = time.monotonic() + (seconds or START_SECONDS)
        while not holds():
            ended = process is not None and process.poll() is not None
            said = f"; web.log ends with: {read_tail(self.logs / 'web.log')}"
            assert not ended, f"a process ended{said}"
            assert time.monotonic() < deadline, f"it did not come to pass in time{said}"
            time.sleep(0.05)

    def list_tracebacks(self) -> list[str]:
        """What the gateways logged as failures of their own: they log JSON, and what ends a process
        before it can is plain text."""
        lines = (self.logs / "web.log").read_text().splitlines()
        return [line for line in lines if "Traceback (most recent call last)" in line]

    def end(self) -> None:
        """Gateways and Celery first, then the provider they call."""
        for child in reversed(self._children):
            end_child(child, GRACEFUL_END)
        if self._provider is not None:
            self._provider.stop()

    def _start(self, name: str, *arguments: str, **env: str) -> Child:
        child = start_child(
            [sys.executable, *arguments],
            log=self.logs / f"{name}.log",
            env={**self.env, **env},
            cwd=REPOSITORY,
        )
        self._children.append(child)
        return child


@contextmanager
def run_servers() -> Iterator[Servers]:
    """Servers with a database of this version to copy; all of it is gone after the block."""
    with temporary_folder() as folder:
        servers = Servers(folder)
        try:
            servers.start()
            yield servers
        finally:
            servers.stop()


@contextmanager
def run_parts(servers: Servers, *, pace_seconds: float = 0.02) -> Iterator[Parts]:
    """A provider and an empty database; all that was started is gone after the block."""
    with temporary_folder() as folder:
        parts = Parts(folder, servers)
        try:
            parts.start(pace_seconds=pace_seconds)
            yield parts
        finally:
            parts.end()


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder that is gone after the block; nobody may then run who was told of it."""
    folder = make_reachable_folder()
    try:
        yield folder
    finally:
        # What was killed a moment ago is gone when it has had its turn.
        wait_until(lambda: not list_processes_with(str(folder).encode()), GONE_SECONDS)
        left = list_processes_with(str(folder).encode())
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)
    assert not left, f"processes were left behind: {left}"


def run_manage(env: Mapping[str, str], *arguments: str) -> str:
    """Run `manage.py` and return what it printed. Raises AssertionError with what it said."""
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=REPOSITORY,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, f"{arguments} failed: {done.stdout}{done.stderr}"
    return done.stdout


def read_issued_keys(printed: str) -> dict[str, str]:
    """The keys in what `apply` printed, by their names."""
    return dict(re.findall(r"^key (.*) of \S+, shown this once: (\S+)$", printed, re.MULTILINE))


def is_ready(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/readyz")
        response = connection.getresponse()
        return response.status == 200 and json.load(response)["degraded"] == []
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _is_worker(pid: int) -> bool:
    return "spawn_main" in read_command(pid)
