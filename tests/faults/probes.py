"""What a gateway says of itself while something is wrong: /readyz and /metrics."""

import json
import re
import urllib.request
from urllib.error import HTTPError

from tests.parts import Gateway


def read_degraded(gateway: Gateway) -> list[str]:
    """The names on /readyz, whatever its status is."""
    try:
        with urllib.request.urlopen(f"{gateway.url}/readyz", timeout=5) as answer:
            body = answer.read()
    except HTTPError as error:
        body = error.read()
    names: list[str] = json.loads(body)["degraded"]
    return names


def read_states(gateway: Gateway) -> set[str]:
    """The states that the metric `tollgate_degraded` says hold."""
    with urllib.request.urlopen(f"{gateway.url}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    return set(re.findall(r'^tollgate_degraded\{state="(\w+)"\} 1\.0$', text, re.MULTILINE))
