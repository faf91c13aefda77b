"""The server on a schema of one release before: it serves, says so, and stops saying so."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.children import end_child, find_free_port, read_tail, start_child
from local.provider import start_in_thread
from tests.house.tracked import ROOT
from tests.parts import GRACEFUL_END
from tests.places import Place, make_place

# The newest migrations of the release before. Nothing is released yet: until then these are the
# oldest that this version still runs on, and move forward when it needs a newer one.
RELEASED = {"accounts": "0006_no_way_around", "billing": "0012_fences"}
START_SECONDS = 60.0


@pytest.mark.slow
def test_a_server_on_an_older_schema_serves_until_it_is_migrated(tmp_path: Path) -> None:
    with make_place("older", tmp_path) as place, start_in_thread(pace_seconds=0.0) as provider:
        for app, name in RELEASED.items():
            done = place.manage("migrate", app, name, "--verbosity", "0")
            assert done.returncode == 0, done.stderr
        for app in ("gateway", "sessions"):
            assert place.manage("migrate", app, "--verbosity", "0").returncode == 0
        key = declare(place, provider.url)
        with serve(place) as port:
            assert until_ready(port) == ["schema_behind"]
            answer = call(port, key)
            assert answer["choices"][0]["message"]["content"]
            done = place.manage("migrate", "--verbosity", "0")
            assert done.returncode == 0, done.stderr
            wait(lambda: read(port, "/readyz")[1]["degraded"] == [])
            assert call(port, key)["usage"]
        assert place.manage("check_ledger").returncode == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_a_server_without_any_tables_says_what_to_do(tmp_path: Path, workers: int) -> None:
    """With several processes it ended with 0, after a line that was no JSON."""
    with make_place("bare", tmp_path) as place:
        ended = subprocess.run(
            [sys.executable, "-m", "config.serve"],
            cwd=ROOT,
            env={
                **place.env,
                **{"PORT": str(find_free_port()), "GATEWAY_WORKERS": str(workers)},
                "LOG_FORMAT": "json",
            },
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
            check=False,
        )
        assert ended.returncode != 0
        assert "The database has no tables: run `manage.py migrate` first." in ended.stderr
        assert all(json.loads(line)["message"] for line in ended.stderr.splitlines())


def declare(place: Place, provider_url: str) -> str:
    """Apply a provider, a model and a key; return the key."""
    provider = {"name": "demo", "protocol": "openai", "base_url": f"{provider_url}/v1"}
    model: dict[str, Any] = {"name": "gpt-4o", "context_window": 9000, "max_output_tokens": 900}
    model["routes"] = [{"provider": "demo", "model": "gpt-4o"}]
    model["price"] = {"input": "1", "output": "1"}
    quota = {"unit": "cost", "limit": "5.00", "window": "month"}
    project = {"slug": "default", "keys": [{"name": "ci", "quotas": [quota]}]}
    file = place.folder / "declared.yaml"
    declaration = {
        "providers": [{**provider, "credential": "literal:abc"}],
        "models": [model],
        "organizations": [{"slug": "acme", "name": "Acme", "projects": [project]}],
    }
    file.write_text(yaml.safe_dump(declaration))
    place.secrets["UPSTREAM_ALLOWED_NETWORKS"] = "127.0.0.0/8"
    done = place.manage("apply", file)
    assert done.returncode == 0, done.stderr
    return str(re.findall(r"once: (\S+)", done.stdout)[0])


@contextmanager
def serve(place: Place) -> Iterator[int]:
    port = find_free_port()
    log = place.folder / "web.log"
    server = start_child(
        [sys.executable, "-m", "config.serve"],
        log=log,
        env={**place.env, "PORT": str(port)},
        cwd=ROOT,
    )
    try:
        yield port
    finally:
        end_child(server, GRACEFUL_END)
    # Whoever asked it to end is not told of a failure: systemd and Kubernetes read the exit code.
    assert server.poll() == 0, read_tail(log)


def until_ready(port: int) -> list[str]:
    """Wait until the server takes calls; return what ails it then."""
    wait(lambda: read(port, "/readyz")[0] == 200)
    degraded: list[str] = read(port, "/readyz")[1]["degraded"]
    return degraded


def call(port: int, key: str) -> dict[str, Any]:
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}]}
    status, answer = read(port, "/v1/chat/completions", key=key, body=body)
    assert status == 200, answer
    return answer


def read(
    port: int, path: str, *, key: str = "", body: dict[str, Any] | None = None
) -> tuple[int, dict[str, Any]]:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    try:
        connection.request("POST" if body else "GET", path, json.dumps(body or {}), headers)
        response = connection.getresponse()
        return response.status, json.load(response)
    except OSError:
        return 0, {"degraded": None}
    finally:
        connection.close()


def wait(holds: Any) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "it did not come to pass in time"
        time.sleep(0.1)
