"""Parts to break, a seed that a run can be repeated with, and figures printed at the end."""

import os
import random
import sys
from collections.abc import Callable, Iterator

import pytest

from tests.parts import Parts, Servers, run_parts

SEED = "FAULTS_SEED"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if sys.platform != "linux":
        skip = pytest.mark.skip(reason="needs /proc to know processes and their sockets")
        for item in items:
            if "tests/faults" in item.nodeid:
                item.add_marker(skip)


@pytest.fixture
def parts(servers: Servers) -> Iterator[Parts]:
    with run_parts(servers) as started:
        yield started


@pytest.fixture
def note(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Say a line of figures; all of them are printed when the tests are over."""
    return lambda line: record_property("figures", line)


@pytest.fixture
def seed(note: Callable[[str], None]) -> int:
    """FAULTS_SEED repeats a run that was seen before."""
    chosen = int(os.environ.get(SEED) or random.randrange(2**32))
    note(f"seed {chosen} ({SEED}={chosen} repeats it)")
    return chosen


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [r for kind in ("passed", "failed") for r in terminalreporter.stats.get(kind, [])]
    for report in reports:
        lines = [value for name, value in report.user_properties if name == "figures"]
        if lines and report.when == "call":
            terminalreporter.write_line(f"\n{report.nodeid}")
            for line in lines:
                terminalreporter.write_line(f"  {line}")
