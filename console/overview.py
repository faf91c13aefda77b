"""What the first page of an organization shows: this month, and what is near its limit."""

from __future__ import annotations

from accounts.access import Right
from accounts.models import ApiKey
from billing.quotas.standing import find_visible
from console.shell import Place
from console.standings import QuotaStanding, living, read_standings
from console.usage import find_period, read_usage, see_only


def read_overview(place: Place) -> dict[str, object]:
    keys = ApiKey.objects.filter(organization=place.organization)
    if not place.may(Right.SEE_ALL_KEYS):
        keys = keys.filter(owner=place.standing.membership, owner__isnull=False)
    return {
        **read_usage(place, find_period(place.organization, "30"), see_only(place)),
        "month": read_usage(place, find_period(place.organization, "month"), see_only(place)),
        "near": find_near(place),
        "has_keys": keys.exists(),
        "living_keys": keys.exclude(status=ApiKey.Status.REVOKED).count(),
    }


def find_near(place: Place) -> list[QuotaStanding]:
    """Return the limits that are nearly used up, of those that may be seen."""
    visible = living(find_visible(place.organization, place.standing))
    return [each for each in read_standings(place, visible) if each.is_near]
