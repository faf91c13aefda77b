"""Routes that strict quotas leave out, because an attempt cost more there than the most it could.

Such an overrun says that a bound is wrong: a price, an overhead, or what the provider's cap covers.
Until somebody has looked, calls under strict quotas do not use the route; all others do. Settlement
writes the suspension in front of the fact, in a transaction of its own (the change log's turn comes
before any window's lock), so that it is neither lost with a process nor made twice for one attempt.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import psycopg
from django.utils import timezone
from psycopg import AsyncConnection

from accounts.errors import InvalidField
from billing.event_rows import event_rows_sql
from billing.models import RouteSuspension
from billing.usage import UsageEvent

if TYPE_CHECKING:
    from accounts.changes import Change

log = logging.getLogger(__name__)

LONGEST_NOTE = 200

# One attempt suspends its route at most once, and not if the fact is known: a replay is no news.
_SUSPEND = f"""
INSERT INTO route_suspension (model, provider, upstream_model, event_id, held_ticks, cost_ticks)
SELECT i.model, i.provider, i.upstream_model, i.id, i.held_ticks, i.cost_ticks
FROM {event_rows_sql("%s::json")} AS i
WHERE (
    (i.price_version IS NOT NULL AND i.cost_ticks > i.held_ticks)
    OR EXISTS (
        SELECT 1 FROM unnest(i.windows, i.window_amounts, i.window_holds)
            AS c (window_id, amount, hold)
        JOIN quota_window w ON w.id = c.window_id JOIN quota q ON q.id = w.quota_id
        WHERE c.hold >= 0 AND c.amount > c.hold AND q.hold = 'strict' AND q.mode = 'enforce'
    )
)
AND NOT EXISTS (SELECT 1 FROM usage_event e WHERE e.id = i.id AND e.outcome <> 'unknown')
AND NOT EXISTS (SELECT 1 FROM adjustment a WHERE a.event_id = i.id AND a.reason = 'late')
ON CONFLICT DO NOTHING
RETURNING model, provider, held_ticks, cost_ticks
"""  # noqa: S608 - the pieces are constants.


def is_over(event: UsageEvent) -> bool:
    """Say whether an attempt may have come to more than was held for it, in any unit."""
    return event.cost_ticks > event.held_ticks or any(
        0 <= hold < amount
        for amount, hold in zip(event.window_amounts, event.window_holds, strict=True)
    )


async def suspend_routes(connection: AsyncConnection[Any], events: Iterable[UsageEvent]) -> None:
    """Suspend the routes of attempts that came to more than was held for them under strict rules.

    To be called before the events are settled, and before any window is locked. One that cannot
    be read by the database is left to whoever settles it.
    """
    over = {(e.model, e.provider, e.upstream_model): e for e in events if is_over(e)}
    for event in over.values():
        try:
            async with connection.transaction():
                cursor = await connection.execute(_SUSPEND, [msgspec.json.encode([event]).decode()])
                row = await cursor.fetchone()
        except (psycopg.DataError, psycopg.IntegrityError) as error:
            log.error("attempt %s came to more than was held: %s", event.id, error)
            continue
        if row is not None:
            log.error(
                "strict quotas leave out %s at %s from now on: attempt %s cost %d ticks, more than"
                " the most that was thought possible (%d)",
                row[0],
                row[1],
                event.id,
                row[3],
                row[2],
            )


def acknowledge(suspension: RouteSuspension, *, note: str) -> bool:
    """Let strict quotas use the route again; False where somebody has acknowledged it already.

    `note` says what was found. Who it was is in the audit log.
    """
    if len(note) > LONGEST_NOTE:
        raise InvalidField("note", f"is longer than {LONGEST_NOTE} characters")
    open_still = RouteSuspension.objects.filter(pk=suspension.pk, acknowledged_at=None)
    return bool(open_still.update(acknowledged_at=timezone.now(), note=note))


class SuspensionBook:
    """The routes that are suspended, in the memory of a gateway process."""

    kinds = frozenset({"route_suspension"})

    def __init__(self) -> None:
        self._routes: frozenset[tuple[str, str, str]] = frozenset()

    def __bool__(self) -> bool:
        """Say whether there are any: mostly there are none, and a call need not look further."""
        return bool(self._routes)

    def covers(self, *, model: str, provider: str, upstream_model: str) -> bool:
        return (model, provider, upstream_model) in self._routes

    async def load(self, connection: AsyncConnection[Any]) -> None:
        cursor = await connection.execute(
            "SELECT model, provider, upstream_model FROM route_suspension"
            " WHERE acknowledged_at IS NULL"
        )
        self._routes = frozenset(await cursor.fetchall())

    async def refresh(self, connection: AsyncConnection[Any], changes: Sequence[Change]) -> None:
        """Read all of them again: there are few."""
        await self.load(connection)
