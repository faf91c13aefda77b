"""Prices are exact, and no usage within a bound costs more than the bound."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.errors import InvalidField
from billing import pricing
from billing.pricing import (
    MAX_COST_TICKS,
    Price,
    affordable_output_tokens,
    bound_ticks,
    cost_ticks,
    format_price,
    format_usd,
    make_price,
    parse_price,
    parse_prices,
    parse_usd,
)
from billing.usage import Usage


def price_of(ticks: Mapping[str, int | None], tiers: Iterable[Mapping[str, int]] = ()) -> Price:
    return make_price(
        id=1, model="m", provider="", effective_from=0.0, ticks=ticks, tiers=list(tiers)
    )


@pytest.mark.parametrize(
    ("text", "ticks"),
    [("2.50", 25_000), ("0", 0), ("0.0001", 1), (3, 30_000), (Decimal("1.25"), 12_500)],
)
def test_usd_per_million_become_exact_ticks_per_token(text: object, ticks: int) -> None:
    assert parse_price(text, field="input") == ticks


@pytest.mark.parametrize(
    "text",
    [
        *("0.00001", "-1", "1e3", "1_000", "", " ", "NaN", "Infinity", "2,50", "$2", "1000001"),
        *("٣", None, True, [], {}, Decimal("NaN"), "1." + "0" * 40),
    ],
)
def test_what_is_no_exact_price_is_refused_by_name(text: object) -> None:
    with pytest.raises(InvalidField, match=r"^cache_read: "):
        parse_price(text, field="cache_read")


def test_a_float_is_refused_because_it_was_rounded_already() -> None:
    with pytest.raises(InvalidField, match=r'^limit: write the amount in quotes, as "0\.1"'):
        parse_usd(0.1, field="limit")


def test_a_price_of_a_declaration_is_read_with_its_tiers_in_order() -> None:
    figures = parse_prices(
        {
            "input": "3",
            "output": "15",
            "above": [{"input_tokens": 500, "input": "9"}, {"input_tokens": 200, "output": "1"}],
        }
    )
    assert figures.ticks == {"input": 30_000, "output": 150_000}
    assert [tier["input_tokens"] for tier in figures.tiers] == [200, 500]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"input": "1"}, "output"),
        ({"input": "1", "output": "1", "inputs": "1"}, "inputs"),
        ({"input": "1", "output": "1", "above": {}, "reasoning": "x"}, "reasoning"),
        ({"input": "1", "output": "1", "above": [{"input": "1"}]}, "above[0].input_tokens"),
        ({"input": "1", "output": "1", "above": [{"input_tokens": 5}]}, "above[0]"),
        ({"input": "1", "output": "1", "above": [{"input_tokens": 5, "x": 1}]}, "above[0].x"),
        ({"input": "1", "output": "1", "above": [{"input_tokens": 5, "input": "1"}] * 2}, "above"),
    ],
)
def test_a_bad_declaration_of_a_price_names_the_field(
    fields: dict[str, object], field: str
) -> None:
    with pytest.raises(InvalidField) as refused:
        parse_prices(fields)
    assert refused.value.field == field


def test_buckets_without_a_price_cost_as_input_or_output() -> None:
    price = price_of({"input": 3, "output": 7, "cache_read": None, "reasoning": 11})
    usage = Usage(uncached_input=1, cache_read=10, image_input=100, reasoning=1, audio_output=1)
    assert cost_ticks(price, usage) == 111 * 3 + 11 + 7


def test_the_tier_of_all_input_tokens_together_prices_all_tokens() -> None:
    price = price_of(
        {"input": 3, "output": 15, "cache_read": 1},
        [{"input_tokens": 200, "input": 6, "output": 22}],
    )
    assert cost_ticks(price, Usage(uncached_input=199, output=2)) == 199 * 3 + 2 * 15
    usage = Usage(uncached_input=100, cache_read=90, audio_input=10, output=2)
    assert cost_ticks(price, usage) == 110 * 6 + 90 * 1 + 2 * 22


def test_a_higher_tier_keeps_what_the_tier_below_it_changed() -> None:
    tiers = [{"input_tokens": 20, "input": 5}, {"input_tokens": 10, "output": 9}]
    price = price_of({"input": 1, "output": 2}, tiers)
    assert cost_ticks(price, Usage(uncached_input=20, output=1)) == 20 * 5 + 9


def test_costs_and_bounds_stop_at_the_largest_amount() -> None:
    price = price_of({"input": 10**10, "output": 10**10})
    assert cost_ticks(price, Usage(uncached_input=2**63)) == MAX_COST_TICKS
    assert bound_ticks(price, input_tokens=2**63, output_tokens=0) == MAX_COST_TICKS


ticks = st.integers(min_value=0, max_value=10**6)
tokens = st.integers(min_value=0, max_value=3_000)
prices = st.builds(
    lambda required, optional, tiers: price_of({**optional, **required}, tiers),
    st.fixed_dictionaries({"input": ticks, "output": ticks}),
    st.dictionaries(st.sampled_from(pricing.PRICES), ticks | st.none()),
    st.lists(
        st.builds(
            lambda start, named: {"input_tokens": start, **named},
            st.integers(min_value=1, max_value=10_000),
            st.dictionaries(st.sampled_from(pricing.PRICES), ticks, min_size=1),
        ),
        max_size=3,
        unique_by=lambda tier: tier["input_tokens"],
    ),
)
usages = st.builds(
    Usage, **dict.fromkeys((*pricing.INPUT_BUCKETS, *pricing.OUTPUT_BUCKETS), tokens)
)


@given(prices, usages, tokens, tokens)
def test_no_usage_within_a_bound_costs_more_than_the_bound(
    price: Price, usage: Usage, more_in: int, more_out: int
) -> None:
    bound = bound_ticks(
        price,
        input_tokens=usage.input_tokens + more_in,
        output_tokens=usage.output_tokens + more_out,
    )
    assert cost_ticks(price, usage) <= bound


@given(prices, tokens, st.integers(min_value=0, max_value=10**9))
def test_the_affordable_output_is_the_largest_whose_bound_fits(
    price: Price, input_tokens: int, ticks: int
) -> None:
    most = affordable_output_tokens(price, input_tokens=input_tokens, ticks=ticks)
    if most is None:
        assert bound_ticks(price, input_tokens=input_tokens, output_tokens=0) > ticks
        return
    assert bound_ticks(price, input_tokens=input_tokens, output_tokens=most) <= ticks
    if most < 2**40:
        assert bound_ticks(price, input_tokens=input_tokens, output_tokens=most + 1) > ticks


@given(st.integers(min_value=-(2**63), max_value=2**63 - 1))
def test_amounts_are_written_exactly(amount: int) -> None:
    assert int(Decimal(format_usd(amount)).scaleb(10)) == amount
    assert int(Decimal(format_price(amount)).scaleb(4)) == amount


def test_amounts_are_written_as_people_write_them() -> None:
    assert [format_usd(10**10), format_usd(-125), format_usd(0)] == [
        "1.00",
        "-0.0000000125",
        "0.00",
    ]
    assert [format_price(25_000), format_price(1)] == ["2.50", "0.0001"]
