"""Figures as people read them, and charts that hold whatever there is."""

from __future__ import annotations

import pytest

from billing.pricing import format_usd
from console.chart import draw_bars, find_round
from console.templatetags.figures import count, percent, usd

DOLLAR = 10**10


@pytest.mark.parametrize(
    ("ticks", "told"),
    [
        (0, "$0.00"),
        (1, "$0.0000000001"),
        (67_500, "$0.00000675"),
        (456 * 10**6, "$0.0456"),
        (7_650_000, "$0.000765"),
        (DOLLAR // 2, "$0.50"),
        (DOLLAR, "$1.00"),
        (1_234_567 * DOLLAR + DOLLAR // 3, "$1,234,567.33"),
        (-5 * DOLLAR, "$-5.00"),
    ],
)
def test_money_is_told_to_the_cent_and_below_a_dollar_whole(ticks: int, told: str) -> None:
    assert usd(ticks) == told


def test_small_amounts_are_told_as_the_report_tells_them() -> None:
    """Two digits of each were shown, $0.00076, and did not add up to what the report said."""
    parts = [3_825_000, 3_825_000]
    assert [usd(each) for each in (*parts, sum(parts))] == [
        f"${format_usd(each)}" for each in (*parts, sum(parts))
    ]


def test_counts_and_shares_of_any_size() -> None:
    assert [count(each) for each in (0, 1234, 9_999_999, 12_345_678, 10**18)] == [
        *("0", "1,234", "9,999,999", "12.3 M", "1,000,000.0 T")
    ]
    assert [percent(0, 0), percent(1, 3), percent(10**18, 1), percent(5, None)] == [100, 33, 999, 0]


def test_a_chart_keeps_every_bar_inside() -> None:
    for amounts in ([], [0], [1], [0, 5, 2**62], [7] * 400):
        chart = draw_bars([(str(n), each) for n, each in enumerate(amounts)], write=str)
        assert len(chart.bars) == len(amounts)
        for bar, amount in zip(chart.bars, amounts, strict=True):
            assert 0 <= bar.y <= bar.y + bar.height <= chart.height
            assert chart.left <= bar.x <= bar.x + bar.width <= chart.width
            assert (bar.height > 0) == (amount > 0)


def test_lines_stand_at_round_amounts() -> None:
    assert [find_round(each) for each in (0, 1, 3, 5, 6, 21, 99, 100)] == [
        *(0, 1, 5, 5, 10, 50, 100, 100)
    ]
