"""How each quota stands, in the words of the pages: used, limit, end, and what warns of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q, QuerySet
from django.utils import timezone

from accounts import access
from accounts.models import ApiKey, Membership, Project
from billing.ledger.windows import END
from billing.models import Quota, QuotaWindow
from billing.quotas.counted import is_counted_in_redis
from billing.quotas.standing import find_added, find_visible, find_windows
from console.headroom import read_largest, warn
from console.shell import Place
from console.templatetags.figures import NEAR_PERCENT, amount, percent, words


@dataclass(frozen=True, slots=True)
class QuotaStanding:
    """A quota as people see it: `limit` with what raises add; `used` None where it is not known."""

    quota: Quota
    place: str  # What its scope is called.
    short: str
    title: str
    used: int | None
    limit: int | None
    added: int
    ends_at: datetime | None
    warning: str = ""
    may_change: bool = False

    @property
    def percent(self) -> int:
        return percent(self.used, self.limit) if self.used is not None else 0

    @property
    def is_near(self) -> bool:
        return self.limit is not None and self.percent >= NEAR_PERCENT and bool(self.used)

    @property
    def told(self) -> str:
        unit = self.quota.unit
        if self.used is None:
            return f"at most {amount(self.limit, unit)}"
        if self.limit is None:
            return f"{amount(self.used, unit)}, no limit"
        return f"{amount(self.used, unit)} of {amount(self.limit, unit)}"


def living(quotas: QuerySet[Quota]) -> QuerySet[Quota]:
    return quotas.filter(Q(ends_at=None) | Q(ends_at__gt=timezone.now()))


def find_standing_of(place: Place, *, scope: str, scope_id: int) -> list[QuotaStanding]:
    """Return how the quotas of one scope stand."""
    found = living(find_visible(place.organization, place.standing))
    return read_standings(place, found.filter(scope=scope, scope_id=scope_id))


def read_standings(place: Place, quotas: Iterable[Quota]) -> list[QuotaStanding]:
    """Return how quotas stand, the widest scope first and within one the fullest."""
    found = list(quotas)
    windows, added = find_windows(found), find_added(found)
    places, largest = name_places(place, found), read_largest()
    standings = []
    for quota in found:
        window = windows.get(quota.pk)
        more = added.get(quota.pk, 0)
        where = places.get((quota.scope, quota.scope_id), f"{quota.scope} {quota.scope_id}")
        standings.append(
            QuotaStanding(
                quota=quota,
                place=where,
                short=write_title(quota),
                title=f"{write_title(quota)}, {where}",
                used=find_used(quota, window),
                limit=None if quota.limit is None else quota.limit + more,
                added=more,
                ends_at=find_end(quota, window),
                warning=warn(quota, more, largest),
                may_change=may_manage(place, quota),
            )
        )
    order = {scope: number for number, scope in enumerate(Quota.Scope.values)}
    return sorted(standings, key=lambda each: (order[each.quota.scope], -each.percent, each.title))


def find_used(quota: Quota, window: QuotaWindow | None) -> int | None:
    """Return what is used; None where that is not known, because Redis is away."""
    if is_counted_in_redis(quota):
        return None if window is None else window.drawn
    return 0 if window is None else window.posted + window.overrun


def find_end(quota: Quota, window: QuotaWindow | None) -> datetime | None:
    """Return when the window ends, where that is worth saying."""
    if window is None or is_counted_in_redis(quota) or window.ends_at >= END:
        return None
    return window.ends_at


def write_title(quota: Quota) -> str:
    unit = words(quota.unit).capitalize()
    model = f" of {quota.model}" if quota.model else ""
    if quota.unit == "concurrency":
        return f"Calls at once{model}"
    period = "ever" if quota.window == "lifetime" else f"a {quota.window}"
    return f"{unit}{model} {period}".replace("a hour", "an hour")


def name_places(place: Place, quotas: list[Quota]) -> dict[tuple[str, int], str]:
    """Return what people call the scopes of quotas."""
    ids: dict[str, list[int]] = {}
    for quota in quotas:
        ids.setdefault(quota.scope, []).append(quota.scope_id)
    ours = {"organization": place.organization}
    projects = Project.objects.filter(**ours, pk__in=ids.get("project", []))
    members = Membership.objects.filter(**ours, pk__in=ids.get("member", []))
    keys = ApiKey.objects.filter(**ours, pk__in=ids.get("key", []))
    return {
        ("organization", place.organization.pk): "the whole organization",
        **{("project", each.pk): f"project {each.name}" for each in projects},
        **{("member", each.pk): each.user.email for each in members.select_related("user")},
        **{("key", each.pk): f"key {each}" for each in keys},
    }


def may_manage(place: Place, quota: Quota) -> bool:
    return access.may_manage_quota(
        place.standing, organization=place.organization.pk, scope=quota.scope
    )
