"""The gateways, organizations and models that calls are tested with."""

from tests.calls.conftest import (
    configuration,
    patience,
    provider,
    pytest_asyncio_loop_factories,
    running_provider,
    served,
    start,
    world,
)

__all__ = [
    "configuration",
    "patience",
    "provider",
    "pytest_asyncio_loop_factories",
    "running_provider",
    "served",
    "start",
    "world",
]
