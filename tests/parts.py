"""The product's parts as processes of their own, each known by its id: for tests that break them.

What `make run` starts as one thing is started here piece by piece, from the same code: embedded
PostgreSQL and Valkey (durable, because what a crash loses is the question), the demo provider,
`config.serve` with as many workers as a test wants, Celery. run_parts() ends all of it, whatever
happened, and fails when anything is left.
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
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import psycopg
import yaml
from cryptography.fernet import Fernet

from local.children import Child, end_child, find_free_port, read_tail, start_child
from local.postgres import Postgres
from local.provider import RunningProvider, start_as_process
from local.valkey import Valkey
from tests.processes import list_children, list_processes_with, read_command
from tests.servers import make_reachable_folder

REPOSITORY = Path(__file__).resolve().parents[1]
START_SECONDS = 30.0
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


class Parts:
    """Everything that one machine needs, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.logs = folder / "logs"
        self.postgres = Postgres(folder)
        self.valkey = Valkey(folder)
        self._provider: RunningProvider | None = None
        self.env: dict[str, str] = {}
        self._children: list[Child] = []

    def start(self, *, pace_seconds: float) -> None:
        """Start the servers and the demo provider, and bring the database to this version."""
        self._provider = start_as_process(pace_seconds=pace_seconds)
        clean = {name: value for name, value in os.environ.items() if name not in INHERITED}
        self.env = {
            **clean,
            "TOLLGATE_DATA": str(self.folder),
            "DATABASE_URL": self.postgres.start(),
            "REDIS_URL": self.valkey.start(),
            "UPSTREAM_ALLOWED_NETWORKS": "127.0.0.0/8",
            "SECRET_KEY": secrets.token_urlsafe(48),
            "KEY_PEPPERS": f"1:{secrets.token_hex(32)}",
            "CREDENTIAL_KEYS": Fernet.generate_key().decode(),
            "PYTHONUNBUFFERED": "1",
        }
        self.manage("migrate", "--verbosity", "0")

    @property
    def provider(self) -> RunningProvider:
        assert self._provider is not None
        return self._provider

    def serve(self, *, workers: int = 1) -> Gateway:
        """Start a gateway on a port of its own; returns when all its processes take calls."""
        port, before = find_free_port(), self.count_processes()
        env = {"HOST": "127.0.0.1", "PORT": str(port), "GATEWAY_WORKERS": str(workers)}
        process = self._start("web", "-m", "config.serve", **env)
        gateway = Gateway(process, port=port, workers=workers)
        self.until(lambda: is_ready(gateway.port), process)
        self.until(lambda: self.count_processes() >= before + workers, process)
        return gateway

    def work(self) -> Child:
        """Start Celery with beat, as `make run` does."""
        options = ["worker", "--beat", "--schedule", str(self.folder / "schedule")]
        options += ["--concurrency", "1", "--loglevel", "info"]
        quiet = ("--without-gossip", "--without-mingle")
        return self._start("worker", "-m", "celery", "-A", "config.celery", *options, *quiet)

    def manage(self, *arguments: str) -> str:
        """Run `manage.py` and return what it printed. Raises AssertionError with what it said."""
        done = self.try_to_manage(*arguments)
        assert done.returncode == 0, f"{arguments} failed: {done.stdout}{done.stderr}"
        return done.stdout

    def try_to_manage(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=REPOSITORY,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

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
        """How many gateway processes are alive by the database's word."""
        alive = "ended_at IS NULL AND lease_until > clock_timestamp()"
        return int(self.rows(f"SELECT count(*) FROM gateway_process WHERE {alive}")[0][0])

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
        """What the gateways logged as failures of their own."""
        text = (self.logs / "web.log").read_text() if (self.logs / "web.log").exists() else ""
        return re.findall(r"^Traceback.*?(?=^\S(?<!T)|\Z)", text, re.DOTALL | re.MULTILINE)

    def end(self) -> None:
        """Gateways and Celery first, then the provider they call, then the servers."""
        for child in reversed(self._children):
            end_child(child, GRACEFUL_END)
        if self._provider is not None:
            self._provider.stop()
        self.valkey.stop()
        self.postgres.stop()

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
def run_parts(*, pace_seconds: float = 0.02) -> Iterator[Parts]:
    """Servers, provider and an empty, migrated database; all of it is gone after the block."""
    folder = make_reachable_folder()
    parts = Parts(folder)
    try:
        parts.start(pace_seconds=pace_seconds)
        yield parts
    finally:
        parts.end()
        left = list_processes_with(str(folder).encode())
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)
    assert not left, f"processes were left behind: {left}"


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
