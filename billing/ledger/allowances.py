"""What this process has drawn from the windows of quotas, and who waits for more.

Claims are made in memory: a call whose accounts have enough free never waits. One that lacks
something joins the queue, holds nothing meanwhile, and waits at most WAIT_SECONDS for the draw
task (draws.py), which serves the queue in order. While anybody waits for an account nobody else
passes.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from billing.ledger import core
from billing.ledger.bundles import Bundle
from billing.ledger.core import UNLIMITED, Account
from billing.ledger.windows import END, period
from billing.quotas import QuotaRule

WAIT_SECONDS = 0.2
# Where the loop itself stood still at the end of that, an answer may be there that nobody has read:
# a call waits this much longer for it.
STALL_SECONDS, LAST_LOOK_SECONDS = 0.01, 0.02

# A draw brings enough for so many calls; more where the last one was used up this soon.
GROWTH, MOST_GROWTH = 64, 1024
BUSY_SECONDS, CALM_SECONDS = 0.5, 5.0


class Standing(NamedTuple):
    """A window's figures in the quota's unit as they were at `as_of` (Unix seconds); `limit` with
    what raises add to the rule's, and None where it only counts."""

    rule: QuotaRule
    starts_at: datetime
    ends_at: datetime
    limit: int | None
    used: int
    held: int
    as_of: float


class Unavailable(Exception):
    """The database did not answer in time, so it cannot be known whether there is enough."""


class Spent(Exception):
    """A window has not enough left; nothing was taken from any."""

    def __init__(self, standing: Standing, *, needed: int, left: int) -> None:
        """`left` is what a smaller call could have had."""
        super().__init__(f"quota {standing.rule.id} has not {needed} left")
        self.standing = standing
        self.needed = needed
        self.left = left


@dataclass(slots=True, eq=False, kw_only=True)
class Window(Account):
    """The account of one period of a quota, and what is known of its window.

    doubtful     a draw or return may or may not be committed: `granted` is read before it is used
    spent_until  time.monotonic(); until then what exceeds `left` is refused without asking
    recall       the limit was lowered: what lies idle goes back at once
    largest_need of the calls that drew here lately
    growth       how many such calls a draw is to bring, if there is plenty; `drew_at` is when the
                 last one was, by the monotonic clock
    low          below so much free it is filled up, if that brings much at once; 0 for never
    is_rate      it is counted in Redis (rates.py), not in PostgreSQL
    opened_at    an instant within it, which decides what the database takes for its period
    used, drawn, left, limit   as they were at the last draw, at `known_at` (Unix seconds)
    """

    rule: QuotaRule
    opened_at: datetime
    starts_at: datetime
    ends_at: datetime
    ends_at_unix: float
    time_zone: str
    is_rate: bool
    is_concurrency: bool
    doubtful: bool = False
    recall: bool = False
    spent_until: float = 0.0
    limit: int | None = None
    left: int = 0
    used: int = 0
    drawn: int = 0
    known_at: float = 0.0
    largest_need: int = 0
    growth: int = GROWTH
    drew_at: float = 0.0
    low: int = 0

    @property
    def is_observed(self) -> bool:
        """Say whether calls at once are counted here without ever being refused."""
        return self.is_concurrency and not self.rule.is_drawn

    def standing(self) -> Standing:
        """Return what is known. Of a rate, what others have drawn counts as used; of calls at
        once, what runs is held and nothing is ever used up."""
        used, held = self.used, self.drawn
        if self.is_concurrency:
            held = self.drawn - (0 if self.is_observed else max(self.free, 0))
        elif self.is_rate:
            used, held = max(self.drawn - self.amount, 0), self.taken
        return Standing(
            self.rule, self.starts_at, self.ends_at, self.limit, used, held, self.known_at
        )

    def place(self, number: int, starts_at: datetime, ends_at: datetime) -> None:
        """Take over what the database says of the window: its row and its period."""
        self.window = number
        self.starts_at = starts_at
        self.ends_at = ends_at
        self.ends_at_unix = ends_at.timestamp()


def spent(window: Window, needed: int) -> Spent:
    """Return the refusal of a call that needs more than the window has left."""
    left = window.left + max(window.free, 0)
    return Spent(window.standing(), needed=needed, left=left)


# `need` of a window; core.NOT_DRAWN where it only counts.
Claim = tuple["Window", int]


