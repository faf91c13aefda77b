"""What is recorded in one turn of the loop is one write, and nobody goes on before it."""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from billing.ledger.spool import DONE, VOID, Spool, SpoolFull
from billing.ledger.spooled import read_spool
from tests.ledger.test_spool import record

Turn = list[Callable[[], None]]


@pytest.fixture
def turn() -> Turn:
    """What the loop would call at the end of its turn."""
    return []


@pytest.fixture
def spool(tmp_path: Path, turn: Turn) -> Spool:
    return Spool(tmp_path / "process", soon=turn.append)


@contextlib.contextmanager
def no_file_longer_than(size_bytes: int) -> Iterator[None]:
    """Have the system refuse longer files, as it does where a disk is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_records_wait_for_the_end_of_the_turn(spool: Spool, turn: Turn) -> None:
    spool.sent("a", record("a"))
    spool.sent("b", record("b"))
    spool.note(DONE, "a", record("a", "done"))
    assert read_spool(spool.folder).last == {}
    (end,) = turn
    end()
    assert read_spool(spool.folder).last == {"a": record("a", "done"), "b": record("b")}
    spool.sent("c", record("c"))
    assert len(turn) == 2


def test_who_waits_goes_on_after_the_write_and_in_order(spool: Spool, turn: Turn) -> None:
    seen: list[tuple[str, bool, int]] = []

    def note(name: str) -> Callable[[bool], None]:
        return lambda stands: seen.append((name, stands, len(read_spool(spool.folder).last)))

    spool.sent("a", record("a"))
    spool.when_written("a", note("a"))
    spool.sent("b", record("b"))
    spool.when_written("b", note("b"))
    assert seen == []
    turn.pop()()
    assert seen == [("a", True, 2), ("b", True, 2)]
    spool.when_written("a", note("at once"))
    assert seen[-1] == ("at once", True, 2)


def test_one_who_fails_keeps_nobody_from_going_on(spool: Spool, turn: Turn) -> None:
    went: list[bool] = []

    def fail(stands: bool) -> None:
        raise RuntimeError("the connection is closed")

    spool.sent("a", record("a"))
    spool.when_written("a", fail)
    spool.when_written("a", went.append)
    turn.pop()()
    assert went == [True]


def test_a_disk_that_fills_up_lets_nobody_leave_and_keeps_every_end(
    spool: Spool, turn: Turn
) -> None:
    spool.sent("old", record("old"))
    turn.pop()()
    went: dict[str, bool] = {}
    spool.sent("new", record("new", "x" * 500))
    spool.when_written("new", lambda stands: went.update(new=stands))
    spool.note(DONE, "old", record("old", "done"))
    spool.when_written("old", lambda stands: went.update(old=stands))
    with no_file_longer_than(spool.size_bytes + 100):
        turn.pop()()
    assert went == {"new": False, "old": True}
    found = read_spool(spool.folder)
    assert found.last == {"old": record("old", "done")}
    assert found.torn_lines == 0
    with pytest.raises(SpoolFull):
        spool.sent("next", record("next"))


def test_an_attempt_that_never_left_is_gone_with_its_turn(spool: Spool, turn: Turn) -> None:
    spool.sent("a", record("a"))
    spool.note(VOID, "a", record("a"))
    spool.settled(["a"])
    turn.pop()()
    assert read_spool(spool.folder).last == {}
    assert spool.unsettled == 0


def test_closing_writes_what_waits(spool: Spool) -> None:
    spool.sent("a", record("a"))
    spool.close(remove=True)
    assert read_spool(spool.folder).last == {"a": record("a")}
