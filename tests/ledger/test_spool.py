"""The spool tells, after any end of its process, how each attempt stands."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from billing.ledger import spool as spools
from billing.ledger.spool import DONE, SEEN, VOID, Spool, SpoolFull, is_abandoned
from billing.ledger.spooled import read_spool


def record(attempt: str, text: str = "") -> bytes:
    return b'{"id":"%b","text":"%b"}' % (attempt.encode(), text.encode())


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "process")


def test_the_last_record_of_an_attempt_stands(spool: Spool) -> None:
    spool.sent("a", record("a", "sent"))
    spool.note(SEEN, "a", record("a", "seen"))
    assert read_spool(spool.folder).last == {"a": record("a", "seen")}


def test_done_stands_over_what_comes_after_it(spool: Spool) -> None:
    spool.sent("a", record("a"))
    spool.note(DONE, "a", record("a", "done"))
    spool.note(SEEN, "a", record("a", "seen"))
    assert read_spool(spool.folder).last == {"a": record("a", "done")}


def test_an_attempt_that_never_left_is_gone(spool: Spool) -> None:
    spool.sent("a", record("a"))
    spool.note(VOID, "a", record("a"))
    spool.settled(["a"])
    assert read_spool(spool.folder).last == {}


def test_a_torn_last_line_is_passed_over(spool: Spool) -> None:
    spool.sent("a", record("a"))
    spool.sent("b", record("b"))
    log = next(spool.folder.glob("*.log"))
    os.truncate(log, log.stat().st_size - 7)
    found = read_spool(spool.folder)
    assert list(found.last) == ["a"]
    assert found.torn_lines == 1


def test_a_folder_is_abandoned_once_its_process_lets_go(spool: Spool) -> None:
    assert not is_abandoned(spool.folder)
    spool.sent("a", record("a"))
    spool.close(remove=False)
    assert is_abandoned(spool.folder)


def test_closing_removes_the_folder_only_when_all_is_settled(tmp_path: Path) -> None:
    left, empty = Spool(tmp_path / "left"), Spool(tmp_path / "empty")
    left.sent("a", record("a"))
    left.close(remove=True)
    empty.close(remove=True)
    assert left.folder.exists()
    assert not empty.folder.exists()


def test_a_record_after_the_end_goes_nowhere(spool: Spool, tmp_path: Path) -> None:
    """It went to whatever had been opened under the same number meanwhile."""
    spool.close(remove=False)
    others = [(tmp_path / str(n)).open("w+") for n in range(10)]
    spool.note(DONE, "a", record("a"))
    spool.close(remove=True)
    with pytest.raises(SpoolFull):
        spool.sent("b", record("b"))
    for other in others:
        with other:
            assert other.read() == ""


def test_settled_segments_go_away(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spools, "SEGMENT_BYTES", 500)
    for n in range(100):
        spool.sent(str(n), record(str(n)))
        spool.settled([str(n)])
    assert len(list(spool.folder.glob("*.log"))) == 1


def test_a_long_stream_does_not_keep_every_segment(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spools, "SEGMENT_BYTES", 500)
    spool.sent("long", record("long"))
    for n in range(200):
        spool.sent(str(n), record(str(n)))
        spool.settled([str(n)])
    assert len(list(spool.folder.glob("*.log"))) <= spools.MOST_SEGMENTS
    assert "long" in read_spool(spool.folder).last


def test_a_void_outlives_its_sent_record(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spools, "SEGMENT_BYTES", 300)
    spool.sent("open", record("open"))
    spool.sent("never left", record("never left"))
    for n in range(20):
        spool.sent(str(n), record(str(n)))
        spool.settled([str(n)])
    spool.note(VOID, "never left", record("never left"))
    spool.settled(["never left"])
    for n in range(20, 40):
        spool.sent(str(n), record(str(n)))
        spool.settled([str(n)])
    assert "never left" not in read_spool(spool.folder).last


async def test_a_spool_over_its_share_takes_nothing_new_and_ends_what_runs(
    tmp_path: Path,
) -> None:
    spool = Spool(tmp_path / "small", max_bytes=100)
    spool.sent("a", record("a", "x" * 200))
    spool._full = spool._is_nearly_full()
    with pytest.raises(SpoolFull):
        spool.sent("b", record("b"))
    spool.note(DONE, "a", record("a", "done"))
    assert read_spool(spool.folder).last == {"a": record("a", "done")}


async def test_a_full_spool_lets_go_of_what_is_settled(tmp_path: Path) -> None:
    """A small disk stayed full for ever: what was settled lay in the segment under way."""
    spool = Spool(tmp_path / "small", max_bytes=2**17)
    watching = asyncio.create_task(spool.keep_synced())
    for n in range(200):
        spool.sent(str(n), record(str(n), "x" * 1000))
    await until_full(spool, full=True)
    spool.settled(map(str, range(199)))
    await until_full(spool, full=False)
    watching.cancel()
    assert spool.size_bytes < 2000
    assert list(read_spool(spool.folder).last) == ["199"]


async def until_full(spool: Spool, *, full: bool) -> None:
    """Wait until the spool has looked at its room, as it does every 100 ms."""
    async with asyncio.timeout(10):
        while spool.is_full is not full:
            await asyncio.sleep(0.01)
