"""Which key may make which call, over a real socket: nobody else's request reaches a provider."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone

from accounts import keys
from accounts.issuance import disable_key, revoke_key, rotate_key
from accounts.models import ApiKey
from local.provider import RunningProvider
from tests.calls.serving import PATH, Served, in_django
from tests.calls.world import World, chat

pytestmark = pytest.mark.django_db(transaction=True)
Start = Callable[[], Awaitable[Served]]


def make_keys_that_may_not_call(world: World) -> dict[str, str]:
    """One of every kind, by what the refusal says of it."""
    expired, disabled, revoked = (world.add_key(name) for name in ("old", "off", "gone"))
    ApiKey.objects.filter(pk=expired.key.pk).update(expires_at=timezone.now() - timedelta(hours=1))
    disable_key(disabled.key)
    revoke_key(revoked.key, reason="leaked")
    last = world.key[-1]
    return {
        "No API key was given": "",
        "does not have the form of a key": "sk-proj-0123456789abcdef0123456789abcdef",
        "copied whole": world.key[:-1] + ("0" if last != "0" else "1"),
        "does not exist": keys.make_key(settings.KEY_PREFIX).text,
        "has expired": expired.plaintext,
        "is disabled": disabled.plaintext,
        "was revoked": revoked.plaintext,
    }


async def test_a_key_that_may_not_call_is_401_in_openais_shape_and_nothing_leaves(
    world: World, start: Start, provider: RunningProvider
) -> None:
    presented = await in_django(make_keys_that_may_not_call, world)
    served = await start()
    for sentence, key in presented.items():
        headers = {"authorization": f"Bearer {key}".strip()}
        answer = await served.client.post(PATH, json=chat(), headers=headers)
        error: dict[str, Any] = answer.json()["error"]
        assert answer.status_code == 401
        assert (error["type"], error["code"]) == ("invalid_request_error", "invalid_api_key")
        assert sentence in error["message"]
        assert not key or key[-12:] not in answer.text
    assert provider.received()["total"] == 0


async def test_either_header_will_do_and_two_different_keys_will_not(
    world: World, start: Start, provider: RunningProvider
) -> None:
    other = (await in_django(world.add_key, "other")).plaintext
    served = await start()
    bearer = f"Bearer {world.key}"
    for headers, status in (
        ({"authorization": "", "x-api-key": world.key}, 200),
        ({"authorization": bearer, "x-api-key": world.key}, 200),
        ({"authorization": bearer, "x-api-key": other}, 401),
        ({"authorization": f"Basic {world.key}"}, 401),
    ):
        answer = await served.client.post(PATH, json=chat(), headers=headers)
        assert answer.status_code == status
    assert provider.received()["total"] == 2


async def test_a_key_for_some_models_finds_no_other(world: World, start: Start) -> None:
    key = (await in_django(world.add_key, "some", models=["gpt-4o"])).plaintext
    served = await start()
    assert (await served.post(chat("gpt-4o"), key=key)).status_code == 200
    known = await served.post(chat("demo-echo"), key=key)
    unknown = await served.post(chat("demo-echa"), key=key)
    assert (known.status_code, known.json()["error"]["code"]) == (404, "model_not_found")
    assert (known.json()["error"]["param"], unknown.status_code) == ("model", 404)
    assert (
        known.json()["error"]["message"].replace("echo", "echa")
        == (unknown.json()["error"]["message"])
    )


async def test_a_key_for_other_endpoints_or_networks_is_403(
    world: World, start: Start, provider: RunningProvider
) -> None:
    def add() -> list[str]:
        listing = world.add_key("listing", endpoints=["models"])
        elsewhere = world.add_key("elsewhere", networks=["192.0.2.0/24"])
        return [listing.plaintext, elsewhere.plaintext]

    listing, elsewhere = await in_django(add)
    served = await start()
    for key, code in ((listing, "permission_denied"), (elsewhere, "address_not_allowed")):
        answer = await served.post(chat(), key=key)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, code)
    assert provider.received()["total"] == 0


async def test_both_secrets_of_a_rotated_key_call_as_the_same_key(
    world: World, start: Start
) -> None:
    new = (await in_django(rotate_key, world.issued.key, grace=timedelta(hours=1))).plaintext
    served = await start()
    found = []
    for key in (world.key, new):
        assert (await served.post(chat(), key=key)).status_code == 200
        headers = {"authorization": f"Bearer {key}"}
        found.append((await served.client.get("/v1/me", headers=headers)).json()["id"])
    assert found == [world.issued.key.public_id] * 2
