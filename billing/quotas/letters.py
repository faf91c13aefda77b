"""Letters about requests for more: to whoever may answer one, and to whoever asked, its answer.

They go out once the request or the answer is committed. A mail server that fails is for the log:
the request stands all the same, on the page of its quota.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core.mail import EmailMessage, get_connection
from django.db import transaction

from accounts import access
from accounts.models import ApiKey, Membership, Organization, Project
from billing.models import Quota, RaiseRequest
from billing.quotas.reading import show_amount

MOST_LETTERS = 20


def tell_of_request(request: RaiseRequest) -> None:
    """Write to everybody who may answer, each a letter of their own, but not to who asks."""
    transaction.on_commit(lambda: _send_request(request), robust=True)


def tell_of_answer(request: RaiseRequest) -> None:
    """Write to whoever asked what became of it."""
    transaction.on_commit(lambda: _send_answer(request), robust=True)


def _send_request(request: RaiseRequest) -> None:
    quota = request.quota
    asker = _find_asker(request)
    answering = access.find_quota_managers(request.organization, scope=quota.scope)
    addresses = answering.exclude(pk=asker.user_id).values_list("email", flat=True)
    _send(
        addresses[:MOST_LETTERS],
        subject=f"{asker.user.email} asks for more of a limit",
        paragraphs=[
            f"{asker.user.email} asks for {show_amount(quota.unit, request.amount)} more of "
            f"{_name_quota(quota)}.",
            f"What for: {request.reason}",
            f"Approve or decline it here:\n{_address_of(quota)}",
        ],
    )


def _send_answer(request: RaiseRequest) -> None:
    quota, granted = request.quota, request.quota_raise
    if granted is None:
        told = [f"{request.decided_by} declined what you asked for: more of {_name_quota(quota)}."]
        told += [f"Why: {request.answer}"] if request.answer else []
    else:
        until = "" if granted.ends_at is None else f", until {_write_end(quota, granted.ends_at)}"
        amount = show_amount(quota.unit, granted.amount)
        told = [f"{request.decided_by} raised {_name_quota(quota)} by {amount}{until}."]
    _send(
        [_find_asker(request).user.email],
        subject=f"Your request for more was {'declined' if granted is None else 'approved'}",
        paragraphs=[*told, f"How it stands now:\n{_address_of(quota)}"],
    )


def _write_end(quota: Quota, ends_at: datetime) -> str:
    zone = Organization.objects.get(pk=quota.organization).time_zone
    return f"{ends_at.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M} {zone}"


def _find_asker(request: RaiseRequest) -> Membership:
    return Membership.objects.select_related("user").get(pk=request.member)


def _send(addresses: Iterable[str], *, subject: str, paragraphs: Iterable[str]) -> None:
    body = "\n\n".join([*paragraphs, f"Tollgate, {settings.PUBLIC_URL}"]) + "\n"
    letters = [EmailMessage(f"Tollgate: {subject}", body, to=[each]) for each in addresses]
    if letters:
        get_connection().send_messages(letters)


def _address_of(quota: Quota) -> str:
    """The address that refusals name as well: it leads on from there."""
    return f"{settings.PUBLIC_URL}/limits/{quota.pk}"


def _name_quota(quota: Quota) -> str:
    """Say which limit it is: the limit on cost a month of project Default of Acme."""
    unit = {"concurrency": "calls at once"}.get(quota.unit, quota.unit.replace("_", " "))
    period = {"lifetime": "for ever", "none": ""}.get(quota.window, f"a {quota.window}")
    organization = Organization.objects.get(pk=quota.organization)
    model = f" for {quota.model}" if quota.model else ""
    counted = f"{unit} {period}".strip()
    return f"the limit on {counted}{model} of {_name_scope(quota, organization)}"


def _name_scope(quota: Quota, organization: Organization) -> str:
    if quota.scope == Quota.Scope.PROJECT:
        return f"project {Project.objects.get(pk=quota.scope_id).name} of {organization.name}"
    if quota.scope == Quota.Scope.KEY:
        return f"key {ApiKey.objects.get(pk=quota.scope_id).name} of {organization.name}"
    if quota.scope == Quota.Scope.MEMBER:
        member = Membership.objects.select_related("user").get(pk=quota.scope_id)
        return f"{member.user.email} in {organization.name}"
    return organization.name
