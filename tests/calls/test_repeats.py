"""A call with an Idempotency-Key is made once, however often it is asked for."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest
from django.db import connection as django_connection

from gateway.models import RepeatableCall
from gateway.repeats import claims, forget_old_calls
from local.provider import RunningProvider
from tests.calls.books import Connection, check_books, window_of
from tests.calls.serving import PATH, Served, in_django, until
from tests.calls.world import CENT, World, chat

pytestmark = pytest.mark.django_db(transaction=True)
Start = Callable[[], Awaitable[Served]]

A_CENT = chat("demo-fixed-100", max_tokens=100)
AWAY = (503, "idempotency_away")


async def post(
    served: Served, body: Any, name: str, *, path: str = PATH, key: str = ""
) -> httpx2.Response:
    """Make a call, again while this machine is too busy to look its key up in time."""
    headers = {"idempotency-key": name}
    if key:
        headers["authorization"] = f"Bearer {key}"
    answer = await served.client.post(path, json=body, headers=headers)
    while answer.status_code == 503:
        assert code(answer) == AWAY
        answer = await served.client.post(path, json=body, headers=headers)
    return answer


def code(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


async def test_a_repeat_of_a_finished_call_gives_its_answer_again_without_a_charge(
    world: World, start: Start, aconn: Connection, provider: RunningProvider
) -> None:
    quota = await in_django(world.add_quota, 10 * CENT)
    served = await start()
    first, *repeats = [await post(served, A_CENT, "order 1") for _ in range(3)]
    assert "idempotent-replayed" not in first.headers
    for repeat in repeats:
        assert (repeat.status_code, repeat.content) == (200, first.content)
        assert repeat.headers["idempotent-replayed"] == "true"
        assert repeat.headers["original-request"] == first.headers["x-request-id"]
        assert repeat.headers["x-request-id"] != first.headers["x-request-id"]
    assert provider.received()["total"] == 1
    await check_books(served, aconn, provider)
    assert (await window_of(aconn, quota.pk))["posted"] == CENT


async def test_any_process_gives_the_answer_again(
    world: World, start: Start, provider: RunningProvider
) -> None:
    served, other = await start(), await start()
    first = await post(served, A_CENT, "order 1")
    assert (await post(other, A_CENT, "order 1")).content == first.content
    assert provider.received()["total"] == 1


async def test_a_spent_budget_does_not_keep_a_repeat_from_its_answer(
    world: World, start: Start
) -> None:
    await in_django(world.add_quota, CENT)
    served = await start()
    first = await post(served, A_CENT, "order 1")
    await served.settled()
    repeat = await post(served, A_CENT, "order 1")
    assert (repeat.status_code, repeat.content) == (200, first.content)


async def test_a_repeat_of_a_running_call_is_told_so_and_finds_the_answer_later(
    world: World, start: Start, provider: RunningProvider
) -> None:
    await in_django(world.add_model, "demo-chunks-100-20")
    slow = chat("demo-chunks-100-20", max_tokens=100)  # Two seconds, for two repeats beside it.
    served, other = await start(), await start()
    first = asyncio.create_task(post(served, slow, "order 1"))
    await until(lambda: served.process.ledger.process.open_holds)
    for repeat in (await post(served, slow, "order 1"), await post(other, slow, "order 1")):
        assert code(repeat) == (409, "idempotency_call_running")
        assert repeat.headers["retry-after"] == "1"
    answer = await first
    assert (await post(other, slow, "order 1")).content == answer.content
    assert provider.received()["total"] == 1


async def test_of_many_at_once_one_is_made(
    world: World, start: Start, provider: RunningProvider
) -> None:
    both = [await start(), await start()]
    answers = await asyncio.gather(*(post(both[n % 2], A_CENT, "order 1") for n in range(12)))
    assert {answer.status_code for answer in answers} <= {200, 409}
    assert len({answer.content for answer in answers if answer.status_code == 200}) == 1
    assert provider.received()["total"] == 1


async def test_another_body_or_endpoint_under_the_same_key_is_refused(
    world: World, start: Start, provider: RunningProvider
) -> None:
    served = await start()
    await post(served, A_CENT, "order 1")
    other = await post(served, {**A_CENT, "max_tokens": 99}, "order 1")
    assert code(other) == (422, "idempotency_key_reused")
    message = await post(served, A_CENT, "order 1", path="/v1/messages")
    assert message.status_code == 422
    assert message.json()["error"]["type"] == "invalid_request_error"
    assert provider.received()["total"] == 1


async def test_messages_are_answered_again_too(
    world: World, start: Start, provider: RunningProvider
) -> None:
    served = await start()
    first, repeat = [await post(served, A_CENT, "message 1", path="/v1/messages") for _ in range(2)]
    assert first.json()["type"] == "message"
    assert repeat.content == first.content
    assert provider.received()["total"] == 1


async def test_the_same_words_of_another_key_are_another_call(world: World, start: Start) -> None:
    other = await in_django(world.add_key, "other")
    served = await start()
    first = await post(served, A_CENT, "order 1")
    second = await post(served, A_CENT, "order 1", key=other.plaintext)
    assert second.status_code == 200
    assert second.headers["x-request-id"] != first.headers["x-request-id"]
    assert "idempotent-replayed" not in second.headers


async def test_a_repeat_of_a_finished_stream_names_the_first_call(
    world: World, start: Start, provider: RunningProvider
) -> None:
    served = await start()
    first = await post(served, {**A_CENT, "stream": True}, "stream 1")
    assert first.text.endswith("data: [DONE]\n\n")
    repeat = await post(served, {**A_CENT, "stream": True}, "stream 1")
    assert code(repeat) == (409, "idempotency_answer_not_kept")
    assert first.headers["x-request-id"] in repeat.json()["error"]["message"]
    assert repeat.headers["x-should-retry"] == "false"
    assert provider.received()["total"] == 1


async def test_a_call_that_failed_is_made_anew(
    world: World, start: Start, provider: RunningProvider
) -> None:
    await in_django(world.add_model, "demo-500")
    await in_django(world.add_quota, CENT)
    served = await start()
    failing = chat("demo-500", max_tokens=1)
    assert (await post(served, failing, "order 1")).status_code == 500
    tries = provider.received()["total"]
    assert (await post(served, failing, "order 1")).status_code == 500
    assert provider.received()["total"] == 2 * tries
    too_dear = chat("demo-fixed-100", max_tokens=101)
    assert [(await post(served, too_dear, "order 2")).status_code for _ in range(2)] == [400, 400]


async def test_an_answer_that_is_too_large_is_not_kept_and_not_made_again(
    world: World, start: Start, provider: RunningProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "LARGEST_ANSWER_BYTES", 50)
    served = await start()
    assert (await post(served, A_CENT, "order 1")).status_code == 200
    assert code(await post(served, A_CENT, "order 1")) == (409, "idempotency_answer_not_kept")
    assert provider.received()["total"] == 1


async def test_what_a_dead_process_had_under_way_is_not_made_again(
    world: World, start: Start, aconn: Connection, provider: RunningProvider
) -> None:
    served = await start()
    await post(served, A_CENT, "order 1")
    await aconn.execute(
        "UPDATE repeatable_call SET state = 'running', answer = NULL, process = gen_random_uuid()"
    )
    assert code(await post(served, A_CENT, "order 1")) == (409, "idempotency_answer_not_kept")
    assert provider.received()["total"] == 1


async def test_after_a_day_a_key_is_new_again(
    world: World, start: Start, aconn: Connection, provider: RunningProvider
) -> None:
    served = await start()
    for words in ("order 1", "order 2"):
        await post(served, A_CENT, words)
    await aconn.execute("UPDATE repeatable_call SET made_at = now() - interval '25 hours'")
    again = await post(served, A_CENT, "order 1")
    assert "idempotent-replayed" not in again.headers
    assert provider.received()["total"] == 3
    assert await in_django(forget_old_calls, django_connection) == 1
    assert (await post(served, A_CENT, "order 1")).headers["idempotent-replayed"] == "true"


async def test_answers_and_keys_lie_sealed(
    world: World, start: Start, provider: RunningProvider
) -> None:
    served = await start()
    words = "order " + secrets.token_hex(8)
    first = await post(served, A_CENT, words)
    row = await in_django(RepeatableCall.objects.get)
    text = first.json()["choices"][0]["message"]["content"].encode()
    stored = b"".join(bytes(part) for part in (row.name, row.request, row.answer or b""))
    assert row.answer
    assert text not in stored
    assert words.encode() not in stored
    assert len(stored) > len(first.content)


async def test_an_answer_that_was_put_in_anothers_place_is_not_given(
    world: World, start: Start
) -> None:
    served = await start()
    for words in ("order 1", "order 2"):
        await post(served, A_CENT, words)

    def swap() -> None:
        one, two = RepeatableCall.objects.order_by("pk")
        RepeatableCall.objects.filter(pk=one.pk).update(answer=two.answer)

    await in_django(swap)
    assert code(await post(served, A_CENT, "order 1")) == (409, "idempotency_answer_not_kept")


@pytest.mark.parametrize("name", ["", "x" * 256])
async def test_a_key_that_is_none_is_refused_by_its_name(
    name: str, world: World, start: Start, provider: RunningProvider
) -> None:
    served = await start()
    answer = await post(served, A_CENT, name)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "Idempotency-Key")
    assert provider.received()["total"] == 0


async def test_without_the_database_no_such_call_is_made_and_others_go_on(
    world: World, start: Start, provider: RunningProvider
) -> None:
    served = await start()
    jobs = served.process.repeats._jobs
    await jobs._idle.wait()
    jobs._database._conninfo = "host=127.0.0.1 port=1 dbname=none"
    jobs._database.drop()
    headers = {"idempotency-key": "order 1"}
    assert code(await served.client.post(PATH, json=A_CENT, headers=headers)) == AWAY
    assert (await served.post(A_CENT)).status_code == 200
    assert provider.received()["total"] == 1
