"""Who used what and what it cost, from rollups alone. Nothing here writes, or reads a fact.

Every function takes the organization and sees nothing beyond it, but for by_organization(), which
is for operators. Times are [since, until) and count by whole quarters of an hour; days are those
of the organization's time zone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, date, datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from django.db.models import QuerySet, Sum
from django.db.models.functions import Trunc, TruncDate

from accounts.models import ApiKey, Organization, Project
from billing.models import Rollup, RollupDelta
from billing.rollups import FIGURES
from billing.usage import Usage


class Line(msgspec.Struct, frozen=True):
    """What was used under one label: a day, a model, a key or a project."""

    label: str
    calls: int
    attempts: int
    usage: Usage
    cost_ticks: int


class Group(msgspec.Struct, frozen=True):
    """What was used by one combination of `values`, from `starts_at` on where there are steps."""

    starts_at: datetime | None
    values: dict[str, str | int | None]
    calls: int
    attempts: int
    usage: Usage
    cost_ticks: int


def by_day(
    organization: Organization, *, since: datetime | None = None, until: datetime | None = None
) -> list[Line]:
    """Return a line for each local day with any use, oldest first; labels are ISO dates."""
    day = TruncDate("quarter", tzinfo=ZoneInfo(organization.time_zone))
    rows = _rollups(organization, since, until).annotate(day=day)
    return sorted(_lines(rows, "day", str), key=lambda line: line.label)


def by_model(
    organization: Organization, *, since: datetime | None = None, until: datetime | None = None
) -> list[Line]:
    """Return a line for each model, the dearest first."""
    return _dearest_first(_lines(_rollups(organization, since, until), "model", str))


def by_key(
    organization: Organization, *, since: datetime | None = None, until: datetime | None = None
) -> list[Line]:
    """Return a line for each key, the dearest first, labelled `name (public id)`."""
    labels = {key.pk: str(key) for key in ApiKey.objects.filter(organization=organization)}
    rows = _rollups(organization, since, until)
    return _dearest_first(_lines(rows, "key", lambda key: labels.get(key, f"key {key}")))


def by_project(
    organization: Organization, *, since: datetime | None = None, until: datetime | None = None
) -> list[Line]:
    """Return a line for each project, the dearest first, labelled by its slug."""
    projects = Project.objects.filter(organization=organization)
    labels = dict(projects.values_list("pk", "slug"))
    rows = _rollups(organization, since, until)
    return _dearest_first(_lines(rows, "project", lambda pk: labels.get(pk, f"project {pk}")))


def total(
    organization: Organization, *, since: datetime | None = None, until: datetime | None = None
) -> Line:
    """Return one line of everything."""
    sums = _rollups(organization, since, until).aggregate(**_SUMS)
    return _line("total", sums)


def by_organization(*, since: datetime, most: int) -> dict[int, Line]:
    """Return a line for each organization with any use, by its number, the dearest ones first."""
    rows = Rollup.objects.filter(quarter__gte=since).values("organization").annotate(**_SUMS)
    dearest = rows.order_by("-cost_ticks", "organization")[:most]
    return {row["organization"]: _line("", row) for row in dearest}


def grouped(
    organization: Organization,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    by: Sequence[str] = (),
    step: str | None = None,
    zone: tzinfo = UTC,
    only: Mapping[str, Collection[object]] | None = None,
) -> list[Group]:
    """Return a group for each combination of the columns `by` that was used, oldest first.

    Columns are those of DIMENSIONS. With `step` (`hour` or `day`, as the zone has them) each group
    is of one of those; `only` keeps the rows whose columns have one of the values.
    """
    rows = _rollups(organization, since, until)
    for column, wanted in (only or {}).items():
        rows = rows.filter(**{f"{column}__in": list(wanted)})
    columns = list(by)
    if step is not None:
        rows = rows.annotate(starts_at=Trunc("quarter", step, tzinfo=zone))
        columns = ["starts_at", *columns]
    if not columns:
        sums = rows.aggregate(**_SUMS)
        return [_group(sums, by)] if sums["attempts"] is not None else []
    return [_group(row, by) for row in rows.values(*columns).annotate(**_SUMS).order_by(*columns)]


def waiting(organization: Organization) -> int:
    """Return how many deltas are not folded yet: while there are any, reports lag behind."""
    return RollupDelta.objects.filter(organization=organization.pk).count()


def start_of_day(organization: Organization, day: date) -> datetime:
    """Return the instant, in UTC, at which a day begins for the organization."""
    zone = ZoneInfo(organization.time_zone)
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


# What a report can be by.
GROUPINGS: dict[str, Callable[..., list[Line]]] = {
    "day": by_day,
    "model": by_model,
    "key": by_key,
    "project": by_project,
}

# What groups can be of, and `only` can name.
DIMENSIONS = ("project", "member", "key", "model", "provider", "outcome")

_SUMS = {figure: Sum(figure) for figure in FIGURES}


def _rollups(
    organization: Organization, since: datetime | None, until: datetime | None
) -> QuerySet[Rollup]:
    """Return the organization's rollups: the wall that every report stands behind."""
    rollups = Rollup.objects.filter(organization=organization.pk)
    if since is not None:
        rollups = rollups.filter(quarter__gte=since)
    if until is not None:
        rollups = rollups.filter(quarter__lt=until)
    return rollups


def _lines(rollups: QuerySet[Rollup], column: str, label: Callable[..., str]) -> list[Line]:
    rows = rollups.values(column).annotate(**_SUMS)
    return [_line(label(row[column]), row) for row in rows]


def _line(label: str, sums: Mapping[str, Any]) -> Line:
    figures = {figure: int(sums[figure] or 0) for figure in FIGURES}
    usage = Usage(**{bucket: figures[bucket] for bucket in Usage.__struct_fields__})
    return Line(label, figures["calls"], figures["attempts"], usage, figures["cost_ticks"])


def _group(row: Mapping[str, Any], by: Sequence[str]) -> Group:
    line = _line("", row)
    values = {column: row[column] for column in by}
    return Group(
        row.get("starts_at"), values, line.calls, line.attempts, line.usage, line.cost_ticks
    )


def _dearest_first(lines: list[Line]) -> list[Line]:
    return sorted(lines, key=lambda line: (-line.cost_ticks, line.label))
