"""A route that cost more than its bound is left out of strict quotas, and of nothing else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from billing.models import RouteSuspension
from billing.suspensions import acknowledge
from gateway.models import Model
from local.provider import RunningProvider
from tests.calls.books import Connection, check_books
from tests.calls.serving import Served, in_django, until
from tests.calls.world import CENT, World, chat

pytestmark = pytest.mark.django_db(transaction=True)
Start = Callable[[], Awaitable[Served]]

# Holds a cent and costs ten.
LIES = chat("demo-usage-above-cap", max_tokens=100)


async def overrun(world: World, start: Start) -> Served:
    """Let a call of a strict quota cost more than its bound; return when the gateway knows."""
    await in_django(world.add_model, "demo-usage-above-cap")
    await in_django(world.add_quota, 1000 * CENT)
    served = await start()
    assert (await served.post(LIES)).status_code == 200
    await until(lambda: bool(served.process.suspensions))
    return served


async def test_no_strict_call_goes_there_until_an_operator_has_looked(
    world: World, start: Start, aconn: Connection, provider: RunningProvider
) -> None:
    served = await overrun(world, start)
    answer = await served.post(LIES)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "route_suspended")
    assert answer.headers["x-should-retry"] == "false"
    assert provider.received()["total"] == 1
    suspension = await in_django(RouteSuspension.objects.get)
    assert await in_django(acknowledge, suspension, note="the price is right now")
    await until(lambda: not served.process.suspensions)
    assert (await served.post(LIES)).status_code == 200
    await check_books(served, aconn, provider)


async def test_other_models_and_calls_without_a_strict_quota_go_on(
    world: World, start: Start, provider: RunningProvider
) -> None:
    served = await overrun(world, start)
    assert (await served.post(chat("demo-fixed-100", max_tokens=100))).status_code == 200
    free = await in_django(world.add_key, "free")
    await until(lambda: len(served.process.keyring) == 2)
    assert (await served.post(LIES, key=free.plaintext)).status_code == 200


async def test_another_route_of_the_model_serves_it_meanwhile(
    world: World, start: Start, provider: RunningProvider
) -> None:
    served = await overrun(world, start)

    def add_second() -> None:
        world.add_route(Model.objects.get(name=LIES["model"]), world.add_provider("second"))

    def knows_both() -> bool:
        model = served.process.catalog.model(LIES["model"])
        return model is not None and len(model.routes) == 2

    await in_django(add_second)
    await until(knows_both)
    assert (await served.post(LIES)).status_code == 200
