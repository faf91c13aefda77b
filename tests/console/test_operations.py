"""The page that operators begin at: who used what today, the dearest first."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.db import connection

from accounts.models import Organization, User
from billing.rollups import fold_usage
from console import home
from tests.billing.facts import make_event, store
from tests.console.conftest import browser

pytestmark = pytest.mark.django_db


def test_the_dearest_organizations_of_today_are_listed_first_whatever_they_are_called(
    operator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first fifty by age were looked at, so the dearest one could be missing."""
    monkeypatch.setattr(home, "SHOWN_ORGANIZATIONS", 2)
    now = datetime.now(UTC)
    for number in range(4):
        made = Organization.objects.create(slug=f"o{number}", name=f"Organization {number}")
        event = make_event(now, organization=made.pk, cost_ticks=number * 10**10)
        store([event])
    fold_usage(connection)
    page = browser(operator).get("/operations/").content.decode()
    listed = page.split("Organizations today")[1].split("</section>")[0]
    assert listed.index("Organization 3") < listed.index("Organization 2")
    assert "Organization 1" not in listed
    assert "$3.00" in listed
