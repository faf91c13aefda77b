"""Rate windows in Redis: requests and tokens a minute, and calls at once. Never money.

One script for each organization serves all waiting calls of a round and decides as core.py does.
What a process has drawn it spends from memory, as with the windows in PostgreSQL. When Redis is
away each process goes on with its share: the limit divided by the live processes, at least 1.
What Redis forgets starts again empty.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from billing.ledger import core
from billing.ledger.allowances import Window
from billing.ledger.core import UNLIMITED, Want, WindowState, decide_draws

log = logging.getLogger(__name__)

ANSWER_SECONDS = 0.1
AWAY_SECONDS = 1.0
REFRESH_SECONDS = 5.0
IGNORED_AFTER_MS = 15_000
AWAY = (RedisError, OSError, asyncio.TimeoutError)

_SCRIPT = (Path(__file__).parent / "rates.lua").read_text(encoding="utf-8")


def connect(url: str) -> Redis:
    """Return a client that answers or fails at once: waiting would cost the caller."""
    return Redis.from_url(
        url,
        socket_timeout=ANSWER_SECONDS,
        socket_connect_timeout=ANSWER_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )


class Rates:
    """The rate windows of one gateway process, and the shares it takes when Redis is away."""

    def __init__(self, client: Redis | RedisCluster, *, process: str) -> None:
        self._client = client
        self._process = process
        self._script = client.register_script(_SCRIPT)
        self._away_until = 0.0
        self._overruns: list[tuple[Window, int]] = []
        self.processes = 1
        self.rounds = 0

    @property
    def is_away(self) -> bool:
        return time.monotonic() < self._away_until

    async def draw(
        self, windows: Sequence[Window], waiters: Sequence[Sequence[Want]]
    ) -> list[int | None]:
        """Serve waiting calls, whose wants speak of positions in `windows`; credit the grants.

        Returns by waiter the position that refused it, or None. Every waiter's windows belong to
        one organization.
        """
        refused: list[int | None] = [None] * len(waiters)
        for numbers, chosen, wants in _by_organization(windows, waiters):
            answers = await self._draw_one(chosen, wants)
            for number, answer in zip(numbers, answers, strict=True):
                refused[number] = None if answer is None else windows.index(chosen[answer])
        return refused

    async def give_back(self, windows: Iterable[Window]) -> None:
        """Return what is free of these windows, and tell Redis of answers above their holds."""
        overruns, self._overruns = self._overruns, []
        returned = [(window, window.free) for window in windows if window.free > 0]
        for window, amount in returned:
            core.credit(window, window.granted - amount)
        if self.is_away or not (overruns or returned):
            return
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                for window, amount in returned:
                    if is_concurrency(window):
                        await self._set_field(window)
                    else:
                        await self._client.decrby(key_of(window), amount)
                for window, amount in overruns:
                    await self._client.incrby(key_of(window), amount)
        except AWAY as error:
            self._note_away(error)

    async def refresh(self, windows: Iterable[Window]) -> None:
        """Say again how many calls run at once here, so that the others go on counting them."""
        if self.is_away:
            return
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                for window in windows:
                    if is_concurrency(window) and window.amount > 0:
                        await self._set_field(window)
        except AWAY as error:
            self._note_away(error)

    def note_overrun(self, window: Window, amount: int) -> None:
        """Remember what an answer used above its hold; the next give_back() tells Redis."""
        self._overruns.append((window, amount))

    async def close(self) -> None:
        await self._client.aclose()

    async def _draw_one(
        self, windows: Sequence[Window], waiters: Sequence[Sequence[Want]]
    ) -> list[int | None]:
        """Draw for calls of one organization: in Redis, or from this process's own share."""
        if not self.is_away:
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    answer = await self._script(
                        keys=[key_of(window) for window in windows],
                        args=self._arguments(windows, waiters),
                    )
                return self._credit(windows, *answer)
            except AWAY as error:
                self._note_away(error)
        return self._share(windows, waiters)

    def _arguments(self, windows: Sequence[Window], waiters: Sequence[Sequence[Want]]) -> list[Any]:
        arguments: list[Any] = [self._process, self.processes]
        for window in windows:
            limit = UNLIMITED if window.rule.limit is None else window.rule.limit
            kind = "c" if is_concurrency(window) else "w"
            arguments += [kind, limit, window.free, window.amount, _lives_ms(window)]
        for number, wants in enumerate(waiters):
            for position, need, want in wants:
                arguments += [number, position + 1, need, want]
        return arguments

    def _credit(
        self,
        windows: Sequence[Window],
        granted: Sequence[int],
        refused: Sequence[int],
        drawn: Sequence[int],
    ) -> list[int | None]:
        self.rounds += 1
        for window, grant, total in zip(windows, granted, drawn, strict=True):
            core.credit(window, window.granted + grant)
            _learn(window, window.rule.limit, total)
        return [position - 1 if position else None for position in refused]

    def _share(
        self, windows: Sequence[Window], waiters: Sequence[Sequence[Want]]
    ) -> list[int | None]:
        """Decide alone: each live process has an equal share of every limit."""
        states = []
        for window in windows:
            limit = window.rule.limit
            share = None if limit is None else min(limit, max(limit // self.processes, 1))
            taken = window.amount if is_concurrency(window) else window.granted
            states.append(WindowState(limit=share, drawn=taken))
            _learn(window, share, taken)
        spare = [window.free for window in windows]
        draws = decide_draws(
            states, spare, [[w._replace(want=w.need) for w in ws] for ws in waiters]
        )
        for window, state, grant in zip(windows, states, draws.granted, strict=True):
            core.credit(window, window.granted + grant)
            _learn(window, state.limit, state.drawn + grant)
        return draws.refused_by

    async def _set_field(self, window: Window) -> None:
        ends = int(time.time() * 1000) + IGNORED_AFTER_MS
        await self._client.hset(key_of(window), self._process, f"{window.amount}:{ends}")

    def _note_away(self, error: BaseException) -> None:
        if not self.is_away:
            log.warning("Redis is away; rates go on with this process's share: %r", error)
        self._away_until = time.monotonic() + AWAY_SECONDS


def key_of(window: Window) -> str:
    """Return a window's key. The braces keep an organization's keys in one slot of a cluster."""
    rule = window.rule
    period = "now" if is_concurrency(window) else str(int(window.starts_at.timestamp()))
    return f"tollgate:{{{rule.organization}}}:{rule.id}:{period}"


def is_concurrency(window: Window) -> bool:
    return window.rule.unit == "concurrency"


def _lives_ms(window: Window) -> int:
    """Return how long Redis keeps the window: to its end and a little longer."""
    if is_concurrency(window):
        return IGNORED_AFTER_MS
    return max(int((window.ends_at_unix - time.time()) * 1000), 0) + 5_000


def _learn(window: Window, limit: int | None, drawn: int) -> None:
    """Keep what is known of a window for refusals and for the headers of answers."""
    window.limit = window.rule.limit
    window.drawn = drawn
    window.used = 0
    window.left = UNLIMITED if limit is None else max(limit - drawn, 0)


def _by_organization(
    windows: Sequence[Window], waiters: Sequence[Sequence[Want]]
) -> Iterable[tuple[list[int], list[Window], list[list[Want]]]]:
    """Split a round by organization: the waiters' numbers, their windows, their wants again."""
    numbers: dict[int, list[int]] = {}
    for number, wants in enumerate(waiters):
        organization = windows[wants[0].position].rule.organization
        numbers.setdefault(organization, []).append(number)
    for members in numbers.values():
        positions = sorted({want.position for number in members for want in waiters[number]})
        place = {position: i for i, position in enumerate(positions)}
        chosen = [windows[position] for position in positions]
        moved = [
            [want._replace(position=place[want.position]) for want in waiters[number]]
            for number in members
        ]
        yield members, chosen, moved
