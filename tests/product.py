"""The whole product as a person starts it, in a folder that is gone afterwards: for journeys.

The run itself is tests/local/running.py; here are its gateway processes, its demo provider's
books, its database, and the promise that nothing of it is left.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.request import urlopen

import psycopg
import yaml

from tests.local.running import Run, running
from tests.parts import read_issued_keys, temporary_folder
from tests.processes import list_children, read_command


@contextmanager
def run_product(*, workers: int = 1, **env: str) -> Iterator[Run]:
    """`make run` in an empty data folder; ended with all that it started when the block is."""
    env["GATEWAY_WORKERS"] = str(workers)
    with temporary_folder() as folder, running(folder, **env) as run:
        yield run


def list_workers(run: Run) -> list[int]:
    """The gateway processes of a run with several."""
    assert run.process is not None
    parents = [p for p in list_children(run.process.pid) if "config.serve" in read_command(p)]
    return [
        worker
        for parent in parents
        for worker in list_children(parent)
        if "spawn_main" in read_command(worker)
    ]


def apply(run: Run, declaration: Mapping[str, Any]) -> dict[str, str]:
    """Apply a declaration beside a run; returns the keys that were made, by name."""
    file = run.data_dir / "declared.yaml"
    file.write_text(yaml.safe_dump(declaration))
    return read_issued_keys(manage(run, "apply", str(file)))


def manage(run: Run, *arguments: str) -> str:
    """Run `manage.py` beside a run and return what it printed."""
    done = run.manage(*arguments)
    assert done.returncode == 0, f"{arguments} failed: {done.stdout}{done.stderr}"
    return done.stdout


def read_report(run: Run, organization: str, *, by: str = "model") -> dict[str, Any]:
    """What `usage_report` says of an organization."""
    options = ("--organization", organization, "--by", by, "--format", "json")
    found: list[dict[str, Any]] = json.loads(manage(run, "usage_report", *options))
    return found[0]


def read_received(run: Run) -> list[dict[str, Any]]:
    """The demo provider's own books: every request that reached it."""
    with urlopen(f"{run.read_running()['PROVIDER_URL']}/__received", timeout=10) as answer:
        requests: list[dict[str, Any]] = json.load(answer)["requests"]
        return requests


def read_rows(run: Run, query: str, *parameters: object) -> list[tuple[Any, ...]]:
    url = str(run.read_running()["DATABASE_URL"])
    with psycopg.connect(url, autocommit=True, connect_timeout=5) as connection:
        return connection.execute(query, parameters).fetchall()
