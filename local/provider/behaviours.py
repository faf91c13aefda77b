"""Which model name asks for which behaviour: the table, and the reading of a name.

The table is the one list of models: GET /v1/models shows it, and the package's
docstring repeats it. What a behaviour does to the wire is not written here.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

NORMAL_MODELS = (
    "gpt-4o",
    "gpt-4o-mini",
    "gpt-4.1",
    "o4-mini",
    "gpt-3.5-turbo-instruct",
    "text-embedding-3-small",
    "text-embedding-3-large",
    "claude-3-5-sonnet-latest",
    "claude-3-5-haiku-latest",
    "claude-sonnet-4-5",
    "grok-4",
    "grok-3-mini",
)

# Numbers may follow the name of these: demo-slow-500ms, demo-chunks-50-20.
WITH_NUMBERS = frozenset(
    (
        "demo-big-event",
        "demo-chunks",
        "demo-cut-midstream",
        "demo-error-in-stream",
        "demo-fixed",
        "demo-reasoning",
        "demo-reset-midstream",
        "demo-slow",
        "demo-stall",
        "bench-chunks",
    )
)

DEMO_MODELS = {
    "demo-cached": "half of the prompt's tokens are reported as read from the cache",
    "demo-reasoning": "64 reasoning tokens (-N: N) inside the completion, as OpenAI counts",
    "demo-reasoning-outside": "xAI's way: 32 + 9 + 94 reasoning outside = 135, with cost ticks",
    "demo-cumulative-usage": "usage so far on every chunk, and finish_reason empty until the last",
    "demo-400": "invalid request, naming the operator's organization",
    "demo-400-xai": "xAI's answer to a bad key, in xAI's own shape",
    "demo-401": "bad credential, echoing part of it",
    "demo-402": "the operator's credit is used up",
    "demo-403": "the operator's project may not use this model",
    "demo-404": "no such model",
    "demo-413": "the request is too large",
    "demo-422": "a field is missing",
    "demo-429": "rate limited, naming the team, with retry-after and retry-after-ms",
    "demo-429-quota": "OpenAI's insufficient_quota, with the operator's billing text",
    "demo-500": "internal error",
    "demo-503": "unavailable",
    "demo-529": "overloaded",
    "demo-html": "200 with an HTML page",
    "demo-html-502": "502 with an HTML page",
    "demo-garbage": "200 with a body (or events) that is not JSON",
    "demo-redirect": "302 to the same server under another host name",
    "demo-gzip": "compressed, though identity was asked for",
    "demo-reset": "connection reset before any byte of the answer",
    "demo-reset-midstream": "connection reset after 2 chunks (-K: K), or half of the body",
    "demo-cut-midstream": "clean end after 2 chunks (-K: K), or half of the body",
    "demo-error-in-stream": "an error event after 2 chunks (-K: K), or 200 with an error object",
    "demo-no-done": "finish reason and usage come, [DONE] or message_stop does not",
    "demo-slow": "first byte after 2 s (-500ms, -3s: as given)",
    "demo-stall": "headers and 1 chunk (-K: K), or half of the body, then nothing",
    "demo-hang": "accepts the request and never answers",
    "demo-no-usage": "no usage anywhere",
    "demo-null-usage": "usage is null",
    "demo-usage-strings": "usage figures are strings",
    "demo-usage-negative": "usage figures are negative",
    "demo-usage-huge": "usage figures are 2^63",
    "demo-usage-twice": "usage is sent twice",
    "demo-usage-above-cap": "output is reported as ten times the cap (4096 without one)",
    "demo-usage-mismatch": "the parts of usage do not add up, by 7",
    "demo-crlf": "CRLF line ends and comment lines between events",
    "demo-split-utf8": "characters of several bytes cut in the middle by separate writes",
    "demo-big-event": "one event (or body) of 1 MiB of text (-N: N MiB)",
    "demo-fixed": "-OUT or -IN-OUT: exactly OUT completion (and IN prompt) tokens",
    "demo-chunks": "-N-MS: N chunks of one token, MS milliseconds apart",
    "demo-echo": "the content is JSON of the method, path, query, headers and body received",
    "bench-instant": "written beforehand, unpaced: 16 prompt and 16 completion tokens",
    "bench-chunks": "-N-MS: as demo-chunks, 16 prompt tokens",
}


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What a model name asks for: `base` is a name of the table, or "" for a normal answer."""

    base: str = ""
    numbers: tuple[int, ...] = ()

    def number(self, default: int, *, at: int = 0) -> int:
        """The number at that place of the name's suffix."""
        return self.numbers[at] if at < len(self.numbers) else default


@lru_cache(maxsize=4096)
def find_behaviour(model: str) -> Behaviour | None:
    """The behaviour that `model` asks for; None when a demo or bench name is misspelt.

    Any name outside `demo-` and `bench-` answers normally, so that a test may
    call its upstream models what it likes.
    """
    if model in DEMO_MODELS:
        return Behaviour(model)
    with_numbers = re.fullmatch(r"(.+?)((?:-\d{1,9}(?:ms|s)?)+)", model)
    if with_numbers and with_numbers[1] in WITH_NUMBERS:
        return Behaviour(with_numbers[1], _read_numbers(with_numbers[2]))
    if model.startswith(("demo-", "bench-")):
        return None
    return Behaviour()


def _read_numbers(suffix: str) -> tuple[int, ...]:
    """`-500ms` and `-500` are 500; `-2s` is 2000."""
    numbers = re.findall(r"-(\d+)(ms|s)?", suffix)
    return tuple(int(digits) * (1000 if unit == "s" else 1) for digits, unit in numbers)
