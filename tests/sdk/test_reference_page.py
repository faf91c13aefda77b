"""The programs of the API's reference page, with only the base URL and the key changed."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

from tests.sdk.conftest import Door

JS = Path(__file__).parent / "js"
QUESTION = {"role": "user", "content": "What is the meaning of life, the universe, and everything?"}
SYSTEM = {"role": "system", "content": "You are XAI"}


def curl(door: Door, *, stream: bool) -> str:
    body = {
        "messages": [SYSTEM, {**QUESTION, "content": "What is the answer to life and universe?"}],
        "model": "gpt-4o",
        "stream": stream,
        "temperature": 0,
    }
    command = ["curl", "-sS", "-N", f"{door.url}/v1/chat/completions"]
    command += ["-H", "Content-Type: application/json", "-H", f"Authorization: Bearer {door.key}"]
    done = subprocess.run(
        [*command, "-d", json.dumps(body)], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout


def test_the_first_curl_line_answers_with_usage(door: Door) -> None:
    answer = json.loads(curl(door, stream=False))
    assert answer["object"] == "chat.completion"
    assert answer["choices"][0]["finish_reason"] == "stop"
    usage = answer["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


def test_the_second_curl_line_ends_in_done(door: Door) -> None:
    lines = [line for line in curl(door, stream=True).splitlines() if line]
    assert lines[-1] == "data: [DONE]"
    chunks: list[dict[str, Any]] = [json.loads(line[6:]) for line in lines[:-1]]
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}


def test_the_openai_program_in_python(door: Door) -> None:
    client = openai.OpenAI(api_key=door.key, base_url=f"{door.url}/v1")
    messages: Any = [SYSTEM, QUESTION]
    completion = client.chat.completions.create(model="gpt-4o", messages=messages)
    assert completion.choices[0].message.content


@pytest.mark.parametrize("slash", ["", "/"])
def test_the_anthropic_program_in_python(door: Door, slash: str) -> None:
    client = anthropic.Anthropic(api_key=door.key, base_url=door.url + slash)
    messages: Any = [QUESTION]
    message = client.messages.create(
        model="claude-3-5-sonnet-latest", max_tokens=128, system="You are XAI", messages=messages
    )
    assert message.content[0].type == "text"


@pytest.mark.parametrize(("program", "told"), [("openai", "content: "), ("anthropic", "text: ")])
def test_the_programs_in_javascript(door: Door, program: str, told: str) -> None:
    done = subprocess.run(
        ["node", f"reference-{program}.mjs"],
        cwd=JS,
        env={**os.environ, "BASE_URL": door.url, "KEY": door.key},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "role: 'assistant'" in done.stdout
    assert told in done.stdout
