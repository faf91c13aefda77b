"""What a served process writes: one JSON object a line, with the call's id, and no secret."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from local.provider import start_in_thread
from tests.gateway.test_older_schema import declare, serve, until_ready
from tests.places import make_place

CANARY = "canary-in-the-prompt"


class Logged:
    """One process' log after some calls, with what was answered to them."""

    def __init__(self, log: Path, key: str) -> None:
        self.text = log.read_text()
        self.key = key
        self.lines: list[dict[str, Any]] = [json.loads(line) for line in self.text.splitlines()]
        self.call_ids: dict[str, str] = {}
        self.metrics = ""

    def about(self, call_id: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line.get("call_id") == call_id]


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Logged]:
    folder = tmp_path_factory.mktemp("logged")
    with make_place("logged", folder) as place, start_in_thread(pace_seconds=0.0) as provider:
        assert place.manage("migrate", "--verbosity", "0").returncode == 0
        key = declare(place, provider.url)
        place.secrets |= {"LOG_FORMAT": "json", "LOG_CALLS": "1", "LOG_LEVEL": "DEBUG"}
        with serve(place) as port:
            until_ready(port)
            call_ids = {
                "answered": ask(port, key, "gpt-4o"),
                "refused": ask(port, key, "no-such-model"),
                "unknown key": ask(port, f"{key[:-6]}AAAAAA", "gpt-4o"),
            }
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
                metrics = answer.read().decode()
        found = Logged(folder / "web.log", key)
        found.call_ids, found.metrics = call_ids, metrics
        yield found


def ask(port: int, key: str, model: str) -> str:
    """Make a call; return its id."""
    body = {"model": model, "messages": [{"role": "user", "content": CANARY}]}
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/chat/completions",
        json.dumps(body).encode(),
        {"authorization": f"Bearer {key}", "content-type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return str(answer.headers["x-request-id"])
    except urllib.error.HTTPError as error:
        return str(error.headers["x-request-id"])


def test_every_line_is_an_object_that_says_when_who_and_what(logged: Logged) -> None:
    assert len(logged.lines) > 5
    for line in logged.lines:
        assert {"at", "level", "logger", "message", "process"} <= line.keys(), line
        assert datetime.fromisoformat(line["at"]).tzinfo is not None
    ours = {line["process"] for line in logged.lines}
    assert len(ours) == 1


def test_a_finished_call_is_one_line_with_its_figures(logged: Logged) -> None:
    call_id = logged.call_ids["answered"]
    [line] = [each for each in logged.about(call_id) if "ended" in each["message"]]
    assert line["logger"] == "gateway.metrics"
    figures = line["figures"]
    assert (figures["outcome"], figures["http_status"]) == ("answered", 200)
    assert figures["output_tokens"] > 0
    assert 0 <= figures["added_ms"] <= figures["total_ms"]


def test_a_refused_call_is_found_by_its_id(logged: Logged) -> None:
    for name, code in (("refused", "model_not_found"), ("unknown key", "invalid_api_key")):
        messages = [line["message"] for line in logged.about(logged.call_ids[name])]
        assert any(code in message for message in messages), (name, messages)


def test_what_is_about_no_call_carries_no_id(logged: Logged) -> None:
    [line] = [each for each in logged.lines if "serves" in each["message"]]
    assert "call_id" not in line


def test_no_level_writes_keys_or_prompts(logged: Logged) -> None:
    for secret in (logged.key, logged.key[15:47], CANARY, "Bearer"):
        assert secret not in logged.text


def test_metrics_are_there_for_this_machine_by_default(logged: Logged) -> None:
    families = {each.name: each for each in text_string_to_metric_families(logged.metrics)}
    calls = families["tollgate_calls"].samples
    assert [(s.labels["outcome"], s.value) for s in calls] == [("answered", 1.0)]
    version = families["tollgate_process_info"].samples[0].labels["version"]
    assert version
    assert version != "0"
