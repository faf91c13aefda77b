"""Quotas' rules as gateways keep them in memory, and the terms of a call. Values: no database, no
clock."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec


class QuotaRule(msgspec.Struct, frozen=True):
    """A rule as gateways keep it. `limit` is in the unit, ticks for cost, raises included; None
    counts without refusing. Times are Unix seconds; at `changes_at` a raise ends, or the rule."""

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

    @property
    def is_drawn(self) -> bool:
        """Say whether it can refuse; the others only count."""
        return self.limit is not None and self.mode == "enforce"


class Terms(msgspec.Struct, frozen=True):
    """What a key's calls of one model are held to, until a rule of it ends or changes by the clock
    (Unix seconds). Rules are in the order of their ids."""

    rules: tuple[QuotaRule, ...]
    until: float


def make_terms(rules: Iterable[QuotaRule]) -> Terms:
    found = tuple(sorted(rules, key=lambda rule: rule.id))
    ends = [rule.changes_at for rule in found if rule.changes_at is not None]
    return Terms(found, min(ends, default=float("inf")))
