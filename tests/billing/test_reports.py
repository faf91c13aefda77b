"""Reports: exact, by local day, model, key and project, and walled by organization."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from accounts.models import ApiKey, Organization, Project
from billing import reports
from billing.rollups import fold_usage
from tests.billing.facts import NOON, make_event, store

pytestmark = pytest.mark.django_db


@pytest.fixture
def key(project: Project) -> ApiKey:
    return ApiKey.objects.create(
        public_id="aaaaaaaaaaaa", organization=project.organization, project=project, name="ci"
    )


def use(key: ApiKey, at: datetime = NOON, **changes: Any) -> None:
    store(
        [
            make_event(
                at,
                organization=key.organization_id,
                project=key.project_id,
                key=key.pk,
                **changes,
            )
        ]
    )
    fold_usage(connection)


def report(*arguments: str) -> str:
    out = io.StringIO()
    call_command("usage_report", *arguments, stdout=out, stderr=io.StringIO())
    return out.getvalue()


def test_days_begin_at_the_organizations_midnight(acme: Organization, key: ApiKey) -> None:
    for hour, minute in ((22, 59), (23, 0)):  # Berlin is an hour ahead of UTC in March.
        use(key, datetime(2026, 3, 10, hour, minute, tzinfo=UTC))
    assert [line.label for line in reports.by_day(acme)] == ["2026-03-10", "2026-03-11"]
    assert reports.start_of_day(acme, date(2026, 3, 11)) == datetime(2026, 3, 10, 23, tzinfo=UTC)


def test_since_and_until_keep_to_their_days(acme: Organization, key: ApiKey) -> None:
    for day in range(3):
        use(key, NOON + timedelta(days=day))
    since, until = (reports.start_of_day(acme, date(2026, 3, day)) for day in (11, 12))
    assert [line.label for line in reports.by_day(acme, since=since, until=until)] == ["2026-03-11"]
    assert reports.total(acme, since=since, until=until).calls == 1


def test_models_come_dearest_first_with_exact_sums(acme: Organization, key: ApiKey) -> None:
    use(key, model="cheap", cost_ticks=1)
    use(key, model="dear", cost_ticks=2**50, reasoning=7, cache_read=3)
    use(key, model="dear", cost_ticks=1)
    dear, cheap = reports.by_model(acme)
    assert (dear.label, dear.cost_ticks, dear.calls) == ("dear", 2**50 + 1, 2)
    assert (dear.usage.input_tokens, dear.usage.output_tokens) == (203, 27)
    assert cheap.cost_ticks == 1


def test_keys_and_projects_go_by_their_names(acme: Organization, key: ApiKey) -> None:
    use(key)
    assert [line.label for line in reports.by_key(acme)] == ["ci (aaaaaaaaaaaa)"]
    assert [line.label for line in reports.by_project(acme)] == ["default"]


def test_charlies_organization_sees_nothing_of_it(acme: Organization, key: ApiKey) -> None:
    use(key)
    store([make_event(organization=key.organization_id)])
    other = Organization.objects.create(slug="other", name="Other")
    for lines in reports.GROUPINGS.values():
        assert lines(other) == []
    assert reports.total(other).calls == 0
    assert (reports.waiting(other), reports.waiting(acme)) == (0, 1)


def test_the_table_shows_counts_and_cost_exactly(acme: Organization, key: ApiKey) -> None:
    use(key, cost_ticks=12_345)
    table = [line.split() for line in report("--organization", "acme").splitlines()]
    assert table[2] == ["2026-03-10", "1", "1", "100", "0", "10", "0", "0.0000012345"]
    assert table[3] == ["total", "1", "1", "100", "0", "10", "0", "0.0000012345"]
    assert report("--organization", "acme").endswith("Everything settled is counted.\n")


def test_a_report_says_when_the_newest_use_is_missing(acme: Organization, key: ApiKey) -> None:
    store([make_event(organization=acme.pk)])
    assert "Deltas not folded yet: 1." in report()


def test_json_holds_every_bucket_and_money_as_text(acme: Organization, key: ApiKey) -> None:
    use(key, cost_ticks=3 * 10**10, cache_write_1h=4)
    [found] = json.loads(report("--format", "json", "--by", "key", "--since", "2026-03-10"))
    assert found["since"] == "2026-03-09T23:00:00+00:00"
    [line] = found["lines"]
    assert (line["key"], line["cost_usd"], line["cost_ticks"]) == (
        "ci (aaaaaaaaaaaa)",
        "3.00",
        3 * 10**10,
    )
    assert (line["cache_write_1h"], line["input_tokens"], line["total_tokens"]) == (4, 104, 114)
    assert found["total"]["calls"] == 1


def test_csv_has_a_row_a_line_and_no_formulas(acme: Organization, key: ApiKey) -> None:
    use(key)
    ApiKey.objects.update(name='=HYPERLINK("x")')
    [row] = csv.DictReader(io.StringIO(report("--format", "csv", "--by", "key")))
    assert row["key"].startswith("'=HYPERLINK")
    assert (row["organization"], row["calls"], row["cost_usd"]) == ("acme", "1", "0.00000015")


def test_an_unknown_organization_is_one_sentence() -> None:
    with pytest.raises(CommandError, match="there is no organization 'nobody'"):
        report("--organization", "nobody")


def test_a_day_that_is_none_is_one_sentence() -> None:
    with pytest.raises(CommandError, match="--since: 'yesterday' is not a day such as 2026-01-31"):
        report("--since", "yesterday")
