"""How quotas stand now, for people. What gateways decide by is the ledger's."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.db.models import Q, QuerySet, Sum
from django.utils import timezone

from accounts import access
from accounts.access import Right
from accounts.models import ApiKey, Organization
from billing.models import Quota, QuotaRaise, QuotaWindow
from billing.quotas.counted import find_counted, is_counted_in_redis


def find_visible(organization: Organization, standing: access.Standing) -> QuerySet[Quota]:
    """Return the quotas that may be seen: of others' keys and persons none, unless their usage may
    be seen too."""
    found = Quota.objects.filter(organization=organization.pk)
    if not access.may(standing, Right.SEE_QUOTAS, organization=organization.pk):
        return found.none()
    if access.may(standing, Right.SEE_ALL_USAGE, organization=organization.pk):
        return found
    keys = ApiKey.objects.filter(organization=organization, owner=standing.membership)
    return found.filter(
        Q(scope__in=[Quota.Scope.ORGANIZATION, Quota.Scope.PROJECT])
        | Q(scope=Quota.Scope.MEMBER, scope_id=standing.membership or 0)
        | Q(scope=Quota.Scope.KEY, scope_id__in=keys.values("pk"))
    )


def find_windows(quotas: Iterable[Quota], *, at: datetime | None = None) -> dict[int, QuotaWindow]:
    """Return the window that each quota is in, by the quota's id; none where nothing was drawn,
    and none of what is counted in Redis while that is away."""
    at = at or timezone.now()
    quotas = list(quotas)
    counted = [quota for quota in quotas if is_counted_in_redis(quota)]
    ids = [quota.pk for quota in quotas]
    current = QuotaWindow.objects.filter(quota__in=ids, starts_at__lte=at, ends_at__gt=at)
    return {window.quota_id: window for window in current} | find_counted(counted, at=at)


def find_added(quotas: Iterable[Quota], *, at: datetime | None = None) -> dict[int, int]:
    """Return what raises and grants add to the limits of quotas now, by the quota's id."""
    living = QuotaRaise.objects.filter(quota__in=list(quotas), ends_at__gt=at or timezone.now())
    sums = living.order_by().values_list("quota").annotate(Sum("amount"))
    return {quota: int(added) for quota, added in sums}
