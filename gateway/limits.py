"""What a call that passes is told of its limits, in the headers of its caller's vendor.

Of several quotas the one that has least left speaks. All of it is in memory, and as fresh as this
process's last draw from the window.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from billing.ledger.allowances import Claim, Window
from billing.ledger.windows import END
from gateway.errors.limits import (
    ANTHROPIC_NAMES,
    OPENAI_NAMES,
    Headers,
    write_anthropic,
    write_openai,
)


def limit_headers(claims: Iterable[Claim], *, protocol: str, now: float) -> Headers:
    """Return the headers for what was held; `now` is in Unix seconds."""
    is_anthropic = protocol == "anthropic"
    names = ANTHROPIC_NAMES if is_anthropic else OPENAI_NAMES
    write = write_anthropic if is_anthropic else write_openai
    headers: Headers = []
    for name, (left, window) in _find_tightest(claims, names).items():
        resets_at = window.ends_at_unix if window.ends_at < END else None
        headers += write(name, limit=window.limit or 0, left=left, resets_at=resets_at, now=now)
    return headers


def _find_tightest(
    claims: Iterable[Claim], names: Mapping[str, tuple[str, ...]]
) -> dict[str, tuple[int, Window]]:
    """Return by name the window with the least left, and how much that is."""
    found: dict[str, tuple[int, Window]] = {}
    for window, _ in claims:
        if not window.rule.is_drawn:
            continue
        left = max(window.left + window.free, 0)
        for name in names.get(window.rule.unit, ()):
            if name not in found or left < found[name][0]:
                found[name] = left, window
    return found
