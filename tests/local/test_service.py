"""A program that ends is started again, and its warnings reach the screen."""

import os
import sys
from pathlib import Path

import pytest

from local.children import kill_group, wait_until
from local.logs import LARGEST_LOG_BYTES, Follower, make_room
from local.service import Service


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "program.log"


def make_service(program: str, log: Path, told: list[str]) -> Service:
    return Service(
        "program",
        [sys.executable, "-c", program],
        env=os.environ,
        cwd=log.parent,
        log=log,
        report=told.append,
    )


def test_a_program_that_ends_starts_again_and_one_line_says_so(log: Path) -> None:
    told: list[str] = []
    service = make_service("print('started', flush=True); raise SystemExit(3)", log, told)
    service.start()

    def started_twice() -> bool:
        service.check()
        return log.read_text().count("started") == 2

    assert wait_until(started_twice, 10)
    assert told[0] == f"program ended with exit code 3; it starts again in 0.5 s. Its log is {log}."
    if service.process is not None:
        kill_group(service.process)


def test_each_further_end_waits_longer(log: Path) -> None:
    told: list[str] = []
    service = make_service("pass", log, told)
    service.start()

    def ended_twice() -> bool:
        service.check()
        return len(told) == 2

    assert wait_until(ended_twice, 10)
    assert "starts again in 1 s" in told[1]


def test_what_a_killed_program_had_started_ends_before_it_starts_again(log: Path) -> None:
    # A killed Celery worker left its beat behind, which then queued every task twice.
    program = (
        "import subprocess, time; child = subprocess.Popen(['sleep', '60']);"
        "print(child.pid, flush=True); time.sleep(60)"
    )
    service = make_service(program, log, [])
    service.start()
    assert wait_until(lambda: log.read_text().strip() != "", 10)
    assert service.process is not None
    service.process.kill()
    service.process.wait()
    service.check()
    assert wait_until(lambda: has_ended(int(log.read_text().split()[0])), 5)


def has_ended(pid: int) -> bool:
    """True for a process that is gone, or dead and not yet collected by its new parent."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_only_new_whole_lines_with_warnings_are_repeated(log: Path) -> None:
    log.write_text("1 WARNING old\n")
    follower = Follower(log)
    with log.open("a") as file:
        file.write("2 INFO fine\n3 WARNING first\n4 ERROR sec")
    assert follower.read_warnings() == ["3 WARNING first"]
    with log.open("a") as file:
        file.write("ond\n")
    assert follower.read_warnings() == ["4 ERROR second"]


def test_a_long_log_is_put_aside_before_its_program_starts(log: Path) -> None:
    log.write_bytes(b"x" * (LARGEST_LOG_BYTES + 1))
    make_room(log)
    assert not log.exists()
    assert log.with_name("program.log.1").exists()
