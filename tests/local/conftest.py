"""A folder for servers of a test's own."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import make_reachable_folder


@pytest.fixture
def data_dir() -> Iterator[Path]:
    folder = make_reachable_folder()
    yield folder
    shutil.rmtree(folder)
