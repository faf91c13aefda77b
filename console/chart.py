"""Bar charts as geometry, for console/parts/chart.html to draw as SVG. Pure.

Every bar has its value in words; the page has the table beside the picture.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

WIDTH, HEIGHT = 720, 200
LEFT, BOTTOM, TOP = 96, 28, 14
LABELS = 8


class Bar(NamedTuple):
    x: float
    y: float
    width: float
    height: float
    told: str
    label: str  # Empty where there is no room for it.
    middle: float
    is_spare: bool  # Its label is left out on a phone.


class Line(NamedTuple):
    """A line across, at a round value."""

    y: float
    told: str


class Chart(NamedTuple):
    bars: list[Bar]
    lines: list[Line]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT


def draw_bars(
    points: Sequence[tuple[str, int]], *, write: Callable[[int], str], most_labels: int = LABELS
) -> Chart:
    """Return a bar for each point, a label and an amount of at least 0."""
    top = find_round(max((amount for _, amount in points), default=0))
    inner_width, inner_height = WIDTH - LEFT, HEIGHT - BOTTOM - TOP
    step = inner_width / max(len(points), 1)
    every = -(-len(points) // most_labels) or 1
    bars = []
    for number, (label, amount) in enumerate(points):
        height = inner_height * amount / top if top else 0.0
        height = max(height, 1.5) if amount else 0.0  # What was used is never invisible.
        x = LEFT + number * step
        bars.append(
            Bar(
                x=round(x + step * 0.12, 2),
                y=round(TOP + inner_height - height, 2),
                width=round(step * 0.76, 2),
                height=round(height, 2),
                told=f"{label}: {write(amount)}",
                label=label if number % every == 0 else "",
                middle=round(x + step / 2, 2),
                is_spare=bool(number // every % 3),
            )
        )
    amounts = sorted({0, top // 2, top})
    lines = [
        Line(round(TOP + inner_height * (1 - (each / top if top else 0)), 2), write(each))
        for each in amounts
    ]
    return Chart(bars, lines)


def find_round(most: int) -> int:
    """Return the first of 1, 2, 5, 10, 20, ... that is not less than `most`; 0 for nothing."""
    if most <= 0:
        return 0
    size = int("1".ljust(len(str(most)), "0"))
    return next(factor * size for factor in (1, 2, 5, 10) if factor * size >= most)
