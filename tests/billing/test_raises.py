"""Raises and grants: what may be added to a quota, who is told, and what gateways make of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.errors import InvalidField
from accounts.models import AuditEvent, ChangeLog, Project
from billing.models import Quota
from billing.quotas import active_raises, end_quota, end_raise, grant, raise_limit
from tests.billing.test_quotas import put, read

pytestmark = pytest.mark.django_db
DOLLAR = 10**10


def soon() -> datetime:
    return timezone.now() + timedelta(hours=1)


def make_quota(**fields: Any) -> Quota:
    return Quota.objects.get(pk=put("key", 3, **{"limit": 5 * DOLLAR, **fields}))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"amount": "0"}, "amount"),
        ({"amount": "-1"}, "amount"),
        ({"amount": 0.5}, "amount"),
        ({"amount": "99999999"}, "amount"),
        ({"ends_at": None}, "ends_at"),
        ({"ends_at": datetime(2020, 1, 1, tzinfo=UTC)}, "ends_at"),
        ({"ends_at": datetime(2099, 1, 1)}, "ends_at"),
        ({"ends_at": datetime(9999, 12, 31, tzinfo=UTC)}, "ends_at"),
        ({"reason": "x" * 501}, "reason"),
    ],
)
def test_a_bad_raise_names_the_field_and_is_not_made(change: dict[str, Any], field: str) -> None:
    quota = make_quota()
    with pytest.raises(InvalidField) as refused:
        raise_limit(quota, **{"amount": "2.50", "ends_at": soon(), **change})
    assert refused.value.field == field
    assert active_raises(quota) == []


def test_other_units_are_raised_by_whole_numbers() -> None:
    quota = make_quota(unit="requests", window="day", limit=10)
    assert raise_limit(quota, amount=5, ends_at=soon()).amount == 5
    with pytest.raises(InvalidField, match=r"^amount: .* is not a whole number"):
        raise_limit(quota, amount="2.50", ends_at=soon())


def test_a_quota_without_a_limit_or_that_has_ended_cannot_be_raised() -> None:
    with pytest.raises(InvalidField, match="has no limit"):
        raise_limit(make_quota(limit=None), amount="1", ends_at=soon())
    ended = make_quota(window="day")
    end_quota(ended)
    with pytest.raises(InvalidField, match="has ended"):
        raise_limit(ended, amount="1", ends_at=soon())


def test_a_grant_is_for_a_lifetime_quota_only() -> None:
    with pytest.raises(InvalidField, match=r"^window: .* must be lifetime"):
        grant(make_quota(), amount="1", ends_at=soon())
    assert grant(make_quota(window="lifetime"), amount="1", ends_at=soon()).is_prepaid


def test_a_raise_is_told_to_gateways_by_its_quota_and_audited_with_its_reason(
    project: Project,
) -> None:
    quota = make_quota(organization=project.organization_id)
    made = raise_limit(quota, amount="2.50", ends_at=soon(), reason="launch week")
    end_raise(made)
    told = ChangeLog.objects.filter(kind="quota_raise")
    assert (
        list(told.values_list("object_id", "organization"))
        == [(quota.pk, project.organization_id)] * 2
    )
    events = AuditEvent.objects.filter(object_kind="quota_raise").order_by("id")
    assert [event.action for event in events] == ["insert", "update"]
    assert (events[0].after or {})["reason"] == "launch week"
    assert active_raises(quota) == []


def test_ending_a_raise_twice_keeps_the_first_end() -> None:
    made = raise_limit(make_quota(), amount="1", ends_at=soon())
    end_raise(made)
    first = made.ends_at
    end_raise(made)
    assert made.ends_at == first


@pytest.mark.django_db(transaction=True)
def test_gateways_add_what_is_raised_until_it_ends_by_the_clock(dsn: str) -> None:
    quota = make_quota()
    raise_limit(quota, amount="2.00", ends_at=soon())
    raise_limit(quota, amount="1.00", ends_at=soon() + timedelta(hours=1))
    book = read(dsn)

    def limit_in(**later: int) -> int | None:
        now = (timezone.now() + timedelta(**later)).timestamp()
        (rule,) = book.terms_for(organization=1, project=2, member=7, key=3, now=now).rules
        return rule.limit

    limits = [limit_in(), limit_in(minutes=61), limit_in(minutes=61), limit_in(minutes=121)]
    assert limits == [8 * DOLLAR, 6 * DOLLAR, 6 * DOLLAR, 5 * DOLLAR]
