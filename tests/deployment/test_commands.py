"""What docker-compose.yml would start, started: the same commands as processes, from the files of
the image alone, against the tests' own servers."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from local.children import Child, end_child, find_free_port, read_tail, start_child
from local.provider import start_in_thread
from tests.deployment.compose import read_compose
from tests.deployment.test_dockerfile import is_in_context
from tests.gateway.test_older_schema import call, declare, read
from tests.house.tracked import show, tracked_files
from tests.places import Place, make_place

pytestmark = pytest.mark.slow
SECONDS = 120.0
# A part that is asked to end has this long in the compose file.
GRACE = ((signal.SIGTERM, 60.0),)


class Parts:
    """The services of the compose file, each as a process."""

    def __init__(self, place: Place, image: Path) -> None:
        secrets = {"POSTGRES_PASSWORD": "unused", **place.secrets}
        self._services = read_compose(secrets)["services"]
        self._place = place
        self._image = image
        self.ports = {"web": find_free_port(), "gateway": find_free_port()}
        self.running: dict[str, Child] = {}

    def env(self, name: str) -> dict[str, str]:
        """The service's environment, with addresses that exist here."""
        own = {key: str(value) for key, value in self._services[name]["environment"].items()}
        here = {each: self._place.env[each] for each in ("PATH", "DATABASE_URL", "REDIS_URL")}
        place = {"TOLLGATE_DATA": str(self._place.folder), "HOSTNAME": socket.gethostname()}
        port = str(self.ports.get(name, 1))
        return {**own, **here, **place, "PORT": port, "UPSTREAM_ALLOWED_NETWORKS": "127.0.0.0/8"}

    def run(self, name: str) -> subprocess.CompletedProcess[str]:
        """Run a service that ends."""
        return self._execute(self._services[name]["command"], self.env(name))

    def start(self, name: str) -> None:
        self.running[name] = start_child(
            self._translate(self._services[name]["command"]),
            log=self._place.folder / f"{name}.log",
            env=self.env(name),
            cwd=self._image,
        )

    def is_healthy(self, name: str) -> bool:
        """Run the service's own check."""
        kind, *test = self._services[name]["healthcheck"]["test"]
        arguments = ["sh", "-c", *test] if kind == "CMD-SHELL" else test
        return self._execute(arguments, self.env(name)).returncode == 0

    def end(self, name: str) -> int | None:
        child = self.running.pop(name)
        end_child(child, GRACE)
        return child.poll()

    def _execute(
        self, arguments: list[str], env: dict[str, str]
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self._translate(arguments),
            cwd=self._image,
            env=env,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    def _translate(self, arguments: list[str]) -> list[str]:
        """Say the same with this machine's interpreter and folders."""
        own = {"python": [sys.executable], "celery": [sys.executable, "-m", "celery"]}
        celery = f"{sys.executable} -m celery"
        rest = [
            each.replace("/tmp/", f"{self._place.folder}/").replace("celery -A", f"{celery} -A")
            for each in arguments[1:]
        ]
        return [*own.get(arguments[0], [arguments[0]]), *rest]


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[tuple[Parts, Place]]:
    image = tmp_path / "image"
    for path in tracked_files():
        if is_in_context(show(path)):
            target = image / show(path)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    assert not (image / "tests").exists()
    with make_place("composed", tmp_path) as place, ExitStack() as stack:
        found = Parts(place, image)
        stack.callback(lambda: [found.end(name) for name in list(found.running)])
        yield found, place


def test_every_service_runs_from_the_files_of_the_image(parts: tuple[Parts, Place]) -> None:
    composed, place = parts
    done = composed.run("migrate")
    assert done.returncode == 0, done.stderr
    for name in ("web", "gateway", "worker", "beat"):
        composed.start(name)
    for name in ("web", "gateway", "worker", "beat"):
        wait(partial(composed.is_healthy, name), f"{name} is not healthy")
    with start_in_thread(pace_seconds=0.0) as provider:
        key = declare(place, provider.url)
        for name in ("gateway", "web"):
            port = composed.ports[name]
            wait(partial(knows, port, key), "a new key stays unknown")
            assert call(port, key)["usage"]["total_tokens"] > 0
    assert status(composed.ports["web"], "/admin/login/") == 200
    assert status(composed.ports["web"], "/static/operators/operators.css") == 200
    assert status(composed.ports["gateway"], "/admin/login/") == 404
    # Beat says when, the worker does it: the calls come into the reports by themselves.
    wait(lambda: reported_calls(place) == 2, "the calls are in no report")
    for name in ("gateway", "web", "beat", "worker"):
        assert composed.end(name) == 0, read_tail(place.folder / f"{name}.log")
    assert count_unended(place) == 0
    assert place.manage("check_ledger").returncode == 0


def test_a_server_that_is_not_there_is_not_healthy(parts: tuple[Parts, Place]) -> None:
    composed, _ = parts
    assert not composed.is_healthy("web")
    assert not composed.is_healthy("beat")


def knows(port: int, key: str) -> bool:
    return read(port, "/v1/api-key", key=key)[0] == 200


def count_unended(place: Place) -> int:
    return int(place.rows("SELECT count(*) FROM gateway_process WHERE ended_at IS NULL")[0][0])


def reported_calls(place: Place) -> int:
    return int(place.rows("SELECT coalesce(sum(calls), 0) FROM rollup")[0][0])


def status(port: int, path: str) -> int:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def wait(holds: Callable[[], Any], otherwise: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.2)
