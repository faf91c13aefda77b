"""Rate windows in Redis: requests and tokens a minute, and calls at once. Never money.

One script for each organization serves all waiting calls of a round and decides as core.py does,
and all of them go in one round trip. What a process has drawn it spends from memory, as with the
windows in PostgreSQL. When Redis is away each process goes on with its share: the limit divided
by the live processes, at least 1. What Redis forgets starts again empty.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError

from billing.ledger import core
from billing.ledger.allowances import Standing, Window, watch
from billing.ledger.core import UNLIMITED, Want, WindowState, decide_draws

log = logging.getLogger(__name__)

ANSWER_SECONDS = 0.1
REFRESH_SECONDS = 5.0
IGNORED_AFTER_MS = 15_000
AWAY = (RedisError, OSError, asyncio.TimeoutError)

_FOLDER = Path(__file__).parent / "lua"
DRAW = (_FOLDER / "draw.lua").read_text(encoding="utf-8")
TELL = (_FOLDER / "tell.lua").read_text(encoding="utf-8")

Arguments = list[Any]


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
        self._shas: dict[str, str] = {}
        self.is_away = False
        self._refreshed_at = 0.0
        self._extra: dict[Window, int] = {}
        # What is said of calls at once is a total, so two sayings must not pass each other.
        self._turn = asyncio.Lock()
        self.processes = 1
        self.rounds = 0

    async def draw(
        self, windows: Sequence[Window], waiters: Sequence[Sequence[Want]]
    ) -> list[int | None]:
        """Serve waiting calls, whose wants speak of positions in `windows`; credit the grants.

        Returns by waiter the position that refused it, or None. Every waiter's windows belong to
        one organization.
        """
        async with self._turn:
            return await self._draw(windows, waiters)

    async def _draw(
        self, windows: Sequence[Window], waiters: Sequence[Sequence[Want]]
    ) -> list[int | None]:
        refused: list[int | None] = [None] * len(waiters)
        parts = list(_by_organization(windows, waiters))
        answers = await self._run(
            DRAW, [(chosen, self._draw_arguments(chosen, wants)) for _, chosen, wants in parts]
        )
        for place, (numbers, chosen, wants) in enumerate(parts):
            if answers is None:
                found = self._share(chosen, wants)
            else:
                found = self._credit(chosen, *answers[place])
            for number, answer in zip(numbers, found, strict=True):
                refused[number] = None if answer is None else windows.index(chosen[answer])
        return refused

    async def tend(self, in_use: Iterable[Window], idle: Iterable[Window]) -> None:
        """Give back what is free of the `idle`, tell what was used beyond holds, and every few
        seconds say again how many calls run: all in one round trip. To be called every second."""
        wanted_by = {window: window.waiting for window in idle}
        if self.is_away:
            await self._look_for_it()
        async with self._turn:
            # What somebody has begun to wait for meanwhile stays here.
            idle = [window for window, waiting in wanted_by.items() if window.waiting <= waiting]
            await self._tend(in_use, idle)

    async def _tend(self, in_use: Iterable[Window], idle: Iterable[Window]) -> None:
        returned = {window: -window.free for window in idle if window.free > 0}
        for window, change in returned.items():
            core.credit(window, window.granted + change)
        extra, self._extra = self._extra, {}
        changes = {w: returned.get(w, 0) + extra.get(w, 0) for w in {*returned, *extra}}
        now = time.monotonic()
        is_due = now - self._refreshed_at >= REFRESH_SECONDS
        if is_due:
            changes.update({w: 0 for w in in_use if w.is_concurrency and w not in changes})
        if changes and await self._tell(changes) is None:
            for window, amount in extra.items():
                self.note_extra(window, amount)
        elif is_due:
            self._refreshed_at = now

    async def standing(self, windows: Sequence[Window]) -> list[Standing]:
        """Return how windows stand now; without Redis, as far as this process knows."""
        if windows:
            async with self._turn:
                await self._tell(dict.fromkeys(windows, 0))
        return [window.standing() for window in windows]

    def note_extra(self, window: Window, amount: int) -> None:
        """Remember what was used beyond a hold, or without one; the next tend() tells Redis."""
        self._extra[window] = self._extra.get(window, 0) + amount

    async def close(self) -> None:
        await self._client.aclose()

    async def _tell(self, changes: dict[Window, int]) -> list[int] | None:
        """Tell changes of windows and learn what is drawn of each; None where Redis is away."""
        parts: dict[int, list[Window]] = {}
        for window in changes:
            parts.setdefault(window.rule.organization, []).append(window)
        calls = [(part, self._tell_arguments(part, changes)) for part in parts.values()]
        answers = await self._run(TELL, calls)
        if answers is None:
            return None
        for (part, _), drawn in zip(calls, answers, strict=True):
            for window, total in zip(part, drawn, strict=True):
                _learn(window, window.rule.limit, total)
        return [total for drawn in answers for total in drawn]

    async def _run(
        self, script: str, calls: Sequence[tuple[Sequence[Window], Arguments]]
    ) -> list[Any] | None:
        """Run a script once for each call, all in one round trip; None where Redis is away."""
        if self.is_away:
            return None
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                try:
                    return await self._evaluate(script, calls)
                except NoScriptError:  # Redis was started anew: nothing of the round was done.
                    self._shas.pop(script, None)
                    return await self._evaluate(script, calls)
        except AWAY as error:
            if not self.is_away:
                log.warning("Redis is away; rates go on with this process's share: %r", error)
            self.is_away = True
            return None

    async def _look_for_it(self) -> None:
        """Find out whether Redis answers again."""
        with contextlib.suppress(*AWAY):
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._client.ping()
            self.is_away = False
            log.info("Redis is back")

    async def _evaluate(
        self, script: str, calls: Sequence[tuple[Sequence[Window], Arguments]]
    ) -> list[Any]:
        sha = self._shas.get(script)
        if sha is None:
            sha = self._shas[script] = await self._client.script_load(script)
        if len(calls) == 1:
            windows, arguments = calls[0]
            keys = [key_of(window) for window in windows]
            answer: Awaitable[Any] = self._client.evalsha(sha, len(keys), *keys, *arguments)
            return [await answer]
        pipeline = self._client.pipeline(transaction=False)
        for windows, arguments in calls:
            keys = [key_of(window) for window in windows]
            pipeline.evalsha(sha, len(keys), *keys, *arguments)
        return list(await pipeline.execute())

    def _draw_arguments(
        self, windows: Sequence[Window], waiters: Sequence[Sequence[Want]]
    ) -> Arguments:
        arguments: Arguments = [self._process, self.processes]
        for window in windows:
            limit = UNLIMITED if window.rule.limit is None else window.rule.limit
            arguments += [_kind(window), limit, window.free, window.amount, _lives_ms(window)]
        for number, wants in enumerate(waiters):
            for position, need, want in wants:
                arguments += [number, position + 1, need, want]
        return arguments

    def _tell_arguments(self, windows: Sequence[Window], changes: dict[Window, int]) -> Arguments:
        arguments: Arguments = [self._process]
        for window in windows:
            own = window.taken if window.is_observed else window.amount
            arguments += [_kind(window), changes[window], own, _lives_ms(window)]
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
            watch(window, grant)
        return [position - 1 if position else None for position in refused]

    def _share(
        self, windows: Sequence[Window], waiters: Sequence[Sequence[Want]]
    ) -> list[int | None]:
        """Decide alone: each live process has an equal share of every limit."""
        states = []
        for window in windows:
            limit = window.rule.limit
            share = None if limit is None else min(limit, max(limit // self.processes, 1))
            taken = window.amount if window.is_concurrency else window.granted
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


def key_of(window: Window) -> str:
    """Return a window's key."""
    rule = window.rule
    starts_at = None if window.is_concurrency else window.starts_at
    return write_key(organization=rule.organization, quota=rule.id, starts_at=starts_at)


def write_key(*, organization: int, quota: int, starts_at: datetime | None) -> str:
    """Write the key of a quota's period, or with None of what runs now. The braces keep an
    organization's keys in one slot of a cluster."""
    period = "now" if starts_at is None else str(int(starts_at.timestamp()))
    return f"tollgate:{{{organization}}}:{quota}:{period}"


def _kind(window: Window) -> str:
    return "c" if window.is_concurrency else "w"


def _lives_ms(window: Window) -> int:
    """Return how long Redis keeps the window: to its end and a little longer."""
    if window.is_concurrency:
        return IGNORED_AFTER_MS
    left = int((window.ends_at_unix - time.time()) * 1000)
    return left + 5_000 if left > -5_000 else 0


def _learn(window: Window, limit: int | None, drawn: int) -> None:
    """Keep what is known of a window for refusals and for the headers of answers.

    What this process has drawn and not used yet is held; of the others that is not known, so all
    that they have drawn in a minute counts as used.
    """
    window.limit = window.rule.limit
    window.drawn = drawn
    window.known_at = time.time()
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
