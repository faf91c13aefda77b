"""What the database sees to by itself: logs of rules and prices, and facts that stay."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, connection, transaction

from accounts.models import AuditEvent, ChangeLog
from billing.models import Adjustment, Price, Quota, UsageEvent
from tests.billing.facts import NOON, make_event, store

pytestmark = pytest.mark.django_db


def changes() -> list[tuple[str, int, int | None]]:
    return list(ChangeLog.objects.order_by("seq").values_list("kind", "object_id", "organization"))


def test_every_change_of_a_quota_is_logged_for_gateways_and_for_people() -> None:
    quota = Quota.objects.create(
        organization=4, scope="key", scope_id=1, unit="cost", limit=1, window="month"
    )
    with connection.cursor() as cursor:
        cursor.execute('UPDATE quota SET "limit" = 2')
    assert changes() == [("quota", quota.pk, 4)] * 2
    event = AuditEvent.objects.latest("id")
    assert (event.action, event.organization) == ("update", 4)
    assert [row and row["limit"] for row in (event.before, event.after)] == [1, 2]


def test_a_new_price_is_logged_for_every_gateway() -> None:
    price = Price.objects.create(model="m", effective_from=NOON, input=1, output=2)
    assert changes() == [("price", price.pk, None)]


def test_facts_corrections_and_prices_cannot_be_changed() -> None:
    store([make_event()])
    Price.objects.create(model="m", effective_from=NOON, input=1, output=2)
    Adjustment.objects.create(event_id=make_event().id, amount=1, reason="late")
    for facts, change in (
        (UsageEvent.objects.all(), {"cost_ticks": 0}),
        (Price.objects.all(), {"input": 0}),
        (Adjustment.objects.all(), {"amount": 0}),
    ):
        with pytest.raises(IntegrityError, match="is never changed"), transaction.atomic():
            facts.update(**change)
