"""/v1/organization/usage/completions and /costs: buckets of time, read from reports.

Buckets begin at whole minutes, hours and days of UTC. One that the asked time touches is whole.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.utils import timezone

from accounts.access import Right
from accounts.models import ApiKey, Project
from billing import minutes, reports
from billing.pricing import TICKS_PER_USD
from billing.reports import Group
from gateway.endpoints.organization.asking import Asked
from gateway.errors import BadRequest

# Seconds, and how many buckets a page has: by default, and at most.
WIDTHS = {"1m": (60, 60, 1_440), "1h": (3_600, 24, 168), "1d": (86_400, 7, 31)}
COST_BUCKETS = (7, 180)

# What OpenAI calls a column of ours. Batches and service tiers are not told apart here.
COLUMNS = {"project_id": "project", "user_id": "member", "api_key_id": "key", "model": "model"}
CONSTANT = {"batch": False, "service_tier": "default"}
FILTERS = {"project_ids": "project", "user_ids": "member", "api_key_ids": "key", "models": "model"}
PARAMETERS = ("start_time", "end_time", "bucket_width", "group_by", "limit", "page")


def show_completions(asked: Asked) -> dict[str, Any]:
    """Return tokens and requests by bucket."""
    asked.require(Right.SEE_ALL_USAGE, Right.SEE_OWN_USAGE)
    asked.know(*PARAMETERS, *FILTERS, "batch")
    width = asked.choice("bucket_width", WIDTHS, "1d")
    seconds, default, most = WIDTHS[width]
    span = read_span(asked, seconds=seconds, default=default, most=most)
    by = asked.choices("group_by", (*COLUMNS, *CONSTANT))
    groups = [] if asked.flag("batch") else read_groups(asked, span, by)
    names = Names(asked, groups)
    return show_page(span, groups, lambda group: show_tokens(group, by, names))


def show_costs(asked: Asked) -> dict[str, Any]:
    """Return costs by day. A line item is a model: what its calls cost altogether."""
    asked.require(Right.SEE_ALL_USAGE, Right.SEE_OWN_USAGE)
    asked.know(*PARAMETERS, *FILTERS, "line_items")
    asked.choice("bucket_width", ("1d",), "1d")
    default, most = COST_BUCKETS
    span = read_span(asked, seconds=86_400, default=default, most=most)
    by = asked.choices("group_by", ("project_id", "user_id", "api_key_id", "line_item"))
    columns = ["model" if name == "line_item" else name for name in by]
    groups = read_groups(asked, span, columns, models=asked.values("line_items"))
    names = Names(asked, groups)
    return show_page(span, groups, lambda group: show_cost(group, by, names))


@dataclass(frozen=True)
class Span:
    """The buckets of a page: from `first` on, `seconds` each, before `last`; and what follows."""

    first: int
    last: int
    end: int
    seconds: int

    def bounds(self) -> tuple[datetime, datetime]:
        return datetime.fromtimestamp(self.first, UTC), datetime.fromtimestamp(self.last, UTC)


def read_span(asked: Asked, *, seconds: int, default: int, most: int) -> Span:
    start = asked.moment("start_time")
    if start is None:
        raise BadRequest("'start_time' is missing: a time in Unix seconds.", "start_time")
    limit = asked.number("limit", least=1, most=most, default=default)
    until = asked.moment("end_time") or max(timezone.now(), start + timedelta(seconds=1))
    if until <= start:
        raise BadRequest("'end_time' must be after 'start_time'.", "end_time")
    first = int(start.timestamp()) // seconds * seconds
    end = -(-int(until.timestamp()) // seconds) * seconds
    page = asked.text("page")
    if page is not None:
        first = read_page(page, first=first, end=end, seconds=seconds)
    assert limit is not None
    return Span(first, min(first + limit * seconds, end), end, seconds)


def read_page(page: str, *, first: int, end: int, seconds: int) -> int:
    """Return where a page begins that show_page() gave."""
    try:
        begins = int(base64.b32decode(page.removeprefix("page_").upper(), casefold=True))
    except (binascii.Error, ValueError):
        begins = -1
    if not first <= begins < end or begins % seconds:
        raise BadRequest("'page' is not one that this query gave.", "page")
    return begins


def read_groups(
    asked: Asked, span: Span, by: Sequence[str], *, models: Sequence[str] | None = None
) -> list[Group]:
    since, until = span.bounds()
    only = read_only(asked)
    if models is not None:
        only["model"] = set(models) & only.get("model", set(models))
    question: dict[str, Any] = {
        "since": since,
        "until": until,
        "by": [COLUMNS[name] for name in by if name in COLUMNS],
        "only": only,
    }
    if span.seconds == 60:
        return minutes.grouped(asked.organization, **question)
    step = {3_600: "hour", 86_400: "day"}[span.seconds]
    return reports.grouped(asked.organization, **question, step=step)


def read_only(asked: Asked) -> dict[str, set[Any]]:
    """Return the columns that are asked for, as numbers; a name that nothing has finds nothing."""
    only: dict[str, set[Any]] = {}
    for name, column in FILTERS.items():
        values = asked.values(name)
        if values is not None:
            only[column] = {value for value in values if "\0" not in value}
    ours = {"organization": asked.organization}
    if "project" in only:
        projects = Project.objects.filter(**ours, slug__in=only["project"])
        only["project"] = set(projects.values_list("pk", flat=True))
    if "key" in only:
        keys = ApiKey.objects.filter(**ours, public_id__in=only["key"])
        only["key"] = set(keys.values_list("pk", flat=True))
    if "member" in only:
        only["member"] = {int(each) for each in only["member"] if _is_number(each)}
    if not asked.may(Right.SEE_ALL_USAGE):
        mine = {asked.standing.membership or 0}
        only["member"] = only.get("member", mine) & mine
    return only


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 18


class Names:
    """What the numbers in groups are called outside."""

    def __init__(self, asked: Asked, groups: Iterable[Group]) -> None:
        ours = {"organization": asked.organization}
        keys = {key for group in groups if isinstance(key := group.values.get("key"), int)}
        found = ApiKey.objects.filter(**ours, pk__in=keys)
        self._names: dict[str, dict[Any, str]] = {
            "key": dict(found.values_list("pk", "public_id")),
            "project": dict(Project.objects.filter(**ours).values_list("pk", "slug")),
        }

    def of(self, group: Group, name: str, by: Sequence[str]) -> Any:
        """Return what OpenAI calls `name`: null where it is not grouped by."""
        if name not in by:
            return None
        if name in CONSTANT:
            return CONSTANT[name]
        column = COLUMNS[name]
        value = group.values[column]
        if value is None:
            return None
        return self._names.get(column, {}).get(value, str(value))


def show_page(
    span: Span, groups: Iterable[Group], show: Callable[[Group], dict[str, Any]]
) -> dict[str, Any]:
    """Return every bucket of the page, those without use as well, and where the next one begins."""
    by_start: dict[int, list[dict[str, Any]]] = {}
    for group in groups:
        assert group.starts_at is not None
        by_start.setdefault(int(group.starts_at.timestamp()), []).append(show(group))
    more = span.last < span.end
    token = base64.b32encode(str(span.last).encode()).decode().rstrip("=").lower()
    return {
        "object": "page",
        "data": [
            {
                "object": "bucket",
                "start_time": start,
                "end_time": start + span.seconds,
                "results": by_start.get(start, []),
            }
            for start in range(span.first, span.last, span.seconds)
        ],
        "has_more": more,
        "next_page": f"page_{token}" if more else None,
    }


def show_tokens(group: Group, by: Sequence[str], names: Names) -> dict[str, Any]:
    usage = group.usage
    return {
        "object": "organization.usage.completions.result",
        "input_tokens": usage.input_tokens,
        "input_cached_tokens": usage.cache_read,
        "input_cache_write_tokens": usage.cache_write_5m + usage.cache_write_1h,
        "input_uncached_tokens": usage.uncached_input + usage.audio_input + usage.image_input,
        "output_tokens": usage.output_tokens,
        "input_text_tokens": usage.uncached_input,
        "output_text_tokens": usage.output + usage.reasoning,
        "input_cached_text_tokens": usage.cache_read,
        "input_audio_tokens": usage.audio_input,
        "input_cached_audio_tokens": 0,
        "output_audio_tokens": usage.audio_output,
        "input_image_tokens": usage.image_input,
        "input_cached_image_tokens": 0,
        "output_image_tokens": 0,
        "num_model_requests": group.calls,
        **{name: names.of(group, name, by) for name in (*COLUMNS, *CONSTANT)},
    }


def show_cost(group: Group, by: Sequence[str], names: Names) -> dict[str, Any]:
    return {
        "object": "organization.costs.result",
        # A number in JSON, written out in full from the ticks: no float on its way.
        "amount": {"value": Decimal(group.cost_ticks) / TICKS_PER_USD, "currency": "usd"},
        "line_item": group.values["model"] if "line_item" in by else None,
        **{name: names.of(group, name, by) for name in ("project_id", "user_id", "api_key_id")},
        "quantity": None,
        "quantity_unit": None,
    }
