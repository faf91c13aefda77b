"""What was used, what is allowed and what it costs.

Facts (`UsageEvent`, `Adjustment`, `Price`) are appended and never changed; claims (`Allowance`)
end once; everything else (`Rollup`) can be rebuilt. Models and prices are named by string and
scopes by number, so nothing here points up to the gateway. Amounts of money are ticks,
10^-10 USD in an int64. Only ledger/ writes QuotaWindow, Allowance and UsageEvent.
"""

from __future__ import annotations

from billing.models.facts import (
    Adjustment,
    DroppedDay,
    Refusal,
    RejectedEvent,
    SettlementConflict,
    UsageEvent,
)
from billing.models.ledger import (
    Allowance,
    GatewayProcess,
    LedgerCheck,
    QuotaWindow,
    RouteSuspension,
)
from billing.models.rollups import Rollup, RollupDelta, RollupTag, RollupTagDelta
from billing.models.rules import KeptRaise, Price, Quota, QuotaRaise, RaiseRequest

__all__ = [
    "Adjustment",
    "Allowance",
    "DroppedDay",
    "GatewayProcess",
    "KeptRaise",
    "LedgerCheck",
    "Price",
    "Quota",
    "QuotaRaise",
    "QuotaWindow",
    "RaiseRequest",
    "Refusal",
    "RejectedEvent",
    "Rollup",
    "RollupDelta",
    "RollupTag",
    "RollupTagDelta",
    "RouteSuspension",
    "SettlementConflict",
    "UsageEvent",
]
