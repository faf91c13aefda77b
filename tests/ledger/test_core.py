"""Decisions in memory: all claims or none, and never more than there is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from billing.ledger import core
from billing.ledger.core import NOT_DRAWN, Account, Want, WindowState, decide_draws


def test_claims_are_held_all_or_none() -> None:
    rich, poor = Account(window=1, amount=100), Account(window=2, amount=5)
    assert not core.hold([(rich, 10), (poor, 10)])
    assert (rich.taken, poor.taken) == (0, 0)
    assert core.hold([(rich, 10), (poor, 5)])
    assert (rich.free, poor.free) == (90, 0)


def test_what_is_not_used_of_a_hold_is_free_again() -> None:
    account = Account(window=1, amount=100)
    claims = [(account, 60)]
    core.hold(claims)
    used: core.Used = {}
    core.use(claims, [25], used)
    assert account.free == 75
    core.post(used)
    assert (account.amount, account.free) == (75, 75)


def test_more_than_held_takes_nothing_further_from_the_account() -> None:
    account = Account(window=1, amount=100)
    claims = [(account, 60)]
    core.hold(claims)
    used: core.Used = {}
    core.use(claims, [1000], used)
    core.post(used)
    assert (account.amount, account.free) == (40, 40)


def test_a_window_that_only_counts_is_never_short() -> None:
    account = Account(window=1)
    claims = [(account, NOT_DRAWN)]
    assert core.hold(claims)
    used: core.Used = {}
    core.use(claims, [50], used)
    core.post(used)
    assert (account.amount, account.free) == (0, 0)


def test_a_lost_answer_about_a_draw_is_made_good_by_what_was_granted() -> None:
    account = Account(window=1, amount=30, granted=100)
    core.credit(account, 150)
    assert (account.amount, account.free) == (80, 80)


def test_a_window_begun_anew_keeps_what_is_taken_of_it() -> None:
    account = Account(window=1, amount=30, granted=30)
    core.hold([(account, 20)])
    core.regrant(account, 100)
    assert (account.amount, account.granted, account.free) == (100, 100, 80)
    core.regrant(account, account.taken)
    assert (account.amount, account.granted, account.free) == (20, 20, 0)


def test_waiters_are_served_in_order_and_a_refused_one_takes_nothing() -> None:
    window = WindowState(limit=100)
    wants = [[Want(0, need, need)] for need in (60, 60, 40)]
    draws = decide_draws([window], [0], wants)
    assert draws.refused_by == [None, 0, None]
    assert draws.granted == [100]


@given(
    st.lists(st.integers(0, 100), min_size=1, max_size=4),
    st.integers(0, 120),
    st.integers(0, 200),
)
def test_what_all_accounts_are_asked_alike_comes_to_the_same_as_claims_on_each(
    amounts: list[int], need: int, used: int
) -> None:
    alike, each = ([Account(window=1, amount=n) for n in amounts] for _ in range(2))
    claims = [(account, need) for account in each]
    held = core.hold_alike(alike, need)
    assert held == core.hold(claims)
    assert [a.free for a in alike] == [a.free for a in each]
    if not held:
        return
    within = core.use_alike(alike, need, used)
    took: core.Used = {}
    core.use(claims, [used] * len(claims), took)
    assert [a.free for a in alike] == [a.free for a in each]
    core.post(dict.fromkeys(alike, within))
    core.post(took)
    assert [a.amount for a in alike] == [a.amount for a in each]


def test_a_window_over_its_limit_is_not_filled_up_with_less_than_nothing() -> None:
    """What remained was below nothing, and a share of that was granted: less than nothing."""
    window = WindowState(limit=10, posted=14)
    assert decide_draws([window], [-2], [[Want(0, 0, 0)]]).granted == [0]


windows_strategy = st.lists(
    st.builds(
        WindowState,
        limit=st.none() | st.integers(0, 1000),
        posted=st.integers(0, 300),
        overrun=st.integers(0, 50),
        drawn=st.integers(0, 300),
    ),
    min_size=1,
    max_size=4,
)


@given(windows_strategy, st.data())
def test_no_round_of_draws_exceeds_a_limit_and_each_admitted_waiter_is_covered(
    windows: list[WindowState], data: st.DataObject
) -> None:
    spare = [data.draw(st.integers(-10, 100)) for _ in windows]
    waiters = data.draw(st.lists(_wants(len(windows)), max_size=6))
    draws = decide_draws(windows, spare, waiters)
    free = [max(s, 0) + g for s, g in zip(spare, draws.granted, strict=True)]
    for wants, refused in zip(waiters, draws.refused_by, strict=True):
        if refused is None:
            for position, need, _ in wants:
                free[position] -= need
    assert all(f >= 0 for f in free)
    for window, granted in zip(windows, draws.granted, strict=True):
        assert granted >= 0
        assert granted == 0 or window.remaining >= granted


@st.composite
def _wants(draw: st.DrawFn, count: int) -> list[Want]:
    positions = draw(st.sets(st.integers(0, count - 1), min_size=1))
    needs = [draw(st.integers(0, 300)) for _ in positions]
    return [
        Want(position, need, need + draw(st.integers(0, 200)))
        for position, need in zip(sorted(positions), needs, strict=True)
    ]
