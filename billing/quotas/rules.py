"""Quotas' rules as gateways keep them in memory, and the terms of a call. Values: no database, no
clock."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from billing.ledger.core import UNLIMITED

MEASURES = {
    "cost": 0,
    "input_tokens": 1,
    "output_tokens": 2,
    "total_tokens": 3,
    "requests": 4,
    "concurrency": 4,
}

# A bounded hold is this part of the most that a call may use. Each call uses so many times its hold
# at worst, and holds stay within the limit: so that often the limit is the most that is ever used.
EXPECTED_SHARE = 4


class QuotaRule(msgspec.Struct, frozen=True):
    """A rule as gateways keep it. `limit` is in the unit, ticks for cost, raises included; None
    counts without refusing. Times are Unix seconds; at `changes_at` a raise ends, or the rule.

    Worked out once for all calls:
    is_drawn  it can refuse; the others only count
    measure   the place of its unit in what a call may use: ticks, input, output and total tokens,
              and the call itself
    share     it holds the most that a call may use divided by this, rounded up
    most      what a single call may hold, where the limit is not 0
    is_rate   it is counted in Redis, not in PostgreSQL: never money
    """

    id: int
    organization: int
    scope: str
    scope_id: int
    model: str
    unit: str
    limit: int | None
    window: str
    mode: str
    hold: str
    clamp: bool
    ends_at: float | None
    made_at: float
    changes_at: float | None = None
    is_drawn: bool = False
    measure: int = 0
    share: int = 1
    most: int = 0
    is_rate: bool = False

    def __post_init__(self) -> None:
        put = msgspec.structs.force_setattr
        put(self, "is_drawn", self.limit is not None and self.mode == "enforce")
        put(self, "measure", MEASURES[self.unit])
        put(self, "share", EXPECTED_SHARE if self.hold == "bounded" else 1)
        put(self, "most", self.limit if self.is_drawn and self.limit else UNLIMITED)
        is_rate = self.unit == "concurrency" or (self.window == "minute" and self.unit != "cost")
        put(self, "is_rate", is_rate)

    @property
    def is_strict(self) -> bool:
        """Say whether it trusts in the bounds of calls."""
        return self.is_drawn and self.hold == "strict" and self.measure != MEASURES["requests"]


class Terms(msgspec.Struct, frozen=True):
    """What a key's calls of one model are held to, until a rule of it ends or changes by the clock
    (Unix seconds). Rules are in the order of their ids."""

    rules: tuple[QuotaRule, ...]
    until: float


def make_terms(rules: Iterable[QuotaRule]) -> Terms:
    found = tuple(sorted(rules, key=lambda rule: rule.id))
    ends = [rule.changes_at for rule in found if rule.changes_at is not None]
    return Terms(found, min(ends, default=float("inf")))
