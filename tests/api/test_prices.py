"""/prices: versions that begin and never change, written in USD per million tokens."""

from typing import Any

import pytest

from billing.models import Price
from tests.api.asking import Api

pytestmark = pytest.mark.django_db

FIELDS: dict[str, Any] = {
    "model": "gpt-4o",
    "input": "2.50",
    "output": "10.00",
    "cache_read": "1.25",
    "effective_from": "2026-01-01T00:00:00Z",
    "above": [{"input_tokens": 200_000, "input": "5.00"}],
}


def test_a_price_is_kept_exactly_and_shown_as_it_was_written(operators: Api) -> None:
    made = operators.post("prices", FIELDS)
    assert made.status == 201
    assert {name: made.body[name] for name in FIELDS} == FIELDS
    assert (made.body["provider"], made.body["reasoning"]) == ("", None)
    row = Price.objects.get()
    assert (row.input, row.output, row.cache_read) == (25_000, 100_000, 12_500)
    assert row.tiers == [{"input_tokens": 200_000, "input": 50_000}]
    assert operators.get(f"prices/{row.pk}").body == made.body


def test_the_same_price_again_adds_none(operators: Api) -> None:
    first = operators.post("prices", FIELDS)
    again = operators.post("prices", FIELDS)
    assert (again.status, again.body) == (200, first.body)
    assert Price.objects.count() == 1


def test_a_price_never_changes_a_new_one_begins(operators: Api) -> None:
    operators.post("prices", FIELDS)
    other = operators.post("prices", {**FIELDS, "input": "3.00"})
    assert (other.status, other.error["field"]) == (400, "effective_from")
    later = {**FIELDS, "input": "3.00", "effective_from": "2027-01-01T00:00:00Z"}
    assert operators.post("prices", later).status == 201
    number = Price.objects.earliest("pk").pk
    for method in ("PATCH", "PUT", "DELETE"):
        assert operators.ask(method, f"prices/{number}", {"input": "0"}).status == 405


def test_a_price_begins_now_unless_it_says_when(operators: Api) -> None:
    made = operators.post("prices", {"model": "m", "input": "1", "output": "1"})
    row = Price.objects.get(pk=made.body["id"])
    assert abs((row.effective_from - row.made_at).total_seconds()) < 60


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"input": 2.5}, "input"),
        ({"input": "-1"}, "input"),
        ({"input": "0.00001"}, "input"),
        ({"input": "9" * 18}, "input"),
        ({"output": "free"}, "output"),
        ({"output": None}, "output"),
        ({"above": [{"input": "1"}]}, "above.0.input_tokens"),
        ({"above": [{"input_tokens": 5}]}, "above[0]"),
        ({"above": [{"input_tokens": 5, "input": "x"}]}, "above[0].input"),
        ({"above": [{"input_tokens": 5, "colour": "x"}]}, "above.0.colour"),
        ({"effective_from": "yesterday"}, "effective_from"),
        ({"model": ""}, "model"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_is_no_price_is_refused_by_its_field(
    operators: Api, fields: dict[str, Any], field: str
) -> None:
    answer = operators.post("prices", {**FIELDS, **fields})
    assert (answer.status, answer.error["field"]) == (400, field)
    assert not Price.objects.exists()


def test_the_list_can_be_filtered(operators: Api) -> None:
    operators.post("prices", FIELDS)
    operators.post("prices", {**FIELDS, "provider": "openai"})
    later = {**FIELDS, "model": "grok-4", "effective_from": "2027-01-01T00:00:00Z"}
    operators.post("prices", later)

    def found(**query: str) -> list[tuple[str, str]]:
        return [(each["model"], each["provider"]) for each in operators.list_all("prices", **query)]

    assert found() == [("grok-4", ""), ("gpt-4o", "openai"), ("gpt-4o", "")]
    assert found(model="gpt-4o", provider="") == [("gpt-4o", "")]
    assert found(provider="openai") == [("gpt-4o", "openai")]
    assert found(since="2026-06-01T00:00:00Z") == [("grok-4", "")]
    assert len(found(until="2026-06-01T00:00:00Z")) == 2


def test_only_operators_see_prices(operators: Api, alices: Api, charlies: Api) -> None:
    number = operators.post("prices", FIELDS).body["id"]
    for api in (alices, charlies):
        assert api.get("prices").status == 403
        assert api.get(f"prices/{number}").status == 403
        assert api.post("prices", FIELDS).status == 403
