"""Asking for more than a quota's limit: a request, and the one answer it gets.

Whoever belongs to the organization and may see the quota may ask; whether somebody may answer is
access.may_manage_quota().
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from accounts import access
from accounts.changes import wait_for_turn
from accounts.errors import AnsweredAlready, InvalidField
from accounts.models import Organization
from billing.models import Quota, RaiseRequest
from billing.quotas.letters import tell_of_answer, tell_of_request
from billing.quotas.raises import MAX_REASON_LENGTH, raise_limit
from billing.quotas.reading import parse_amount
from billing.quotas.standing import find_visible


def may_ask(standing: access.Standing, quota: Quota) -> bool:
    """People of the organization ask; operators from outside answer."""
    return standing.membership is not None and quota.limit is not None and not standing.is_suspended


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


def approve(request: RaiseRequest, *, amount: object, ends_at: datetime | None, by: str) -> None:
    """Raise the limit by `amount` until `ends_at`. Raises InvalidField and AnsweredAlready."""
    with _answering(request):
        request.quota_raise = raise_limit(
            request.quota, amount=amount, ends_at=ends_at, reason=request.reason
        )
        request.decided_at, request.decided_by = timezone.now(), by
        request.save(update_fields=["quota_raise", "decided_at", "decided_by"])
        tell_of_answer(request)


def decline(request: RaiseRequest, *, answer: str, by: str) -> None:
    """Refuse, with a word to whoever asked. Raises InvalidField and AnsweredAlready."""
    answer = answer.strip()
    if len(answer) > MAX_REASON_LENGTH:
        raise InvalidField("answer", f"is longer than {MAX_REASON_LENGTH} characters")
    with _answering(request):
        request.decided_at, request.decided_by, request.answer = timezone.now(), by, answer
        request.save(update_fields=["decided_at", "decided_by", "answer"])
        tell_of_answer(request)


def find_requests(organization: Organization, standing: access.Standing) -> QuerySet[RaiseRequest]:
    """Return one's own requests and those that one may answer, the newest first."""
    mine = Q(member=standing.membership or 0)
    answered_by_us = [
        scope
        for scope in Quota.Scope.values
        if access.may_manage_quota(standing, organization=organization.pk, scope=scope)
    ]
    found = RaiseRequest.objects.filter(mine | Q(quota__scope__in=answered_by_us))
    return found.filter(quota__in=find_visible(organization, standing)).select_related("quota")


@contextmanager
def _answering(request: RaiseRequest) -> Iterator[None]:
    """Answer a request that nobody else can answer before this block has committed."""
    with transaction.atomic():
        wait_for_turn()
        request.refresh_from_db()
        if request.decided_at is not None:
            raise AnsweredAlready("Somebody answered this request before.")
        yield
