"""The ledger's decisions under every misfortune, in a random order that its seed repeats.

A million steps in `make faults`, a tenth of that in `make test`; see tests/ledger/simulation.py for
what happens in one, and what is looked at after each.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from tests.ledger.simulation import Simulation

STEPS_AN_EPISODE = 10_000
# What an episode may leave out by chance, many do not.
HAS_TO_HAPPEN = {
    *("admitted", "refused", "settle", "give_back", "renew", "sever", "kill", "stop", "stall"),
    *("jump", "change_limit", "restart_database", "sweep", "replace", "stopped by its lease"),
    *("its spool read", "its spool out of reach", "carried out after its sender had given up"),
}


def run_episode(seed: int, steps: int = STEPS_AN_EPISODE, *, fenced: bool = True) -> Simulation:
    """Run one; raises AssertionError with what repeats it."""
    simulation = Simulation(seed, fenced=fenced)
    try:
        for _ in range(steps):
            simulation.step()
        simulation.heal()
    except AssertionError as error:
        raise AssertionError(f"Simulation({seed}) broke at {simulation.now}: {error}") from error
    return simulation


@pytest.mark.parametrize(
    "steps", [100_000, pytest.param(1_000_000, marks=pytest.mark.slow)], ids=str
)
def test_no_promise_is_broken_whatever_happens(
    steps: int, seed: int, note: Callable[[str], None]
) -> None:
    happened: Counter[str] = Counter()
    for episode in range(steps // STEPS_AN_EPISODE):
        happened += run_episode(seed + episode).counts
    note(f"steps {steps}: " + ", ".join(f"{name} {n}" for name, n in sorted(happened.items())))
    assert HAS_TO_HAPPEN - happened.keys() == set()


def test_the_same_seed_gives_the_same_episode() -> None:
    first, second = run_episode(7, 3000), run_episode(7, 3000)
    assert (first.counts, first.model.facts) == (second.counts, second.model.facts)


def test_a_return_that_is_carried_out_after_it_was_given_up_is_what_fences_are_for() -> None:
    # Without them a process counted on what a statement that it had forgotten then gave back.
    broken = [seed for seed in range(20) if not holds(seed, fenced=False)]
    assert broken
    assert holds(broken[0], fenced=True)


def holds(seed: int, *, fenced: bool) -> bool:
    try:
        run_episode(seed, fenced=fenced)
    except AssertionError:
        return False
    return True
