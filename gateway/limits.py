"""What a call that passes is told of its limits, in the headers of its caller's vendor.

Of several quotas the one that has least left speaks. All of it is in memory, and as fresh as this
process's last draw from the window.
"""

from __future__ import annotations

from collections.abc import Sequence

from billing.ledger.allowances import Claim, Window
from billing.ledger.windows import END
from billing.quotas import QuotaRule
from gateway.errors.limits import ANTHROPIC, OPENAI, Headers, Names, write_limit

Shown = Sequence[tuple[Names, int]]


def find_shown(rules: Sequence[QuotaRule], *, protocol: str) -> Shown:
    """Return which headers tell of which of a bundle's rules, by their places."""
    vendor = ANTHROPIC if protocol == "anthropic" else OPENAI
    return [
        (names, place)
        for place, rule in enumerate(rules)
        if rule.is_drawn
        for names in vendor.get(rule.unit, ())
    ]


def limit_headers(shown: Shown, claims: Sequence[Claim], *, now: float) -> Headers:
    """Return the headers for what was held of a bundle; `now` is in Unix seconds."""
    tightest: dict[Names, tuple[int, Window]] = {}
    for names, place in shown:
        window, _ = claims[place]
        left = window.left + window.amount - window.held - window.pending
        known = tightest.get(names)
        if known is None or left < known[0]:
            tightest[names] = left, window
    headers: Headers = []
    for names, (left, window) in tightest.items():
        resets_at = window.ends_at_unix if window.ends_at < END else None
        limit = window.limit or 0
        headers += write_limit(names, limit=limit, left=max(left, 0), resets_at=resets_at, now=now)
    return headers
