"""How quotas stand now, for people. What gateways decide by is the ledger's.

Windows of quotas that are counted in Redis are not here.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.utils import timezone

from billing.models import Quota, QuotaWindow


def find_windows(quotas: Iterable[Quota], *, at: datetime | None = None) -> dict[int, QuotaWindow]:
    """Return the window that each quota is in, by the quota's id; none where nothing was drawn."""
    at = at or timezone.now()
    ids = [quota.pk for quota in quotas]
    current = QuotaWindow.objects.filter(quota__in=ids, starts_at__lte=at, ends_at__gt=at)
    return {window.quota_id: window for window in current}
