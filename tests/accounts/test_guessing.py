"""Who is wrong again and again waits; who is right does not, whatever others do beside them."""

import pytest

from accounts import guessing
from accounts.guessing import Guesses, Proven, find_place, whole_seconds


def test_a_place_may_be_wrong_so_often_and_then_waits() -> None:
    guesses = Guesses(most=3, per_seconds=30)
    assert [guesses.note("a", 0.0) for _ in range(4)] == [False, False, True, False]
    assert guesses.wait_seconds("a", 0.0) == 10.0
    assert guesses.wait_seconds("b", 0.0) == 0.0


def test_waiting_earns_one_guess_at_a_time() -> None:
    guesses = Guesses(most=3, per_seconds=30)
    for _ in range(3):
        guesses.note("a", 0.0)
    assert guesses.wait_seconds("a", 9.0) == pytest.approx(1)
    assert guesses.wait_seconds("a", 10.0) == 0.0
    assert guesses.note("a", 10.0)
    assert guesses.wait_seconds("a", 10.0) == 10.0
    assert guesses.wait_seconds("a", 1_000.0) == 0.0


def test_guesses_while_waiting_do_not_lengthen_the_wait() -> None:
    guesses = Guesses(most=1, per_seconds=10)
    for second in range(9):
        guesses.note("a", float(second))
    assert guesses.wait_seconds("a", 9.0) == pytest.approx(1)


def test_memory_is_bounded_and_the_oldest_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guessing, "MOST_PLACES", 2)
    guesses = Guesses(most=1, per_seconds=10)
    for place in ("a", "b", "a", "c"):
        guesses.note(place, 0.0)
    waiting = [place for place in "abc" if guesses.wait_seconds(place, 0.0)]
    assert waiting == ["b", "c"]


def test_all_addresses_of_an_ipv6_customer_are_one_place() -> None:
    assert find_place("2001:db8:1:2::1") == find_place("2001:db8:1:2:ffff::9")
    assert find_place("2001:db8:1:2::1") != find_place("2001:db8:1:3::1")
    assert find_place("::ffff:192.0.2.1") == find_place("192.0.2.1") == "192.0.2.1"
    assert find_place(None) == find_place("nonsense") == "unknown"


def test_what_was_right_is_known_again_and_not_kept() -> None:
    proven = Proven()
    proven.add("a secret")
    assert "a secret" in proven
    assert "another" not in proven
    assert "secret" not in repr(vars(proven))


def test_a_wait_is_told_in_whole_seconds() -> None:
    assert [whole_seconds(wait) for wait in (0.1, 1.0, 1.1)] == [1, 1, 2]
