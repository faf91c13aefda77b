"""Keys and passwords guessed at over real sockets: bounded, cheap, and harmless to who is right."""

from __future__ import annotations

import re

import httpx2
import pytest

from accounts.keys import checksum
from local.provider import RunningProvider
from tests.calls.books import Connection
from tests.calls.serving import Served
from tests.calls.world import World, chat
from tests.parts import Gateway, Parts

CALL = chat(max_tokens=10)
db = pytest.mark.django_db(transaction=True)


def make_guess(number: int, *, prefix: str = "tg", public_id: str = "") -> str:
    """A key of the right form whose checksum is right: only the secret is not."""
    covered = f"{prefix}_{public_id or 'A' * 12}{number:032}"
    return covered + checksum(covered)


@db
async def test_who_guesses_keys_is_told_to_wait_and_good_keys_from_there_pass(
    world: World, served: Served, provider: RunningProvider
) -> None:
    statuses: list[int] = []
    while 429 not in statuses and len(statuses) < 500:
        wrong = make_guess(len(statuses), public_id=world.issued.key.public_id)
        answer = await served.post(CALL, key=wrong)
        statuses.append(answer.status_code)
        assert wrong not in answer.text
    assert statuses[:100] == [401] * 100
    assert answer.status_code == 429
    assert answer.json()["error"]["code"] == "too_many_wrong_keys"
    assert answer.headers["x-should-retry"] == "false"
    assert int(answer.headers["retry-after"]) >= 1
    assert provider.received()["total"] == 0
    for _ in range(20):
        assert (await served.post(CALL)).status_code == 200


@db
async def test_guessing_a_key_asks_the_database_nothing(
    world: World, served: Served, aconn: Connection
) -> None:
    """No look-up could end while these tables are locked."""
    async with aconn.transaction():
        await aconn.execute("LOCK TABLE api_key, api_key_secret IN ACCESS EXCLUSIVE MODE")
        for number in range(50):
            assert (await served.post(CALL, key=make_guess(number))).status_code == 401
        assert (await served.post(CALL)).status_code == 200


def test_who_guesses_management_keys_waits_and_a_key_in_use_does_not(
    parts: Parts, gateway: Gateway, operator: str
) -> None:
    made = parts.manage("issue_management_key", "--by", operator, "--name", "ci", "--plain")
    good = {"authorization": f"Bearer {made.strip()}"}
    with httpx2.Client(base_url=f"{gateway.url}/api/v1") as client:
        assert client.get("/organizations", headers=good).status_code == 200
        statuses: list[int] = []
        # Whoever takes longer for 30 may guess once more every other second.
        while 429 not in statuses and len(statuses) < 200:
            wrong = f"Bearer {make_guess(len(statuses), prefix='tgm')}"
            answer = client.get("/organizations", headers={"authorization": wrong})
            statuses.append(answer.status_code)
        assert statuses[:30] == [401] * 30
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) >= 1
        assert answer.json()["error"]["code"] == "throttled"
        assert client.get("/organizations", headers=good).status_code == 200


def test_who_guesses_passwords_waits(gateway: Gateway, operator: str) -> None:
    with httpx2.Client(base_url=gateway.url, timeout=30) as client:
        page = client.get("/admin/login/")
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
        assert token is not None
        form = {"csrfmiddlewaretoken": token[1], "username": operator, "password": "x"}
        headers = {"referer": gateway.url}
        statuses = [
            client.post("/admin/login/", data=form, headers=headers).status_code for _ in range(20)
        ]
    assert statuses[:15] == [200] * 15
    assert 429 in statuses[15:]
