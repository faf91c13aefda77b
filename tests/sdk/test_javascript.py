"""The vendors' JavaScript clients, as they are, against providers of both protocols.

`make sdk` installs them from js/package-lock.json.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.sdk.conftest import ALL, Door

JS = Path(__file__).parent / "js"


def run(door: Door, program: str, model: str) -> dict[str, dict[str, Any]]:
    """Run a program; return what each of its steps said."""
    assert (JS / "node_modules").exists(), "`make sdk` installs the JavaScript clients first"
    done = subprocess.run(
        ["node", program],
        cwd=JS,
        env={**os.environ, "BASE_URL": door.url, "KEY": door.key, "MODEL": model},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {line["step"]: line for line in map(json.loads, done.stdout.splitlines())}


@pytest.mark.parametrize("model", ALL)
def test_openais_client(door: Door, model: str) -> None:
    said = run(door, "openai.mjs", model)
    assert said["whole"]["text"]
    assert said["whole"]["usage"]["completion_tokens"] > 0
    assert said["whole"]["id"]
    assert said["stream"]["text"]
    assert said["stream"]["chunks"] == said["stream"]["choices"] > 1
    assert said["helper"]["text"]
    assert said["helper"]["usage"]["total_tokens"] > 0
    assert said["tools"]["name"] == "get_weather"
    assert "18 degrees" in said["tools"]["told"]
    assert (said["response"]["status"], bool(said["response"]["text"])) == ("completed", True)
    assert said["response stream"]["first"] == "response.created"
    assert said["response stream"]["last"] == "response.completed"
    told = {name: (e["kind"], e["status"]) for name, e in said["errors"]["errors"].items()}
    assert told == {
        "model": ("NotFoundError", 404),
        "field": ("BadRequestError", 400),
        "key": ("AuthenticationError", 401),
    }
    assert all(error["id"] for error in said["errors"]["errors"].values())


@pytest.mark.parametrize("model", ALL)
def test_anthropics_client(door: Door, model: str) -> None:
    said = run(door, "anthropic.mjs", model)
    assert said["whole"]["text"]
    assert said["whole"]["usage"]["output_tokens"] > 0
    assert said["whole"]["id"]
    assert said["stream"]["first"] == "message_start"
    assert said["stream"]["last"] == "message_stop"
    assert said["helper"]["text"]
    assert said["helper"]["usage"]["input_tokens"] > 0
    assert said["tools"]["name"] == "get_weather"
    assert "18 degrees" in said["tools"]["told"]
    assert said["count"]["tokens"] > 0
    assert said["models"]["paged"] == said["models"]["whole"] > 7
    assert said["models"]["more"] is False
    told = {name: (e["kind"], e["status"]) for name, e in said["errors"]["errors"].items()}
    assert told == {
        "model": ("NotFoundError", 404),
        "field": ("BadRequestError", 400),
        "key": ("AuthenticationError", 401),
    }
    assert all(error["id"] for error in said["errors"]["errors"].values())
