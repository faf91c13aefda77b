"""What strangers can reach, over real sockets: a gateway in the test's loop, or whole processes."""

from collections.abc import Iterator

import pytest

from tests.calls.conftest import (  # noqa: F401 - fixtures and a hook of pytest.
    configuration,
    patience,
    provider,
    pytest_asyncio_loop_factories,
    running_provider,
    served,
    start,
    world,
)
from tests.faults.world import declare
from tests.outside.scene import own_parts, scene  # noqa: F401 - fixtures.
from tests.parts import Gateway, Parts, Servers, run_parts

OPERATOR = "op@example.org"
PASSWORD = "an operator's long password"


@pytest.fixture(scope="module")
def parts(servers: Servers) -> Iterator[Parts]:
    with run_parts(servers, pace_seconds=0.001) as started:
        yield started


@pytest.fixture(scope="module")
def keys(parts: Parts) -> dict[str, str]:
    """The keys of the fault tests' world: `steady` without a quota, `spender` with a budget."""
    return declare(parts, budget_usd="100.00")


@pytest.fixture(scope="module")
def gateway(parts: Parts, keys: dict[str, str]) -> Gateway:
    return parts.serve()


@pytest.fixture(scope="module")
def operator(parts: Parts) -> str:
    """The address with which an operator of the parts logs in."""
    make = "from accounts.models import User; User.objects.create_superuser(*%r)"
    parts.manage("shell", "-v", "0", "-c", make % ((OPERATOR, PASSWORD),))
    return OPERATOR
