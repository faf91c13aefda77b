"""A disk of 16 MB for the spool: refusals by name while it is full, and nothing is lost.

It fills up in two ways: with calls that cannot be settled, and with what somebody else writes to it
up to its last byte, while calls run whose end finds no room any more.
"""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.books import assert_books_agree
from tests.faults.load import Load
from tests.faults.probes import read_degraded, read_states
from tests.faults.world import FIXED, LONG_STREAM, MIXED, SLOW_STREAM, declare
from tests.parts import Gateway, Parts, is_ready

pytestmark = pytest.mark.slow
Note = Callable[[str], None]
DISK_BYTES = 16 * 2**20
# A disk that is nearly full is called full: what runs must be able to end.
NEARLY_BYTES = 2 * 2**20
CALLERS = 24
FULL = {"spool_full", "settlement_waits"}
HOLD_UP = "LOCK TABLE usage_event IN SHARE MODE"


@pytest.fixture
def disk(parts: Parts) -> Iterator[Path]:
    """A disk of its own for the spool of a machine named `small`."""
    folder = parts.folder / "small" / "spool"
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tollgate-tests", str(folder)]
    if os.geteuid() != 0:
        pytest.skip("only root may mount a disk of 16 MB")
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"this machine lets even root mount no disk of 16 MB: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        parts.end()
        subprocess.run(["umount", str(folder)], check=True)


@contextmanager
def filled(disk: Path, *, leaving_bytes: int) -> Iterator[None]:
    """Somebody else's file takes all of the disk but so much."""
    file, block = disk / "somebody-elses", b"\0" * 4096
    with file.open("wb", buffering=0) as ballast:
        while free_bytes(disk) > leaving_bytes:
            ballast.write(block)
    try:
        yield
    finally:
        file.unlink()


def free_bytes(disk: Path) -> int:
    found = os.statvfs(disk)
    return found.f_bavail * found.f_frsize


def assert_back(parts: Parts, gateway: Gateway, load: Load, note: Note) -> None:
    """The same process takes calls again, and the books agree."""
    parts.until(lambda: is_ready(gateway.port), gateway.process)
    load.urls = [gateway.url]
    load.burst(40)
    assert {outcome.kind for outcome in load.outcomes[-40:]} == {"answered"}
    assert gateway.process.poll() is None
    assert_books_agree(parts, load, note)


def test_calls_that_cannot_be_settled_fill_the_disk(
    parts: Parts, disk: Path, seed: int, note: Note
) -> None:
    keys = declare(parts, budget_usd="1000.00")
    gateway = parts.serve(machine="small")
    load = Load([gateway.url], [keys["steady"]], [FIXED], seed)
    with (
        parts.connect() as connection,
        filled(disk, leaving_bytes=NEARLY_BYTES + 2**19),
        load.flowing(CALLERS, pause_seconds=0.02),
    ):
        with connection.transaction():
            connection.execute(HOLD_UP)
            parts.until(lambda: load.count()["spool_full"] > 100)
            parts.until(lambda: set(read_degraded(gateway)) >= FULL)
            names, states = read_degraded(gateway), read_states(gateway)
        parts.until(lambda: read_degraded(gateway) == [])
    assert load.count().keys() == {"answered", "spool_full"}
    note(f"named while it was full: {', '.join(names)}")
    assert states == set(names) == FULL
    assert free_bytes(disk) > NEARLY_BYTES
    assert_back(parts, gateway, load, note)


def test_what_runs_on_a_disk_without_a_byte_left_is_settled_all_the_same(
    parts: Parts, disk: Path, seed: int, note: Note
) -> None:
    keys = declare(parts, budget_usd="1000.00")
    gateway = parts.serve(machine="small")
    load = Load([gateway.url], [keys["steady"], keys["spender"]], [LONG_STREAM, SLOW_STREAM], seed)
    others = Load([gateway.url], load.keys, MIXED, seed)
    with load.bursting(60):
        parts.until(lambda: parts.count_received() >= 60)
        with filled(disk, leaving_bytes=0):
            parts.until(lambda: "spool_full" in read_degraded(gateway))
            others.burst(40)
            parts.until(lambda: parts.rows("SELECT count(*) FROM usage_event") == [(60,)])
            assert free_bytes(disk) == 0
    assert load.count() == {"answered": 60}
    assert others.count() == {"spool_full": 40}
    load.outcomes += others.outcomes
    assert_back(parts, gateway, load, note)


def test_a_process_that_dies_on_a_full_disk_is_settled_by_the_next_one(
    parts: Parts, disk: Path, seed: int, note: Note
) -> None:
    keys = declare(parts, budget_usd="1000.00")
    gateway = parts.serve(machine="small")
    load = Load([gateway.url], [keys["steady"], keys["spender"]], [LONG_STREAM, SLOW_STREAM], seed)
    with load.bursting(60):
        parts.until(lambda: parts.count_received() >= 60)
        with filled(disk, leaving_bytes=0):
            parts.until(lambda: load.count()["answered"] > 10)
            gateway.process.kill()
            gateway.process.wait()
            # It starts where there is no room, and takes calls when there is.
            successor = parts.launch(machine="small")
            parts.until(lambda: parts.rows("SELECT count(*) FROM usage_event") == [(60,)])
    assert load.count().keys() == {"answered", "broken"}
    # There was no room to write down how they ended, and so they may stand as unknown.
    load.outcomes = [outcome for outcome in load.outcomes if outcome.kind != "answered"]
    assert_back(parts, successor, load, note)
