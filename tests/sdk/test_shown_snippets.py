"""The pieces of code that the console shows run as they are copied, with a key or without one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from console.snippets import CHAT, MESSAGES, VARIABLE, compose_snippets
from tests.sdk.conftest import OF_OPENAI, Door

JS = Path(__file__).parent / "js"
PROGRAMS = {
    "curl": ["bash"],
    "openai-python": [sys.executable, "-"],
    "openai-js": ["node", "--input-type=module"],
    "anthropic-python": [sys.executable, "-"],
    "anthropic-js": ["node", "--input-type=module"],
}


@pytest.mark.parametrize("has_key", [True, False])
@pytest.mark.parametrize("name", PROGRAMS)
def test_what_is_shown_says_hello(door: Door, name: str, has_key: bool) -> None:
    shown = compose_snippets(
        public_url=door.url,
        key=door.key if has_key else None,
        model=OF_OPENAI,
        endpoints={CHAT, MESSAGES},
    )
    env = dict(os.environ) if has_key else {**os.environ, VARIABLE: door.key}
    done = subprocess.run(
        PROGRAMS[name],
        input={each.name: each.text for each in shown}[name],
        cwd=JS,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Hello from the demo provider" in done.stdout
