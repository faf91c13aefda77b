"""Print who used what and what it cost, as a table, CSV or JSON."""

from __future__ import annotations

import csv
import json
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterable
from datetime import date, datetime
from typing import Any

import msgspec
from django.core.management.base import BaseCommand, CommandError

from accounts.models import Organization
from billing import reports
from billing.pricing import format_usd
from billing.reports import Line


class Command(BaseCommand):
    help = "Print calls, tokens and cost by day, model, key or project, from the rollups."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--organization", metavar="SLUG", help="default: every organization")
        parser.add_argument("--by", choices=list(reports.GROUPINGS), default="day")
        parser.add_argument(
            "--since",
            type=read_day,
            metavar="DATE",
            help="first day, in the time zone of the organization",
        )
        parser.add_argument("--until", type=read_day, metavar="DATE", help="first day left out")
        parser.add_argument("--format", choices=["table", "csv", "json"], default="table")

    def handle(self, **options: Any) -> None:
        found = [make_report(each, options) for each in _organizations(options["organization"])]
        write = {"table": self._write_tables, "csv": self._write_csv, "json": self._write_json}
        write[options["format"]](found)

    def _write_tables(self, found: list[Report]) -> None:
        for report in found:
            self.stdout.write(f"{report.organization}, times in {report.time_zone}")
            rows = [TABLE_HEAD, *map(_table_row, [*report.lines, report.total])]
            rows[0] = (report.by, *TABLE_HEAD[1:])
            self.stdout.writelines(_align(rows))
            self.stdout.write(_freshness(report.waiting))

    def _write_csv(self, found: list[Report]) -> None:
        writer = csv.writer(self.stdout, lineterminator="\n")
        names = list(_values(found[0].total)) if found else []
        writer.writerow(["organization", found[0].by if found else "label", *names])
        for report in found:
            for line in report.lines:
                writer.writerow([report.organization, _cell(line.label), *_values(line).values()])
        self.stderr.write(_freshness(sum(report.waiting for report in found)))

    def _write_json(self, found: list[Report]) -> None:
        self.stdout.write(json.dumps([_as_json(report) for report in found], indent=2))


def read_day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a day such as 2026-01-31") from None


class Report(msgspec.Struct, frozen=True):
    """Everything that is printed of one organization."""

    organization: str
    time_zone: str
    by: str
    since: datetime | None
    until: datetime | None
    waiting: int
    lines: list[Line]
    total: Line


def make_report(organization: Organization, options: dict[str, Any]) -> Report:
    # What waits is counted first, so that nothing read later is said to be older than it is.
    waiting = reports.waiting(organization)
    times = {
        name: options[name] and reports.start_of_day(organization, options[name])
        for name in ("since", "until")
    }
    return Report(
        organization=organization.slug,
        time_zone=organization.time_zone,
        by=options["by"],
        waiting=waiting,
        lines=reports.GROUPINGS[options["by"]](organization, **times),
        total=reports.total(organization, **times),
        **times,
    )


def _organizations(slug: str | None) -> Iterable[Organization]:
    if slug is None:
        return Organization.objects.all()
    organization = Organization.objects.filter(slug=slug).first()
    if organization is None:
        raise CommandError(f"--organization: there is no organization {slug!r}.")
    return [organization]


TABLE_HEAD = ("", "calls", "attempts", "input", "cached", "output", "reasoning", "cost USD")


def _table_row(line: Line) -> tuple[str, ...]:
    usage = line.usage
    counts = (
        line.calls,
        line.attempts,
        usage.input_tokens,
        usage.cache_read,
        usage.output_tokens,
        usage.reasoning,
    )
    return (line.label, *map(str, counts), format_usd(line.cost_ticks))


def _align(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            [row[0].ljust(widths[0])]
            + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        )
        + "\n"
        for row in rows
    ]


def _values(line: Line) -> dict[str, int | str]:
    """Return the figures of a line by name: every bucket, their sums, and the cost exactly."""
    usage = line.usage
    return {
        "calls": line.calls,
        "attempts": line.attempts,
        **msgspec.structs.asdict(usage),
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "cost_ticks": line.cost_ticks,
        "cost_usd": format_usd(line.cost_ticks),
    }


def _as_json(report: Report) -> dict[str, object]:
    return {
        "organization": report.organization,
        "time_zone": report.time_zone,
        "by": report.by,
        "since": report.since and report.since.isoformat(),
        "until": report.until and report.until.isoformat(),
        "waiting_deltas": report.waiting,
        "lines": [{report.by: line.label, **_values(line)} for line in report.lines],
        "total": _values(report.total),
    }


def _cell(label: str) -> str:
    """Keep a spreadsheet from taking somebody's key name for a formula."""
    return f"'{label}" if label.startswith(("=", "+", "-", "@", "\t", "\r")) else label


def _freshness(waiting: int) -> str:
    if not waiting:
        return "Everything settled is counted."
    return f"Deltas not folded yet: {waiting}. The newest use is still missing."
