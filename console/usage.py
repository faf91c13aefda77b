"""What was used and what it cost, at a glance: of an organization, a project or a key.

All of it is from rollups, through billing/reports.py; days are those of the organization's zone.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone

from accounts.access import Right
from accounts.models import ApiKey, Organization, Project
from billing import reports
from billing.models import Refusal
from billing.pricing import format_usd
from billing.reports import Group
from billing.usage import Usage
from console.chart import Chart, draw_bars
from console.shell import Place, inside, show
from console.templatetags.figures import usd

PERIODS = {
    "today": "Today",
    "7": "7 days",
    "30": "30 days",
    "month": "This month",
    "last-month": "Last month",
    "365": "12 months",
}
FAILED = ("upstream_refused", "upstream_failed", "upstream_timeout", "unknown", "answered_partial")
MOST_ROWS = 100
SHOWN_REFUSALS = 10


@dataclass(frozen=True, slots=True)
class Period:
    """Whole days of an organization: the first, and the one after the last."""

    name: str
    first: date
    after: date

    def bounds(self, organization: Organization) -> tuple[datetime, datetime]:
        start = reports.start_of_day
        return start(organization, self.first), start(organization, self.after)


@dataclass(frozen=True, slots=True)
class Sums:
    """One row of a table of use."""

    label: str
    calls: int = 0
    attempts: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_ticks: int = 0

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens


@inside(Right.SEE_ALL_USAGE, Right.SEE_OWN_USAGE)
def show_usage(request: HttpRequest, place: Place) -> HttpResponse:
    period = find_period(place.organization, request.GET.get("period", ""))
    only, chosen = read_filter(place, request)
    context = read_usage(place, period, only)
    return show(
        request,
        "usage",
        place,
        section="usage",
        period=period,
        periods=PERIODS,
        projects=Project.objects.filter(organization=place.organization).order_by("name"),
        is_own=not place.may(Right.SEE_ALL_USAGE),
        context={**chosen, **context},
    )


@inside(Right.SEE_ALL_USAGE, Right.SEE_OWN_USAGE)
def export(request: HttpRequest, place: Place) -> HttpResponse:
    """The same figures by day, project, key and model, for a spreadsheet."""
    period = find_period(place.organization, request.GET.get("period", ""))
    only, _ = read_filter(place, request)
    since, until = period.bounds(place.organization)
    groups = reports.grouped(
        place.organization,
        since=since,
        until=until,
        by=("project", "key", "model"),
        step="day",
        zone=ZoneInfo(place.organization.time_zone),
        only=only,
    )
    answer = HttpResponse(
        write_csv(place.organization, groups), content_type="text/csv; charset=utf-8"
    )
    name = f"{place.organization.slug}-{period.first}-{period.after}.csv"
    answer["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer


def find_period(organization: Organization, name: str) -> Period:
    today = timezone.now().astimezone(ZoneInfo(organization.time_zone)).date()
    tomorrow, month = today + timedelta(days=1), today.replace(day=1)
    if name == "today":
        return Period(name, today, tomorrow)
    if name == "month":
        return Period(name, month, tomorrow)
    if name == "last-month":
        return Period(name, (month - timedelta(days=1)).replace(day=1), month)
    days = int(name) if name in {"7", "365"} else 30
    return Period(str(days), tomorrow - timedelta(days=days), tomorrow)


def read_filter(
    place: Place, request: HttpRequest
) -> tuple[dict[str, list[int]], dict[str, object]]:
    """Return the columns that are asked for, and what they are called. Raises Http404."""
    only = see_only(place)
    chosen: dict[str, object] = {}
    if slug := read_word(request, "project"):
        project = Project.objects.filter(organization=place.organization, slug=slug).first()
        if project is None:
            raise Http404
        only["project"], chosen["project"] = [project.pk], project
    if public_id := read_word(request, "key"):
        keys = ApiKey.objects.filter(organization=place.organization, public_id=public_id)
        if not place.may(Right.SEE_ALL_USAGE):
            keys = keys.filter(owner=place.standing.membership)
        key = keys.first()
        if key is None:
            raise Http404
        only["key"], chosen["key"] = [key.pk], key
    return only, chosen


def read_word(request: HttpRequest, name: str) -> str:
    """Return what a query says, without what no text in the database can hold."""
    return request.GET.get(name, "").strip().replace("\0", "")


def see_only(place: Place) -> dict[str, list[int]]:
    """Return the column by which use may be seen: one's own, or of all."""
    if place.may(Right.SEE_ALL_USAGE):
        return {}
    return {"member": [place.standing.membership or 0]}


