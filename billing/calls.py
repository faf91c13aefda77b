"""The facts of an organization's calls, to be looked up. Reports are made of rollups: reports.py.

An attempt's UUIDv7 says when it was, so times are bounds of the primary key. What an attempt really
came to, where that was heard late, is in its corrections beside it.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import QuerySet
from django.utils import timezone

from accounts.models import ApiKey, Organization
from billing.models import Adjustment, UsageEvent
from billing.usage import first_id_at

ATTEMPTS_MS = 24 * 3600 * 1000  # No call goes on trying for longer.
LAST_MS = 2**48 - 1
LOOKED_BACK = timedelta(days=30)


def find_attempts(
    organization: Organization,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    **columns: Any,
) -> QuerySet[UsageEvent]:
    """Return the organization's attempts in [since, until) with those values of columns."""
    found = UsageEvent.objects.filter(organization=organization.pk, **columns)
    if since is not None:
        found = found.filter(pk__gte=_first_id(since))
    if until is not None:
        found = found.filter(pk__lt=_first_id(until))
    return found


def find_call(organization: Organization, call: uuid.UUID) -> QuerySet[UsageEvent]:
    """Return the attempts of one call, whose id says when they were."""
    began_ms = call.int >> 80
    first, after = first_id_at(began_ms), first_id_at(min(began_ms + ATTEMPTS_MS, LAST_MS))
    return find_attempts(organization, call_id=call, pk__gte=first, pk__lt=after)


def find_corrections(attempts: Collection[UsageEvent]) -> Mapping[uuid.UUID, list[Adjustment]]:
    """Return what was corrected of the attempts' own figures, by their ids."""
    found: dict[uuid.UUID, list[Adjustment]] = {}
    corrections = Adjustment.objects.filter(
        event_id__in=[attempt.pk for attempt in attempts], window=None
    )
    for correction in corrections.order_by("pk"):
        assert correction.event_id is not None
        found.setdefault(correction.event_id, []).append(correction)
    return found


def find_last_used(keys: Collection[ApiKey]) -> Mapping[int, datetime]:
    """Return when keys made their last attempt, by their numbers; nothing for those that made none
    in LOOKED_BACK, because facts of every day have to be asked."""
    since = first_id_at(round((timezone.now() - LOOKED_BACK).timestamp() * 1000))
    with connection.cursor() as cursor:
        cursor.execute(_LAST_USED, [[key.pk for key in keys], since])
        return {key: _moment(id_) for key, id_ in cursor.fetchall()}


def moment_of(attempt: UsageEvent) -> datetime:
    """Return when an attempt began."""
    return _moment(attempt.pk)


_LAST_USED = """
SELECT k.id, e.id FROM unnest(%s::bigint[]) AS k (id) CROSS JOIN LATERAL (
    SELECT id FROM usage_event WHERE key = k.id AND id >= %s ORDER BY id DESC LIMIT 1
) e
"""


def _moment(id_: uuid.UUID) -> datetime:
    return datetime.fromtimestamp((id_.int >> 80) / 1000, UTC)


def _first_id(at: datetime) -> uuid.UUID:
    return first_id_at(min(max(round(at.timestamp() * 1000), 0), LAST_MS))
