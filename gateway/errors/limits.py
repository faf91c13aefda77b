"""The headers that tell of limits on requests and tokens, as either vendor writes them. Pure.

OpenAI has one name for tokens; Anthropic's `tokens` are those of whichever limit has least left.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

Headers = list[tuple[bytes, bytes]]


class Names(NamedTuple):
    """The three headers of one limit, for one vendor's clients."""

    limit: bytes
    remaining: bytes
    reset: bytes


def _openai(kind: str) -> Names:
    return Names(*(f"x-ratelimit-{part}-{kind}".encode() for part in Names._fields))


def _anthropic(kind: str) -> Names:
    return Names(*(f"anthropic-ratelimit-{kind}-{part}".encode() for part in Names._fields))


# The headers that tell of a unit.
OPENAI: dict[str, tuple[Names, ...]] = {
    "requests": (_openai("requests"),),
    **dict.fromkeys(("input_tokens", "output_tokens", "total_tokens"), (_openai("tokens"),)),
}
ANTHROPIC: dict[str, tuple[Names, ...]] = {
    "requests": (_anthropic("requests"),),
    "input_tokens": (_anthropic("tokens"), _anthropic("input-tokens")),
    "output_tokens": (_anthropic("tokens"), _anthropic("output-tokens")),
    "total_tokens": (_anthropic("tokens"),),
}


def write_limit(
    names: Names, *, limit: int, left: int, resets_at: float | None, now: float
) -> Headers:
    """Write one limit; times are Unix seconds, and None where the window never ends.

    OpenAI's clients are told how long it takes until the reset, Anthropic's at which moment it is.
    """
    headers = [(names.limit, b"%d" % limit), (names.remaining, b"%d" % left)]
    if resets_at is not None:
        is_anthropic = names.reset.startswith(b"anthropic")
        reset = write_moment(resets_at) if is_anthropic else write_reset(resets_at - now)
        headers.append((names.reset, reset))
    return headers


def write_reset(seconds: float) -> bytes:
    """Write a time as OpenAI does. Many calls of one second are told the same."""
    return _whole_duration(int(seconds)) if seconds >= 1 else write_duration(seconds).encode()


@lru_cache(maxsize=1024)
def _whole_duration(seconds: int) -> bytes:
    return write_duration(seconds).encode()


@lru_cache(maxsize=1024)
def write_moment(at: float) -> bytes:
    """Write a moment, in Unix seconds, as Anthropic does."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ").encode()


def write_duration(seconds: float) -> str:
    """Write a time as OpenAI does, which is Go's way: 12ms, 1s, 6m0s, 1h0m0s."""
    if seconds < 1:
        return f"{int(max(seconds, 0) * 1000)}ms"
    whole = int(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    if hours:
        return f"{hours}h{minutes}m{rest}s"
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