def read_usage(place: Place, period: Period, only: Mapping[str, list[int]]) -> dict[str, object]:
    """Return everything that the page of usage shows of a period."""
    since, until = period.bounds(place.organization)
    zone = ZoneInfo(place.organization.time_zone)
    names = ("key", "model", "outcome")
    groups = reports.grouped(
        place.organization, since=since, until=until, by=names, step="day", zone=zone, only=only
    )
    days = by_day(groups, period, zone)
    keys = ApiKey.objects.filter(organization=place.organization)
    labels = {key.pk: str(key) for key in keys.filter(pk__in={g.values["key"] for g in groups})}
    return {
        "total": add_up("total", groups),
        "failed": sum(g.attempts for g in groups if g.values["outcome"] in FAILED),
        "outcomes": group_by(groups, "outcome"),
        "days": list(reversed(days)),
        "chart": draw_days(days),
        "models": group_by(groups, "model")[:MOST_ROWS],
        "keys": group_by(groups, "key", labels)[:MOST_ROWS],
        "waiting": reports.waiting(place.organization),
        "refusals": find_refusals(place, since, until, only),
    }


def by_day(groups: list[Group], period: Period, zone: ZoneInfo) -> list[Sums]:
    """Return a row for every day of the period, or every month of a long one, oldest first."""
    is_long = (period.after - period.first).days > 92
    written = "%b %Y" if is_long else "%-d %b"
    labels = dict.fromkeys(
        (period.first + timedelta(days=n)).strftime(written)
        for n in range((period.after - period.first).days)
    )
    found: dict[str, list[Group]] = {label: [] for label in labels}
    for group in groups:
        assert group.starts_at is not None
        found[group.starts_at.astimezone(zone).strftime(written)].append(group)
    return [add_up(label, each) for label, each in found.items()]


def draw_days(days: list[Sums]) -> Chart:
    return draw_bars([(day.label, day.cost_ticks) for day in days], write=usd)


def group_by(
    groups: list[Group], column: str, names: Mapping[int, str] | None = None
) -> list[Sums]:
    """Return a row for each value of a column, the dearest first; `names` are of numbers."""
    labels: dict[object, str] = dict((names or {}).items())
    found: dict[object, list[Group]] = {}
    for group in groups:
        found.setdefault(group.values[column], []).append(group)
    rows = [add_up(labels.get(value, str(value)), each) for value, each in found.items()]
    return sorted(rows, key=lambda row: (-row.cost_ticks, -row.calls, row.label))


def add_up(label: str, groups: list[Group]) -> Sums:
    return Sums(
        label=label,
        calls=sum(group.calls for group in groups),
        attempts=sum(group.attempts for group in groups),
        input_tokens=sum(group.usage.input_tokens for group in groups),
        output_tokens=sum(group.usage.output_tokens for group in groups),
        cost_ticks=sum(group.cost_ticks for group in groups),
    )


def find_refusals(
    place: Place, since: datetime, until: datetime, only: Mapping[str, list[int]]
) -> list[Refusal]:
    """Return why calls were refused in a period, the newest first."""
    found = Refusal.objects.filter(organization=place.organization.pk, at__gte=since, at__lt=until)
    for column in ("project", "key"):
        if column in only:
            found = found.filter(**{f"{column}__in": only[column]})
    if "member" in only:
        owned = ApiKey.objects.filter(organization=place.organization, owner__in=only["member"])
        found = found.filter(key__in=owned.values("pk"))
    return list(found.order_by("-at")[:SHOWN_REFUSALS])


def write_csv(organization: Organization, groups: list[Group]) -> str:
    projects = dict(Project.objects.filter(organization=organization).values_list("pk", "slug"))
    keys = dict(ApiKey.objects.filter(organization=organization).values_list("pk", "public_id"))
    buckets = Usage.__struct_fields__
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["day", "project", "key", "model", "calls", "attempts", *buckets, "cost_usd"])
    for group in groups:
        assert group.starts_at is not None
        writer.writerow(
            [
                group.starts_at.date().isoformat(),
                disarm(projects.get(int(group.values["project"] or 0), "")),
                keys.get(int(group.values["key"] or 0), ""),
                disarm(str(group.values["model"])),
                group.calls,
                group.attempts,
                *(getattr(group.usage, bucket) for bucket in buckets),
                format_usd(group.cost_ticks),
            ]
        )
    return out.getvalue()


def disarm(text: str) -> str:
    """Keep a spreadsheet from taking a name that somebody chose for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