@dataclass(slots=True, eq=False)
class Waiter:
    """A call that waits; whoever resolves the future says whether its claims are held.

    `asked` says how often other processes were asked to give back what it lacks, `refusal` why it
    would be refused now.
    """

    claims: Sequence[Claim]
    future: asyncio.Future[None]
    asked: int = 0
    refusal: Spent | None = None
    has_left: bool = False

    def leave(self) -> bool:
        """Leave the queue, once; False where the call has given up already."""
        if not self.has_left:
            self.has_left = True
            for account, _ in self.claims:
                account.waiting -= 1
        return not self.future.done()

    def refuse(self, reason: Exception) -> None:
        if not self.future.done():
            self.future.set_exception(reason)

    @property
    def is_served(self) -> bool:
        """Say whether its claims are held."""
        future = self.future
        return future.done() and not future.cancelled() and future.exception() is None

    def give_up(self) -> None:
        """The call has waited long enough."""
        self.refuse(self.refusal or Unavailable("the database did not answer in time"))


class Refill(Waiter):
    """Nobody waits for this: windows are filled up before calls run out of them."""

    __slots__ = ()

    def leave(self) -> bool:
        return False


class Allowances:
    """The accounts of one gateway process. One event loop runs it."""

    def __init__(self) -> None:
        # What bundles remember of windows is good while this is the same.
        self.edition = object()
        self.current: dict[int, Window] = {}
        self.ended: list[Window] = []
        self.upcoming: dict[int, Window] = {}
        # What anything was drawn from and is not given back yet.
        self.in_use: set[Window] = set()
        self.queue: deque[Waiter] = deque()
        self.wake = asyncio.Event()
        self.is_recalled = False
        self.round_started: float | None = None
        self.waiting = 0  # Calls that wait for a draw now, and that ever had to.
        self.waits = 0

    def find(self, bundle: Bundle, *, now: float, time_zone: str) -> Sequence[Window]:
        """Return the windows of a bundle that are open at `now` (Unix seconds)."""
        if now < bundle.good_until and bundle.edition is self.edition:
            return bundle.windows
        windows = []
        for rule in bundle.rules:
            window = self.current.get(rule.id)
            if window is None or window.rule is not rule or window.ends_at_unix <= now:
                window = self._open(rule, now, time_zone)
            windows.append(window)
        bundle.keep(windows, self.edition)
        return windows

    def take(self, bundle: Bundle, windows: Sequence[Window], needs: Sequence[int]) -> bool:
        """Hold each need at once, or none; False where the call must wait for a draw."""
        if bundle.edition is not self.edition:  # Not all of these windows are in the database yet.
            return False
        if self.waiting and any(window.waiting for window in windows):
            return False
        if bundle.alike:
            return core.hold_alike(windows, needs[0])
        return core.hold(list(zip(windows, needs, strict=True)))

    @property
    def is_late(self) -> bool:
        """Say whether the last draw has gone unanswered for longer than calls wait."""
        started = self.round_started
        return started is not None and (asyncio.get_running_loop().time() - started > WAIT_SECONDS)

    async def wait(self, claims: Sequence[Claim]) -> None:
        """Hold every claim after a draw. Raises Spent or Unavailable, having held nothing."""
        self._refuse_if_spent(claims)
        loop = asyncio.get_running_loop()
        if self.is_late:
            raise Unavailable("the database has not answered the last draw")
        waiter = Waiter(claims, loop.create_future())
        for account, _ in claims:
            account.waiting += 1
            self.in_use.add(account)
        self.queue.append(waiter)
        self.wake.set()
        timer = loop.call_later(WAIT_SECONDS, _end_wait, waiter, loop.time() + WAIT_SECONDS)
        self.waiting += 1
        self.waits += 1
        try:
            await waiter.future
        except asyncio.CancelledError:
            if waiter.is_served:
                core.release(claims)
            raise
        finally:
            self.waiting -= 1
            timer.cancel()

    def refill(self, claims: Sequence[Claim]) -> None:
        """Have more drawn of these windows, while calls go on with what they have."""
        windows = [w for w, need in claims if need > 0 and not w.is_concurrency]
        if not windows:
            return
        for window in windows:
            window.low = 0
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        ended.set_result(None)
        self.queue.append(Refill([(window, 0) for window in windows], ended))
        self.wake.set()

    def all(self) -> list[Window]:
        return [*self.current.values(), *self.ended, *self.upcoming.values()]

    def unused(self) -> set[Window]:
        """Return the windows that nothing is drawn from any more, for certain."""
        return {
            window
            for window in self.in_use
            if not (window.amount or window.free or window.waiting) and not window.doubtful
        }

    def forget(self, windows: set[Window]) -> None:
        """Pass over these windows from now on, if they are unused still."""
        self.in_use -= windows & self.unused()
        self.ended = [window for window in self.ended if window in self.in_use]

    def prepare(self, window: Window, *, time_zone: str) -> Window | None:
        """Make the account of the period after a window's, if there is none yet."""
        rule = window.rule
        if rule.id in self.upcoming or window.ends_at >= END:
            return None
        upcoming = self.upcoming[rule.id] = _make_window(rule, window.ends_at, time_zone)
        self.in_use.add(upcoming)
        return upcoming

    def _open(self, rule: QuotaRule, now: float, time_zone: str) -> Window:
        """Make the account of a quota's current window, or take over a changed rule.

        A call that was on its way at a change may bring the former rule back: all bundles are asked
        for theirs again, or those that have the new one would go on by the former one's limit.
        """
        before = self.current.get(rule.id)
        if before is not None and before.ends_at_unix > now:
            self.edition = object()
            before.recall = _is_lower(rule.limit, before.rule.limit)
            self.is_recalled |= before.recall
            before.rule = rule
            before.limit = rule.limit
            before.spent_until = 0.0
            self._observe(before)
            return before
        if before is not None and before in self.in_use:
            self.ended.append(before)
        window = self.upcoming.pop(rule.id, None)
        at = datetime.fromtimestamp(now, UTC)
        if window is None or not window.starts_at <= at < window.ends_at:
            if window is not None:
                self.ended.append(window)
            window = _make_window(rule, at, time_zone)
        window.rule = rule
        window.time_zone = time_zone
        self.current[rule.id] = window
        self._observe(window)
        return window

    def _observe(self, window: Window) -> None:
        """Let any number of calls run at once where they are only counted, and only the ones that
        run keep their places where a limit has come."""
        if window.is_observed and window.amount < UNLIMITED:
            core.regrant(window, UNLIMITED)
            self.in_use.add(window)
        elif window.is_concurrency and not window.is_observed and window.amount >= UNLIMITED:
            core.regrant(window, window.taken)

    def _refuse_if_spent(self, claims: Sequence[Claim]) -> None:
        now = time.monotonic()
        for account, need in claims:
            if account.spent_until > now and need - max(account.free, 0) > account.left:
                raise spent(account, need)


