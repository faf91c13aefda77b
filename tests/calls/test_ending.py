"""Members leave and organizations end while calls run: what runs finishes, what is new is not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from accounts.ending import delete_organization
from accounts.leaving import hand_over
from accounts.members import remove_member
from accounts.models import Membership
from accounts.organizations import archive_project, suspend_organization, unarchive_project
from local.provider import RunningProvider
from tests.calls.books import Connection, check_books, event_of, window_of
from tests.calls.serving import Served, in_django, until
from tests.calls.world import CENT, OUTPUT_TICKS, World, chat

pytestmark = pytest.mark.django_db(transaction=True)
SLOW = chat("demo-chunks-50-10", max_tokens=100)
QUICK = chat(max_tokens=10)
Start = Callable[[], Awaitable[Served]]


async def status_becomes(served: Served, status: int, *, key: str | None = None) -> dict[str, Any]:
    """Call until the answer has that status; return its error. A second is promised, which
    tests/faults/ holds it to; this machine may have other work."""
    async with asyncio.timeout(10):
        while (answer := await served.post(QUICK, key=key)).status_code != status:
            await asyncio.sleep(0.01)
    found: dict[str, Any] = answer.json().get("error", {})
    return found


async def test_a_call_of_a_deleted_organization_finishes_and_settles(
    world: World, start: Start, aconn: Connection, provider: RunningProvider
) -> None:
    await in_django(world.add_model, "demo-chunks-50-10")
    quota = await in_django(world.add_quota, 500 * CENT, scope="organization")
    served = await start()
    running = asyncio.create_task(served.post(SLOW))
    await until(lambda: served.process.ledger.process.open_holds)
    await in_django(delete_organization, world.organization)
    assert "revoked" in (await status_becomes(served, 401))["message"]
    answer = await running
    assert answer.status_code == 200
    await check_books(served, aconn, provider)
    event = await event_of(aconn, answer.headers["x-request-id"])
    assert (event["organization"], event["outcome"]) == (world.organization.pk, "answered")
    assert (await window_of(aconn, quota.pk))["posted"] >= 50 * OUTPUT_TICKS


async def test_a_members_key_ends_with_the_membership_and_lives_when_handed_over(
    world: World, start: Start
) -> None:
    def prepare() -> tuple[Membership, str, str]:
        bob = Membership.objects.get(user__email="bob@example.org")
        kept, lost = (world.add_key(name, owner=bob) for name in ("kept", "lost"))
        return bob, kept.plaintext, lost.plaintext

    bob, kept, lost = await in_django(prepare)
    served = await start()
    assert [(await served.post(QUICK, key=key)).status_code for key in (kept, lost)] == [200, 200]

    def leave() -> None:
        hand_over(bob.keys.filter(name="kept"), None)
        remove_member(bob)

    await in_django(leave)
    assert "has left the organization" in (await status_becomes(served, 401, key=lost))["message"]
    assert (await served.post(QUICK, key=kept)).status_code == 200


async def test_an_archived_project_comes_back_and_a_suspension_tells_why(
    world: World, start: Start
) -> None:
    served = await start()
    await in_django(archive_project, world.project)
    assert (await status_becomes(served, 403))["code"] == "project_archived"
    await in_django(unarchive_project, world.project)
    await status_becomes(served, 200)
    await in_django(suspend_organization, world.organization, "unpaid")
    assert (await status_becomes(served, 403))["code"] == "organization_suspended"
