"""A key that is rotated calls with both secrets until the old one's end, out of one budget."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import NamedTuple

import pytest

from accounts.issuance import rotate_key
from local.provider import RunningProvider
from tests.calls.books import Connection, check_books, window_of
from tests.calls.serving import Served, in_django
from tests.calls.world import CENT, World, chat

pytestmark = pytest.mark.django_db(transaction=True)
Start = Callable[[], Awaitable[Served]]
A_CENT = chat("demo-fixed-100", max_tokens=100)


async def test_both_secrets_together_spend_one_budget(
    world: World, start: Start, aconn: Connection, provider: RunningProvider
) -> None:
    quota = await in_django(world.add_quota, 50 * CENT)
    rotated = await in_django(rotate_key, world.issued.key, timedelta(hours=24))
    both = [await start(), await start()]

    async def spend(served: Served, secret: str) -> list[int]:
        """Make ten calls, each again while the machine is too busy to draw for it in time."""
        statuses: list[int] = []
        while len(statuses) < 10:
            status = (await served.post(A_CENT, key=secret)).status_code
            if status != 503:
                statuses.append(status)
        return statuses

    ways = [(served, secret) for served in both for secret in (world.key, rotated.plaintext)]
    found = await asyncio.gather(*(spend(*way) for way in ways * 3))
    assert Counter(itertools.chain(*found)) == {200: 50, 429: 70}
    for served in both:
        await served.settled()
    await check_books(both[0], aconn, provider)
    assert (await window_of(aconn, quota.pk))["posted"] == 50 * CENT


class Call(NamedTuple):
    secret: str
    began: float
    ended: float
    status: int


async def hammer(served: Served, secret: str, until_at: float) -> list[Call]:
    """Call again and again; the last one begins after that time, however long the others took."""
    calls: list[Call] = []
    while not calls or calls[-1].began < until_at:
        began = time.time()
        answer = await served.client.get(
            "/v1/api-key", headers={"authorization": f"Bearer {secret}"}
        )
        calls.append(Call(secret, began, time.time(), answer.status_code))
    return calls


async def test_the_old_secret_ends_exactly_when_its_grace_does(world: World, start: Start) -> None:
    served = await start()
    rotated = await in_django(rotate_key, world.issued.key, timedelta(seconds=2))
    old = world.issued.key.secrets.exclude(ends_at=None).values_list("ends_at", flat=True)
    end = (await in_django(lambda: max(filter(None, old)))).timestamp()
    secrets = (world.key, rotated.plaintext)
    found = await asyncio.gather(*(hammer(served, secret, end + 0.5) for secret in secrets * 2))
    calls = [call for some in found for call in some]
    of_old = [call for call in calls if call.secret == world.key]
    assert {call.status for call in of_old if call.ended < end} == {200}
    assert {call.status for call in of_old if call.began >= end} == {401}
    after = [c for c in calls if c.secret == rotated.plaintext and c.began >= end]
    assert {call.status for call in after} == {200}
