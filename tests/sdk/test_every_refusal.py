"""Every status that the gateway refuses with is the right class in all four clients."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

from tests.sdk.conftest import Door
from tests.sdk.refusing import ERRORS, run_refusing
from tests.sdk.test_errors import UPSTREAM

JS = Path(__file__).parent / "js"
HELLO: Any = [{"role": "user", "content": "Hello"}]
# The classes by status, in Python and (where it differs) in JavaScript.
OPENAI: dict[int, tuple[str, ...]] = {
    400: ("BadRequestError",),
    401: ("AuthenticationError",),
    403: ("PermissionDeniedError",),
    404: ("NotFoundError",),
    405: ("APIStatusError", "APIError"),
    408: ("APIStatusError", "APIError"),
    409: ("ConflictError",),
    413: ("APIStatusError", "APIError"),
    415: ("APIStatusError", "APIError"),
    422: ("UnprocessableEntityError",),
    429: ("RateLimitError",),
    **dict.fromkeys((500, 502, 503, 504), ("InternalServerError",)),
}
ANTHROPIC: dict[int, tuple[str, ...]] = {
    **OPENAI,
    408: ("RequestTimeoutError",),
    413: ("ContentTooLargeError",),
    503: ("ServiceUnavailableError",),
    504: ("GatewayTimeoutError",),
}
CLASSES = {"openai": OPENAI, "anthropic": ANTHROPIC}


@pytest.fixture(scope="module")
def refusing() -> Iterator[str]:
    with run_refusing() as url:
        yield url


def ask(vendor: str, url: str) -> object:
    if vendor == "openai":
        client = openai.OpenAI(base_url=f"{url}/v1", api_key="tg_x", max_retries=0)
        return client.chat.completions.create(model="m", messages=HELLO)
    other = anthropic.Anthropic(base_url=url, api_key="tg_x", max_retries=0)
    return other.messages.create(model="m", messages=HELLO, max_tokens=9)


@pytest.mark.parametrize("vendor", CLASSES)
@pytest.mark.parametrize("status", ERRORS)
def test_our_own_refusals_in_python(refusing: str, status: int, vendor: str) -> None:
    with pytest.raises((openai.APIStatusError, anthropic.APIStatusError)) as caught:
        ask(vendor, f"{refusing}/{status}")
    error: Any = caught.value
    assert (type(error).__name__, error.status_code) == (CLASSES[vendor][status][0], status)
    assert error.request_id
    told = error.body if vendor == "openai" else error.body["error"]
    assert ERRORS[status].message in told["message"]


def run_javascript(cases: list[dict[str, str]]) -> dict[str, dict[str, Any]]:
    done = subprocess.run(
        ["node", "errors.mjs"],
        cwd=JS,
        env={**os.environ, "CASES": json.dumps(cases)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {line["step"]: line for line in map(json.loads, done.stdout.splitlines())}


def test_our_own_refusals_in_javascript(refusing: str) -> None:
    cases = [
        {"step": f"{vendor} {status}", "vendor": vendor, "url": f"{refusing}/{status}", "key": "k"}
        for vendor in CLASSES
        for status in ERRORS
    ]
    told = run_javascript([{"model": "m", **case} for case in cases])
    for vendor, classes in CLASSES.items():
        for status, names in classes.items():
            said = told[f"{vendor} {status}"]
            assert (said["kind"], said["status"]) == (names[-1], status)
            assert said["id"]
            assert ERRORS[status].message in said["message"]


def test_providers_refusals_in_javascript(door: Door) -> None:
    cases = [
        {
            "step": f"{vendor} {kind}/{failing}",
            "vendor": vendor,
            "url": door.url,
            "key": door.key,
            "model": f"{kind}/{failing}",
        }
        for vendor in CLASSES
        for kind in CLASSES
        for failing in UPSTREAM
    ]
    told = run_javascript(cases)
    for case in cases:
        said = told[case["step"]]
        failing = case["model"].partition("/")[2]
        status = UPSTREAM[failing][0]
        expected = CLASSES[case["vendor"]][status][-1]
        if (failing, case["vendor"]) == ("demo-529", "anthropic"):
            status, expected = 529, "OverloadedError"
        assert (said["kind"], said["status"]) == (expected, status), case["step"]
        assert said["message"]
