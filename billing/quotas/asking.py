"""Asking for more than a quota's limit: a request, and the one answer it gets.

Whoever may see the quota may ask; whether somebody may answer is access.may_manage_quota().
"""

from __future__ import annotations

from datetime import datetime

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from accounts.changes import wait_for_turn
from accounts.errors import InvalidField
from billing.models import Quota, RaiseRequest
from billing.quotas.letters import tell_of_answer, tell_of_request
from billing.quotas.raises import MAX_REASON_LENGTH, raise_limit
from billing.quotas.reading import parse_amount


def ask_for_more(quota: Quota, *, member: int, amount: object, reason: str) -> RaiseRequest:
    """Ask for `amount` more, written as the quota's limit is. Raises InvalidField."""
    number = parse_amount(quota.unit, amount, field="amount")
    reason = reason.strip()
    if number == 0:
        raise InvalidField("amount", "must be more than 0")
    if not reason:
        raise InvalidField("reason", "is missing; say what it is for")
    if len(reason) > MAX_REASON_LENGTH:
        raise InvalidField("reason", f"is longer than {MAX_REASON_LENGTH} characters")
    if quota.limit is None or (quota.ends_at is not None and quota.ends_at <= timezone.now()):
        raise InvalidField("quota", "has no limit that could be raised")
    try:
        with transaction.atomic():
            request = RaiseRequest.objects.create(
                organization=quota.organization,
                quota=quota,
                member=member,
                amount=number,
                reason=reason,
            )
            tell_of_request(request)
            return request
    except IntegrityError:
        raise InvalidField("quota", "was asked about before; wait for the answer") from None


def approve(request: RaiseRequest, *, amount: object, ends_at: datetime | None, by: str) -> bool:
    """Raise the limit until `ends_at`. Return False where somebody answered before. Raises
    InvalidField."""
    with transaction.atomic():
        wait_for_turn()
        request.refresh_from_db()
        if request.decided_at is not None:
            return False
        request.quota_raise = raise_limit(
            request.quota, amount=amount, ends_at=ends_at, reason=request.reason
        )
        request.decided_at, request.decided_by = timezone.now(), by
        request.save(update_fields=["quota_raise", "decided_at", "decided_by"])
        tell_of_answer(request)
    return True


def decline(request: RaiseRequest, *, answer: str, by: str) -> bool:
    """Refuse, with a word to whoever asked; False where somebody answered before."""
    open_ones = RaiseRequest.objects.filter(pk=request.pk, decided_at=None)
    declined = open_ones.update(
        decided_at=timezone.now(), decided_by=by, answer=answer.strip()[:MAX_REASON_LENGTH]
    )
    request.refresh_from_db()
    if declined:
        tell_of_answer(request)
    return declined == 1


def find_open(organization: int) -> QuerySet[RaiseRequest]:
    """Return what waits for an answer in an organization, the oldest first."""
    found = RaiseRequest.objects.filter(organization=organization, decided_at=None)
    return found.select_related("quota").order_by("id")
