"""/v1/organization/usage/completions and /costs, asked by OpenAI's own client."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from openai import AsyncOpenAI, BadRequestError

from accounts.issuance import IssuedKey
from accounts.models import ApiKey
from billing.rollups import fold_usage
from tests.billing.facts import NOON, correct, make_event, store
from tests.calls.serving import Served, in_django
from tests.organization.conftest import Client

pytestmark = pytest.mark.django_db(transaction=True)

DAY = int(datetime(2026, 3, 10, tzinfo=UTC).timestamp())


def use(key: ApiKey, at: datetime = NOON, **changes: Any) -> Any:
    event = make_event(
        at,
        organization=key.organization_id,
        project=key.project_id,
        key=key.pk,
        member=key.owner_id,
        **changes,
    )
    store([event])
    fold_usage(connection)
    return event


def usage_of(client: AsyncOpenAI) -> Any:
    """The client's resource, whose results are a union of fourteen types."""
    return client.admin.organization.usage


def results(page: Any, bucket: int = 0) -> list[Any]:
    return list(page.data[bucket].results)


async def ask(served: Served, key: str, path: str, **query: Any) -> Any:
    return await served.client.get(
        f"/v1/organization/{path}", params=query, headers={"authorization": f"Bearer {key}"}
    )


async def test_tokens_add_up_in_every_column(
    client: Client, service: IssuedKey, alices_key: str
) -> None:
    buckets = {
        "uncached_input": 500,
        "cache_read": 400,
        "cache_write_5m": 60,
        "cache_write_1h": 40,
        "audio_input": 7,
        "image_input": 3,
        "output": 30,
        "reasoning": 10,
        "audio_output": 2,
    }
    await in_django(use, service.key, **buckets)
    page = await client(alices_key).admin.organization.usage.completions(
        start_time=DAY, end_time=DAY + 86_400
    )
    [bucket] = page.data
    assert (bucket.start_time, bucket.end_time, page.has_more) == (DAY, DAY + 86_400, False)
    [result] = results(page)
    assert result.model_dump(exclude_none=True) == {
        "object": "organization.usage.completions.result",
        "input_tokens": 1010,
        "input_cached_tokens": 400,
        "input_cache_write_tokens": 100,
        "input_uncached_tokens": 510,
        "output_tokens": 42,
        "input_text_tokens": 500,
        "output_text_tokens": 40,
        "input_cached_text_tokens": 400,
        "input_audio_tokens": 7,
        "input_cached_audio_tokens": 0,
        "output_audio_tokens": 2,
        "input_image_tokens": 3,
        "input_cached_image_tokens": 0,
        "output_image_tokens": 0,
        "num_model_requests": 1,
    }


async def test_groups_and_filters_go_by_the_ids_that_are_shown(
    client: Client, service: IssuedKey, own: IssuedKey, alices_key: str
) -> None:
    await in_django(use, service.key, model="gpt-4o")
    await in_django(use, own.key, model="grok-4")
    usage = usage_of(client(alices_key))
    page = await usage.completions(
        start_time=DAY, group_by=["project_id", "user_id", "api_key_id", "model", "batch"]
    )
    found = {(r.project_id, r.user_id, r.api_key_id, r.model, r.batch) for r in results(page)}
    assert found == {
        ("default", None, service.key.public_id, "gpt-4o", False),
        ("default", str(own.key.owner_id), own.key.public_id, "grok-4", False),
    }
    for filters in (
        {"models": ["grok-4"]},
        {"api_key_ids": [own.key.public_id, "never"]},
        {"user_ids": [str(own.key.owner_id)]},
    ):
        page = await usage.completions(start_time=DAY, group_by=["model"], **filters)
        assert [each.model for each in results(page)] == ["grok-4"], filters
    for nothing in ({"project_ids": ["never"]}, {"batch": True}, {"user_ids": ["x"]}):
        page = await usage.completions(start_time=DAY, **nothing)
        assert results(page) == [], nothing


@pytest.mark.parametrize(
    ("width", "page_of"), [("1m", (60, 60)), ("1h", (3_600, 24)), ("1d", (86_400, 7))]
)
async def test_pages_of_buckets_add_up_to_the_whole(
    client: Client, service: IssuedKey, alices_key: str, width: Any, page_of: tuple[int, int]
) -> None:
    seconds, default = page_of
    for step in (0, 1, default - 1, default, 2 * default):
        await in_django(use, service.key, NOON + timedelta(seconds=step * seconds))
    usage = usage_of(client(alices_key))
    start = int(NOON.timestamp())
    asked: dict[str, Any] = {"start_time": start, "bucket_width": width}
    end = start + (2 * default + 1) * seconds
    starts, calls, page = [], [], await usage.completions(end_time=end, **asked)
    assert len(page.data) == default
    while True:
        starts += [bucket.start_time for bucket in page.data]
        calls += [
            sum(r.num_model_requests for r in results(page, n)) for n in range(len(page.data))
        ]
        if not page.has_more:
            break
        assert page.next_page is not None
        page = await usage.completions(end_time=end, page=page.next_page, **asked)
    first = start // seconds * seconds
    assert starts == list(range(first, first + len(starts) * seconds, seconds))
    assert sum(calls) == 5
    assert [i for i, n in enumerate(calls) if n] == [0, 1, default - 1, default, 2 * default]


