"""Runs of the whole product: `product` is fresh for each file, `fleet` has four processes."""

from collections.abc import Iterator

import pytest

from tests.local.running import Run
from tests.product import run_product

FLEET_WORKERS = 4


@pytest.fixture(scope="module")
def product() -> Iterator[Run]:
    with run_product() as run:
        yield run


@pytest.fixture(scope="session")
def fleet() -> Iterator[Run]:
    with run_product(workers=FLEET_WORKERS) as run:
        yield run