def _end_wait(waiter: Waiter, due: float) -> None:
    loop = asyncio.get_running_loop()
    if loop.time() - due > STALL_SECONDS:
        loop.call_later(LAST_LOOK_SECONDS, waiter.give_up)
    else:
        waiter.give_up()


def _make_window(rule: QuotaRule, at: datetime, time_zone: str) -> Window:
    starts_at, ends_at = period(rule.window, at, time_zone)
    return Window(
        window=-rule.id if rule.is_rate else 0,  # What is not in PostgreSQL has no row there.
        is_rate=rule.is_rate,
        is_concurrency=rule.unit == "concurrency",
        rule=rule,
        opened_at=at,
        starts_at=starts_at,
        ends_at=ends_at,
        ends_at_unix=ends_at.timestamp(),
        time_zone=time_zone,
        limit=rule.limit,
    )


def watch(window: Window, granted: int) -> None:
    """After a draw that brought more than a call needs, see to the next one before it is empty.

    A window that is drawn from again at once is drawn from more generously, so that draws do not
    grow with calls; one that is not goes back to where it began.
    """
    if granted:
        now = time.monotonic()
        quiet = now - window.drew_at
        if quiet < BUSY_SECONDS:
            window.growth = min(2 * window.growth, MOST_GROWTH)
        elif quiet > CALM_SECONDS:
            window.growth = GROWTH
        window.drew_at = now
        window.low = granted // 2 if granted > 2 * window.largest_need else 0


def _is_lower(limit: int | None, before: int | None) -> bool:
    return limit is not None and (before is None or limit < before)
