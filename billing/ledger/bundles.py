"""What many calls have in common that are held to the same rules, worked out once for all of them.

Windows in PostgreSQL come first in everything here, those in Redis after them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import inf
from operator import gt, itemgetter
from typing import TYPE_CHECKING

from billing.ledger.core import NOT_DRAWN
from billing.quotas import QuotaRule

if TYPE_CHECKING:
    from billing.ledger.allowances import Window
    from billing.usage import UsageEvent

# Where figures of a call, or of an attempt, stand: see QuotaRule.measure. The last one is what a
# window takes that counts nothing then: no hold, or no use.
NOTHING = 5


class Bundle:
    """The windows of some rules, good for calls of one process until the first of them ends.

    stored   how many of them are in PostgreSQL; with has_rates there are others
    ids      of these the numbers, as events have them
    watched  the places of those that tell when all run low, for they run out together
    alike    all are limits of cost that hold all that a call may cost: it needs the same of each,
             and uses the same
    """

    __slots__ = (
        "_counts_tokens",
        "_divides",
        "_has_zero",
        "_least_most",
        "_mosts",
        "_pick_holds",
        "_pick_uses",
        "_shares",
        "_uses",
        "_uses_all",
        "alike",
        "edition",
        "good_until",
        "has_rates",
        "ids",
        "rules",
        "stored",
        "strict_tokens",
        "watched",
        "windows",
    )

    def __init__(self, rules: Iterable[QuotaRule]) -> None:
        self.rules: Sequence[QuotaRule] = sorted(rules, key=lambda rule: rule.is_rate)
        self.stored = sum(not rule.is_rate for rule in self.rules)
        self.has_rates = self.stored < len(self.rules)
        self.edition: object = None
        self.windows: Sequence[Window] = ()
        self.ids: list[int] = []
        self.good_until = 0.0
        holds = [_hold_of(rule) for rule in self.rules]
        self._pick_holds = _make_picker([place for place, _ in holds])
        self._shares = [share for _, share in holds]
        self._uses = [
            NOTHING if rule.unit == "concurrency" else rule.measure for rule in self.rules
        ]
        self._pick_uses = _make_picker(self._uses)
        # Where nothing counts tokens, those of an attempt need not be added up.
        self._counts_tokens = any(rule.unit.endswith("_tokens") for rule in self.rules)
        self._uses_all = NOTHING not in self._uses
        self._divides = any(rule.share != 1 for rule in self.rules)
        self._has_zero = any(rule.limit == 0 for rule in self.rules)
        self._mosts = [rule.most for rule in self.rules]
        self._least_most = min(self._mosts, default=0)
        self.alike = bool(holds) and all(
            rule.is_drawn and rule.unit == "cost" and rule.share == 1 and rule.limit
            for rule in self.rules
        )
        self.strict_tokens = [
            number
            for number, rule in enumerate(self.rules[: self.stored])
            if rule.hold == "strict" and rule.unit.endswith("_tokens")
        ]

        drawn = [n for n, r in enumerate(self.rules) if r.is_drawn and r.unit != "concurrency"]
        in_postgres = [n for n in drawn if n < self.stored]
        in_redis = [n for n in drawn if n >= self.stored]
        self.watched = [*in_postgres[:1], *in_redis[:1]]

    def needs(self, figures: tuple[int, int, int, int, int]) -> list[int]:
        """Return what to hold of each window for a call that may use `figures` at most, or a part
        of that. Not even a call that uses nothing fits a limit of zero."""
        if self.alike:
            return [figures[0]] * len(self.rules)
        needs = list(self._pick_holds((*figures, NOT_DRAWN)))
        if self._divides:
            needs = [-(-need // share) for need, share in zip(needs, self._shares, strict=True)]
        if self._has_zero:
            limits = [rule.limit for rule in self.rules]
            needs = [need or int(limit == 0) for need, limit in zip(needs, limits, strict=True)]
        return needs

    def too_large(self, needs: Sequence[int]) -> bool:
        """Say whether one of the needs is more than a quota allows at all."""
        if self.alike:
            return needs[0] > self._least_most
        return any(map(gt, needs, self._mosts))

    def amounts(self, event: UsageEvent) -> list[int]:
        """Return what an attempt comes to in each window."""
        if self.alike:
            return [event.cost_ticks] * len(self.rules)
        if self._counts_tokens:
            return list(self._pick_uses((*event.figures(), 0)))
        return list(self._pick_uses((event.cost_ticks, 0, 0, 0, 1, 0)))

    def amounts_held(self, needs: list[int], event: UsageEvent) -> list[int]:
        """Return what an attempt comes to of which nothing better is known than its holds."""
        if self._uses_all and min(needs, default=0) > 0:
            return needs
        amounts = self.amounts(event)
        return [
            need if need > 0 and place != NOTHING else amount
            for need, place, amount in zip(needs, self._uses, amounts, strict=True)
        ]

    def keep(self, windows: Sequence[Window], edition: object) -> None:
        """Remember the windows, if the database knows them all. `edition` is that of the allowances
        in which they were found."""
        self.windows = windows
        self.ids = [window.window for window in windows[: self.stored]]
        self.edition = edition if all(window.window for window in windows) else None
        self.good_until = min([window.ends_at_unix for window in windows], default=inf)


def _make_picker(places: Sequence[int]) -> Callable[[Sequence[int]], Sequence[int]]:
    """Return what picks figures by their places: in one step where there are several."""
    if len(places) > 1:
        return itemgetter(*places)
    return lambda figures: [figures[place] for place in places]


def _hold_of(rule: QuotaRule) -> tuple[int, int]:
    """Return where a rule's need stands among a call's figures, and what it is divided by."""
    if rule.is_drawn:
        return rule.measure, rule.share
    # What runs has to be counted while it runs, though it is never refused.
    return (rule.measure, 1) if rule.unit == "concurrency" else (NOTHING, 1)
