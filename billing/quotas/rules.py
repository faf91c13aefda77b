"""A quota's rule as gateways keep it in memory. A value: no database, no clock."""

from __future__ import annotations

import msgspec


class QuotaRule(msgspec.Struct, frozen=True):
    """A rule as gateways keep it. `limit` is in the unit, ticks for cost; None counts without
    refusing. Times are Unix seconds."""

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

    @property
    def is_drawn(self) -> bool:
        """Say whether it can refuse; the others only count."""
        return self.limit is not None and self.mode == "enforce"
