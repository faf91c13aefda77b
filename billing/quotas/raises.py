"""More than a quota's limit for a while: temporary raises and prepaid grants.

Both add to the limit of every process within a second, end by the database's clock without anybody
doing anything, and are audited like every change. Of a grant what was used stays paid when it
ends; of a temporary raise nothing stays.
"""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.db.models import Sum
from django.utils import timezone

from accounts.changes import wait_for_turn
from accounts.errors import InvalidField
from accounts.rows import check_far
from billing.models import Quota, QuotaRaise
from billing.quotas.reading import find_largest_limit, parse_amount, show_amount

MAX_REASON_LENGTH = 500


def raise_limit(
    quota: Quota, *, amount: object, ends_at: datetime | None, reason: str = ""
) -> QuotaRaise:
    """Let a quota's windows hold `amount` more until `ends_at`, each of them anew.

    `amount` is written as the quota's limit is: USD such as "5.00" for cost, else a whole number.
    Raises InvalidField.
    """
    return _add(quota, amount=amount, ends_at=ends_at, reason=reason, is_prepaid=False)


def grant(
    quota: Quota, *, amount: object, ends_at: datetime | None, reason: str = ""
) -> QuotaRaise:
    """Add `amount`, to be used once, to a lifetime quota; what is left of it at `ends_at` expires.

    The quota's own limit is used first, then the grant that ends first. A quota with a limit of 0
    and grants is a prepaid account. Raises InvalidField.
    """
    if quota.window != Quota.Window.LIFETIME:
        raise InvalidField(
            "window", f"a grant is used once, so its quota's must be lifetime, not {quota.window}"
        )
    return _add(quota, amount=amount, ends_at=ends_at, reason=reason, is_prepaid=True)


def end_raise(quota_raise: QuotaRaise) -> None:
    """End a raise or grant now; one that has ended stays as it was."""
    live = QuotaRaise.objects.filter(pk=quota_raise.pk, ends_at__gt=timezone.now())
    live.update(ends_at=timezone.now())
    quota_raise.refresh_from_db()


def active_raises(quota: Quota) -> list[QuotaRaise]:
    """Return what adds to a quota's limit now, in the order of their ends."""
    return list(quota.raises.filter(ends_at__gt=timezone.now()).order_by("ends_at", "id"))


def _add(
    quota: Quota, *, amount: object, ends_at: datetime | None, reason: str, is_prepaid: bool
) -> QuotaRaise:
    number = parse_amount(quota.unit, amount, field="amount")
    if number == 0:
        raise InvalidField("amount", "must be more than 0")
    if ends_at is None:
        raise InvalidField("ends_at", "is missing; a raise has an end")
    if timezone.is_naive(ends_at):
        raise InvalidField("ends_at", "needs a time zone")
    if ends_at <= timezone.now():
        raise InvalidField("ends_at", "is past")
    check_far("ends_at", ends_at)
    if len(reason) > MAX_REASON_LENGTH:
        raise InvalidField("reason", f"is longer than {MAX_REASON_LENGTH} characters")
    with transaction.atomic():
        wait_for_turn()
        _check_room(quota, number)
        return QuotaRaise.objects.create(
            organization=quota.organization,
            quota=quota,
            amount=number,
            is_prepaid=is_prepaid,
            ends_at=ends_at,
            reason=reason,
        )


def _check_room(quota: Quota, amount: int) -> None:
    """Raise InvalidField where the quota as it is now cannot take so much more."""
    quota.refresh_from_db()
    if quota.ends_at is not None and quota.ends_at <= timezone.now():
        raise InvalidField("quota", "has ended")
    if quota.limit is None:
        raise InvalidField("quota", "has no limit that could be raised")
    added = quota.raises.filter(ends_at__gt=timezone.now()).aggregate(sum=Sum("amount"))["sum"]
    most = find_largest_limit(quota.unit)
    if quota.limit + (added or 0) + amount > most:
        raise InvalidField("amount", f"makes the limit more than {show_amount(quota.unit, most)}")
