"""The facts of an organization's calls, to be looked up. Reports are made of rollups: reports.py.

An attempt's UUIDv7 says when it was, so times are bounds of the primary key. What an attempt really
came to, where that was heard late, is in its corrections beside it.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any

from django.db.models import QuerySet

from accounts.models import Organization
from billing.models import Adjustment, UsageEvent
from billing.usage import first_id_at

ATTEMPTS_MS = 24 * 3600 * 1000  # No call goes on trying for longer.
LAST_MS = 2**48 - 1


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


def moment_of(attempt: UsageEvent) -> datetime:
    """Return when an attempt began."""
    return datetime.fromtimestamp((attempt.pk.int >> 80) / 1000, UTC)


def _first_id(at: datetime) -> uuid.UUID:
    return first_id_at(min(max(round(at.timestamp() * 1000), 0), LAST_MS))
