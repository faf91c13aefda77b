"""Other names of a model, its last day, and what answers after it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from gateway.models import Model
from tests.calls.books import Connection, event_of
from tests.calls.serving import Served, in_django
from tests.calls.world import CENT, World, chat

pytestmark = pytest.mark.django_db(transaction=True)
Start = Callable[[], Awaitable[Served]]


def change(name: str, **columns: object) -> None:
    Model.objects.filter(name=name).update(**columns)


async def test_an_alias_calls_the_model_and_the_fact_has_its_name(
    world: World, start: Start, aconn: Connection
) -> None:
    await in_django(change, "demo-fixed-100", aliases=["house-model"])
    await in_django(world.add_quota, CENT, model="demo-fixed-100")
    served = await start()
    answer = await served.post(chat("house-model", max_tokens=100))
    assert answer.status_code == 200
    await served.settled()
    event = await event_of(aconn, answer.headers["x-request-id"])
    assert event["model"] == "demo-fixed-100"
    # The quota of the model counts its calls by any name.
    assert (await served.post(chat("house-model", max_tokens=100))).status_code == 429


async def test_a_key_for_a_model_may_use_its_alias_and_no_other(world: World, start: Start) -> None:
    await in_django(change, "demo-fixed-100", aliases=["house-model"])
    issued = await in_django(world.add_key, "narrow", models=["demo-fixed-100"])
    served = await start()
    for model, status in (("house-model", 200), ("demo-fixed-100", 200), ("gpt-4o", 404)):
        answer = await served.post(chat(model, max_tokens=10), key=issued.plaintext)
        assert answer.status_code == status, model


async def test_a_last_day_is_told_in_advance(world: World, start: Start) -> None:
    day = datetime(2099, 12, 31, tzinfo=UTC)
    await in_django(change, "demo-fixed-100", retires_at=day, successor="gpt-4o")
    served = await start()
    answer = await served.post(chat("demo-fixed-100", max_tokens=10))
    assert answer.headers["sunset"] == "Thu, 31 Dec 2099 00:00:00 GMT"
    assert answer.headers["x-tollgate-warning"] == (
        "demo-fixed-100 will be retired on 2099-12-31; gpt-4o answers in its place from then on."
    )


async def test_the_successor_answers_for_a_retired_model(
    world: World, start: Start, aconn: Connection
) -> None:
    yesterday = timezone.now() - timedelta(days=1)
    await in_django(change, "demo-fixed-100", retires_at=yesterday, successor="gpt-4o")
    issued = await in_django(world.add_key, "old", models=["demo-fixed-100"])
    served = await start()
    answer = await served.post(chat("demo-fixed-100", max_tokens=10), key=issued.plaintext)
    assert answer.status_code == 200
    assert "was retired" in answer.headers["x-tollgate-warning"]
    await served.settled()
    event = await event_of(aconn, answer.headers["x-request-id"])
    assert event["model"] == "gpt-4o"


async def test_a_retired_model_without_a_successor_is_gone_and_says_since_when(
    world: World, start: Start
) -> None:
    day = datetime(2026, 1, 2, tzinfo=UTC)
    await in_django(change, "demo-fixed-100", retires_at=day)
    served = await start()
    answer = await served.post(chat("demo-fixed-100", max_tokens=10))
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (404, "model_not_found")
    assert error["message"] == "The model 'demo-fixed-100' was retired on 2026-01-02."
    listed = (await served.client.get("/v1/models")).json()["data"]
    assert "demo-fixed-100" not in {model["id"] for model in listed}


async def test_a_model_that_is_not_retiring_carries_no_warning(world: World, start: Start) -> None:
    served = await start()
    answer = await served.post(chat("demo-fixed-100", max_tokens=10))
    assert not {"sunset", "x-tollgate-warning"} & set(answer.headers)
