"""What one attempt holds of the windows of its call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from billing.usage import UsageEvent, UsageSource

if TYPE_CHECKING:
    from billing.ledger.allowances import Claim, Window
    from billing.ledger.bundles import Bundle
    from billing.ledger.identity import Process


class Hold:
    """What an attempt may use, taken from the allowances of one process. Ends once.

    `needs` are on `accounts`, of which those in PostgreSQL come first, and those in Redis after.
    """

    __slots__ = ("accounts", "attempt", "bundle", "is_open", "needs", "process", "windows")

    def __init__(
        self, process: Process, bundle: Bundle, accounts: Sequence[Window], needs: list[int]
    ) -> None:
        self.process = process
        self.bundle = bundle
        self.accounts = accounts
        self.needs = needs
        # As the event has them; they are those of this moment, whatever the bundle turns to.
        self.windows = bundle.ids
        self.attempt = ""
        self.is_open = True

    @property
    def claims(self) -> list[Claim]:
        """What is held of windows in PostgreSQL."""
        stored = self.bundle.stored
        return list(zip(self.accounts[:stored], self.needs[:stored], strict=True))

    @property
    def rates(self) -> list[Claim]:
        """What is held of windows in Redis."""
        stored = self.bundle.stored
        return list(zip(self.accounts[stored:], self.needs[stored:], strict=True))

    def count(self, event: UsageEvent) -> list[int]:
        """Say in the event what it comes to in each window: its hold where nothing better is known.
        Returns that for all windows, of rates too."""
        bundle = self.bundle
        if event.usage_source is UsageSource.HELD:
            amounts = bundle.amounts_held(self.needs, event)
        else:
            amounts = bundle.amounts(event)
        event.window_amounts = amounts[: bundle.stored] if bundle.has_rates else amounts
        return amounts

    def is_outdone_by(self, event: UsageEvent) -> bool:
        """Say whether an attempt came to more than the most that was thought possible: in cost, or
        in tokens where a strict quota of tokens held for it."""
        if event.cost_ticks > event.held_ticks:
            return True
        strict, needs, amounts = self.bundle.strict_tokens, self.needs, event.window_amounts
        return bool(strict) and any(0 <= needs[n] < amounts[n] for n in strict)
