"""What a call that passes is told of its limits, in the headers of its caller's vendor.

Of several quotas the one that has least left speaks. All of it is in memory, and as fresh as this
process's last draw from the window.
"""

from __future__ import annotations

from collections.abc import Sequence

from billing.ledger.allowances import Claim
from billing.ledger.core import UNLIMITED
from billing.ledger.windows import END
from billing.quotas import QuotaRule
from gateway.errors.limits import (
    ANTHROPIC,
    OPENAI,
    Headers,
    Names,
    write_moment,
    write_reset,
)

# Headers, whether Anthropic's, and the places of the rules that they tell of.
Shown = Sequence[tuple[Names, bool, Sequence[int]]]
_END_UNIX = END.timestamp()


def find_shown(rules: Sequence[QuotaRule], *, protocol: str) -> Shown:
    """Return which headers tell of which of a bundle's rules."""
    is_anthropic = protocol == "anthropic"
    vendor = ANTHROPIC if is_anthropic else OPENAI
    places: dict[Names, list[int]] = {}
    for place, rule in enumerate(rules):
        for names in vendor.get(rule.unit, ()) if rule.is_drawn else ():
            places.setdefault(names, []).append(place)
    return [(names, is_anthropic, found) for names, found in places.items()]


def limit_headers(shown: Shown, claims: Sequence[Claim], *, now: float) -> Headers:
    """Return the headers for what was held of a bundle; `now` is in Unix seconds."""
    headers: Headers = []
    for names, is_anthropic, places in shown:
        least, tightest = UNLIMITED, claims[places[0]][0]
        for place in places:
            window = claims[place][0]
            left = window.left + window.free
            if left < least:
                least, tightest = left, window
        headers.append((names.limit, b"%d" % (tightest.limit or 0)))
        headers.append((names.remaining, b"%d" % max(least, 0)))
        ends_at = tightest.ends_at_unix
        if ends_at < _END_UNIX:
            reset = write_moment(ends_at) if is_anthropic else write_reset(ends_at - now)
            headers.append((names.reset, reset))
    return headers
