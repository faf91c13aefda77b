"""The model of draws over many random rounds: no limit is ever exceeded, whoever waits for what."""

from __future__ import annotations

import random

import pytest

from billing.ledger.core import Want, WindowState, decide_draws

ROUNDS = 100_000


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_draw_of_many_exceeds_a_limit(seed: int) -> None:
    chance = random.Random(seed)
    windows = [WindowState(limit=10**6) for _ in range(3)]
    for _ in range(ROUNDS):
        needs = [chance.randint(0, 500) for _ in windows]
        waiters = [[Want(p, need, need * 64) for p, need in enumerate(needs)]]
        draws = decide_draws(windows, [0, 0, 0], waiters, processes=chance.randint(1, 8))
        for window, granted in zip(windows, draws.granted, strict=True):
            window.drawn += granted
            assert window.remaining >= 0
            returned = chance.randint(0, window.drawn)
            window.drawn -= returned
            window.posted = min(window.posted + returned // 100, 10**6 - window.drawn)
