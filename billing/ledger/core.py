"""The ledger's decisions, pure: no clock, no I/O, no database.

An Account is what one process has of one window. One event loop runs it, so a claim on several
accounts is made at once or not at all, without a lock. The invariant, at every instant:
nothing free is negative, and `amount` never exceeds what the database says was drawn.

`decide_draws` is the model of the SQL function ledger_draw; a test holds the two against each
other, and the simulation runs on the model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

# Stands for "no limit" in sums; windows with it are counted, never refused.
UNLIMITED = 2**62

# The hold of a window that counts without being drawn from.
NOT_DRAWN = -1


@dataclass(slots=True, eq=False, kw_only=True)
class Account:
    """What this process has of one window, in the quota's unit.

    amount    drawn and neither posted nor given back, as the database keeps it
    free      of that, what is neither claimed by attempts under way nor used by finished ones whose
              settlement is not committed yet
    granted   everything ever drawn less everything ever given back: after an error this tells
              which draws did happen, whatever was settled meanwhile
    waiting   calls in the queue for a draw; while there are any, nobody may pass them
    """

    window: int
    amount: int = 0
    free: int = field(init=False)
    granted: int = 0
    waiting: int = 0

    def __post_init__(self) -> None:
        self.free = self.amount

    @property
    def taken(self) -> int:
        """Return what is not free: held, or used and not settled."""
        return self.amount - self.free


# `need` of an account; NOT_DRAWN where the window only counts.
Claims = Sequence[tuple[Account, int]]

# What finished attempts have used of their claims, by account.
Used = dict[Account, int]


def hold(claims: Claims) -> bool:
    """Take every claim, or none of them if one does not fit what is free."""
    for account, need in claims:
        if account.free < need and need != NOT_DRAWN:
            return False
    for account, need in claims:
        if need > 0:
            account.free -= need
    return True


def hold_alike(accounts: Sequence[Account], need: int) -> bool:
    """Do what hold() does where the same is needed of every account, each of which is drawn."""
    for account in accounts:
        if account.free < need:
            return False
    for account in accounts:
        account.free -= need
    return True


def release(claims: Claims) -> None:
    """End claims of which nothing was used: all of it is free again."""
    for account, need in claims:
        if need > 0:
            account.free += need


def use(claims: Claims, amounts: Sequence[int], used: Used) -> None:
    """End claims of which `amounts` were used; the rest of each is free again. What was used is
    added to `used`, for post().

    What exceeds a claim is overrun: it is recorded by the settlement and takes nothing from the
    account.
    """
    for (account, need), amount in zip(claims, amounts, strict=True):
        if need > 0:
            if amount < need:
                account.free += need - amount
                used[account] = used.get(account, 0) + amount
            else:
                used[account] = used.get(account, 0) + need


def use_alike(accounts: Sequence[Account], need: int, amount: int) -> int:
    """Do what use() does where the same was needed of every account, and used of it. Returns what
    was used of each within its claim, for post()."""
    if amount >= need:
        return need
    rest = need - amount
    for account in accounts:
        account.free += rest
    return amount


def post(used: Mapping[Account, int]) -> None:
    """The settlement of used claims is committed: the database has moved drawn to posted."""
    for account, within in used.items():
        account.amount -= within


def spend(claims: Claims, amounts: Sequence[int]) -> None:
    """End claims of which `amounts` were used, where nothing is left to be settled."""
    for (account, need), amount in zip(claims, amounts, strict=True):
        if need > 0:
            within = amount if amount < need else need
            account.amount -= within
            account.free += need - within


def credit(account: Account, granted: int) -> None:
    """Take over what the database says was granted in all, more or less than was known."""
    account.amount += granted - account.granted
    account.free += granted - account.granted
    account.granted = granted


def regrant(account: Account, granted: int) -> None:
    """Begin anew with so much, of which what is taken stays taken."""
    account.free += granted - account.amount
    account.amount = account.granted = granted


@dataclass(slots=True)
class WindowState:
    """A window's row, as locked. `limit` None counts without refusing."""

    limit: int | None
    posted: int = 0
    overrun: int = 0
    drawn: int = 0

    @property
    def remaining(self) -> int:
        if self.limit is None:
            return UNLIMITED
        return self.limit - self.posted - self.overrun - self.drawn


class Want(NamedTuple):
    """One window of one waiting call: position in the list of windows, what it needs, and what
    it would like to draw at once."""

    position: int
    need: int
    want: int


@dataclass(slots=True)
class Draws:
    """What a round of draws came to: by window the grant, by waiter the position of the window
    that refused it, or None."""

    granted: list[int]
    refused_by: list[int | None] = field(default_factory=list)


def decide_draws(
    windows: Sequence[WindowState],
    spare: Sequence[int],
    waiters: Sequence[Sequence[Want]],
    *,
    processes: int = 1,
) -> Draws:
    """Serve waiters in order: each gets all of its windows or none.

    `spare` is what the process has free in each window already. A grant is never less than what
    is missing, and up to `want` as long as that is a quarter of this process's share of what
    remains: near the limit draws become small, and little lies idle where others need it. A window
    that lacks nothing yet is filled up with the others when less than half of that is left in it,
    so that the windows of a call run out together.
    """
    free = list(spare)
    remaining = [window.remaining for window in windows]
    draws = Draws(granted=[0] * len(windows))
    for wants in waiters:
        refusing = next((w.position for w in wants if _missing(w, free, remaining) > 0), None)
        draws.refused_by.append(refusing)
        if refusing is not None:
            continue
        for position, need, want in wants:
            short = need - max(free[position], 0)
            generous = max(min(want, remaining[position] // (4 * processes)), 0)
            grant = 0
            if short > 0:
                grant = max(short, generous)
            elif free[position] - need < generous // 2:
                grant = generous
            draws.granted[position] += grant
            remaining[position] -= grant
            free[position] += grant - need
    return draws


def _missing(want: Want, free: Sequence[int], remaining: Sequence[int]) -> int:
    """Return how much the window lacks for this want, at most 0 where it has enough."""
    short = want.need - max(free[want.position], 0)
    return short - max(remaining[want.position], 0)