async def test_minutes_know_corrections_as_hours_do(
    served: Served, service: IssuedKey, alices_key: str
) -> None:
    event = await in_django(use, service.key, output=10)
    await in_django(correct, event, amount=-500, usage={"output": -4})
    await in_django(lambda: fold_usage(connection))
    for width in ("1m", "1h"):
        answer = await ask(
            served,
            alices_key,
            "usage/completions",
            start_time=int(NOON.timestamp()),
            bucket_width=width,
            limit=1,
        )
        [result] = answer.json()["data"][0]["results"]
        assert (result["output_tokens"], result["num_model_requests"]) == (6, 1)


async def test_costs_are_exact_and_by_line_item(
    client: Client, served: Served, service: IssuedKey, alices_key: str
) -> None:
    await in_django(use, service.key, model="gpt-4o", cost_ticks=600_000_000)
    await in_django(use, service.key, model="grok-4", cost_ticks=1)
    usage = usage_of(client(alices_key))
    page = await usage.costs(start_time=DAY, limit=1)
    [whole] = results(page)
    assert whole.amount.value == pytest.approx(0.0600000001, abs=1e-15)
    assert (whole.amount.currency, whole.line_item) == ("usd", None)
    page = await usage.costs(
        start_time=DAY, group_by=["line_item", "project_id", "api_key_id"], limit=1
    )
    items = [(r.line_item, r.project_id, r.api_key_id) for r in results(page)]
    assert items == [
        ("gpt-4o", "default", service.key.public_id),
        ("grok-4", "default", service.key.public_id),
    ]
    raw = await ask(served, alices_key, "costs", start_time=DAY, limit=1, line_items="grok-4")
    assert '"value":1E-10' in raw.text or '"value":0.0000000001' in raw.text


async def test_a_member_sees_their_own_use_alone(
    client: Client, service: IssuedKey, own: IssuedKey, bobs_key: str
) -> None:
    await in_django(use, service.key)
    await in_django(use, own.key)
    usage = usage_of(client(bobs_key))
    page = await usage.completions(start_time=DAY, group_by=["api_key_id"])
    assert [r.api_key_id for r in results(page)] == [own.key.public_id]
    costs = await usage.costs(start_time=DAY, api_key_ids=[service.key.public_id])
    assert results(costs) == []


async def test_charlie_sees_no_foreign_use(
    client: Client, service: IssuedKey, charlies_key: str
) -> None:
    await in_django(use, service.key)
    usage = usage_of(client(charlies_key))
    page = await usage.completions(start_time=DAY, api_key_ids=[service.key.public_id])
    assert results(page) == []
    costs = await usage.costs(start_time=DAY)
    assert [bucket.results for bucket in costs.data] == [[]] * 7


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({}, "start_time"),
        ({"start_time": "yesterday"}, "start_time"),
        ({"start_time": -1}, "start_time"),
        ({"start_time": 10**18}, "start_time"),
        ({"start_time": DAY, "end_time": DAY}, "end_time"),
        ({"start_time": DAY, "bucket_width": "1w"}, "bucket_width"),
        ({"start_time": DAY, "limit": 0}, "limit"),
        ({"start_time": DAY, "limit": 32}, "limit"),
        ({"start_time": DAY, "group_by": "colour"}, "group_by"),
        ({"start_time": DAY, "page": "page_x"}, "page"),
        ({"start_time": DAY, "page": "page_ge"}, "page"),
        ({"start_time": DAY, "batch": "maybe"}, "batch"),
        ({"start_time": DAY, "colour": "red"}, "colour"),
    ],
)
async def test_what_cannot_be_asked_is_refused_by_its_name(
    served: Served, alices_key: str, query: dict[str, Any], field: str
) -> None:
    answer = await ask(served, alices_key, "usage/completions", **query)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == field


async def test_the_client_raises_its_own_error(client: Client, alices_key: str) -> None:
    with pytest.raises(BadRequestError, match="limit"):
        await client(alices_key).admin.organization.usage.costs(start_time=DAY, limit=181)


async def test_the_last_second_there_is_does_no_harm(served: Served, alices_key: str) -> None:
    for start, status in ((2**37, 200), (2**37 + 1, 400), (253_402_300_799, 400)):
        late = await ask(served, alices_key, "usage/completions", start_time=start)
        assert late.status_code == status
    early = await ask(served, alices_key, "usage/completions", start_time=0)
    assert early.json()["has_more"] is True
