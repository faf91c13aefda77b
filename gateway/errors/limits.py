"""The headers that tell of limits on requests and tokens, as either vendor writes them. Pure.

OpenAI has one name for tokens; Anthropic's `tokens` are those of whichever limit has least left.
"""

from __future__ import annotations

from datetime import UTC, datetime

Headers = list[tuple[bytes, bytes]]

# The names of a unit after `x-ratelimit-limit-`, and after `anthropic-ratelimit-`.
OPENAI_NAMES: dict[str, tuple[str, ...]] = {
    "requests": ("requests",),
    "input_tokens": ("tokens",),
    "output_tokens": ("tokens",),
    "total_tokens": ("tokens",),
}
ANTHROPIC_NAMES: dict[str, tuple[str, ...]] = {
    "requests": ("requests",),
    "input_tokens": ("tokens", "input-tokens"),
    "output_tokens": ("tokens", "output-tokens"),
    "total_tokens": ("tokens",),
}


def write_openai(
    name: str, *, limit: int, left: int, resets_at: float | None, now: float
) -> Headers:
    """Write one limit; times are Unix seconds, and None where the window never ends."""
    headers = [
        (f"x-ratelimit-limit-{name}".encode(), b"%d" % limit),
        (f"x-ratelimit-remaining-{name}".encode(), b"%d" % left),
    ]
    if resets_at is not None:
        reset = write_duration(max(resets_at - now, 0.0)).encode()
        headers.append((f"x-ratelimit-reset-{name}".encode(), reset))
    return headers


def write_anthropic(
    name: str, *, limit: int, left: int, resets_at: float | None, now: float
) -> Headers:
    """The same in Anthropic's way, which names the moment and not the time until then."""
    headers = [
        (f"anthropic-ratelimit-{name}-limit".encode(), b"%d" % limit),
        (f"anthropic-ratelimit-{name}-remaining".encode(), b"%d" % left),
    ]
    if resets_at is not None:
        moment = datetime.fromtimestamp(resets_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        headers.append((f"anthropic-ratelimit-{name}-reset".encode(), moment.encode()))
    return headers


def write_duration(seconds: float) -> str:
    """Write a time as OpenAI does, which is Go's way: 12ms, 1s, 6m0s, 1h0m0s."""
    if seconds < 1:
        return f"{int(seconds * 1000)}ms"
    whole = int(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    if hours:
        return f"{hours}h{minutes}m{rest}s"
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
