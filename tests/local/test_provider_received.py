"""The demo provider's books, and its life in a thread, in a process and on the command line."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from typing import Any

import httpx2
import pytest

from local.provider import DemoProvider, start_as_process, start_in_thread

CHAT = "/v1/chat/completions"
COMMAND = [sys.executable, "-m", "local.provider", "--port"]


@pytest.fixture
async def provider() -> AsyncIterator[DemoProvider]:
    async with DemoProvider(pace_seconds=0.01) as running:
        yield running


@pytest.fixture
async def client(provider: DemoProvider) -> AsyncIterator[httpx2.AsyncClient]:
    headers = {"authorization": "Bearer sk-demo"}
    async with httpx2.AsyncClient(base_url=provider.url, headers=headers) as client:
        yield client


def body(model: str, **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": "Hello there"}], **more}


async def test_a_receipt_matches_the_answer(client: httpx2.AsyncClient) -> None:
    headers = {"x-request-id": "call-7"}
    answer = await client.post(CHAT, json=body("gpt-4o"), headers=headers)
    books = (await client.get("/__received")).json()
    (receipt,) = books["requests"]
    assert (books["total"], books["by_model"]) == (1, {"gpt-4o": 1})
    assert (receipt["id"], receipt["call_id"]) == (answer.json()["id"], "call-7")
    assert receipt["request_id"] == answer.headers["x-request-id"]
    assert receipt["usage"] == answer.json()["usage"]
    assert (receipt["finished"], receipt["status"], receipt["stream"]) == (True, 200, False)
    assert receipt["bytes"] == len(answer.request.content)


async def test_a_finished_stream_has_its_usage_on_the_receipt(
    client: httpx2.AsyncClient, provider: DemoProvider
) -> None:
    option = {"include_usage": True}
    await client.post(CHAT, json=body("demo-fixed-12", stream=True, stream_options=option))
    receipt = provider.received.requests[0]
    assert (receipt.chunks_sent, receipt.finished) == (12, True)
    assert receipt.usage["completion_tokens"] == 12


async def test_a_hang_up_is_seen_with_the_chunks_sent_so_far(
    client: httpx2.AsyncClient, provider: DemoProvider
) -> None:
    request = body("demo-chunks-500-5", stream=True)
    async with client.stream("POST", CHAT, json=request) as response:
        async for piece in response.aiter_raw():
            if b"chunk " in piece:
                break
    await provider.received.until(lambda books: books.requests[0].client_gone)
    receipt = provider.received.requests[0]
    assert 1 <= receipt.chunks_sent < 500
    assert (receipt.finished, receipt.usage) == (False, None)


async def test_what_the_provider_breaks_off_is_no_hang_up(
    client: httpx2.AsyncClient, provider: DemoProvider
) -> None:
    with pytest.raises(httpx2.NetworkError):
        await client.post(CHAT, json=body("demo-reset-midstream-4", stream=True))
    receipt = provider.received.requests[0]
    assert (receipt.chunks_sent, receipt.client_gone, receipt.finished) == (4, False, False)


async def test_a_request_whose_body_never_came_is_not_counted(provider: DemoProvider) -> None:
    _, writer = await asyncio.open_connection(provider.host, provider.port)
    writer.write(b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: 99\r\n\r\nhalf")
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    assert provider.received.total == 0


async def test_refused_requests_count_and_other_paths_do_not(
    client: httpx2.AsyncClient, provider: DemoProvider
) -> None:
    await client.post(CHAT, json=body("gpt-4o"), headers={"authorization": "Bearer bad"})
    await client.post(CHAT, content=b"{")
    await client.get("/v1/models")
    await client.get("/healthz")
    assert provider.received.total == 2
    assert [receipt.status for receipt in provider.received.requests] == [401, 400]


async def test_the_books_are_emptied(client: httpx2.AsyncClient, provider: DemoProvider) -> None:
    await client.post(CHAT, json=body("gpt-4o"))
    await client.delete("/__received")
    assert provider.received.snapshot() == {
        "total": 0,
        "by_model": {},
        "redirects_followed": 0,
        "requests": [],
    }


async def test_two_hundred_calls_at_once_have_two_hundred_receipts(
    client: httpx2.AsyncClient, provider: DemoProvider
) -> None:
    answers = await asyncio.gather(
        *(client.post(CHAT, json=body("gpt-4o"), timeout=30) for _ in range(200))
    )
    given = {answer.json()["id"] for answer in answers}
    assert given == {receipt.id for receipt in provider.received.requests}
    assert len(given) == 200


async def test_a_reader_that_stops_holds_the_stream_back(provider: DemoProvider) -> None:
    request = b'{"model": "demo-big-event-24", "messages": [{"role": "user"}], "stream": true}'
    head = b"POST %b HTTP/1.1\r\nauthorization: Bearer x\r\ncontent-length: %d\r\n\r\n"
    _, writer = await asyncio.open_connection(provider.host, provider.port, limit=1024)
    writer.write(head % (CHAT.encode(), len(request)) + request)
    await provider.received.until(lambda books: books.total and books.requests[0].status == 200)
    assert not provider.received.requests[0].finished
    writer.close()
    await provider.received.until(lambda books: books.requests[0].client_gone)


def test_a_provider_in_a_thread_is_stopped_for_good() -> None:
    with start_in_thread() as running:
        assert running.received()["total"] == 0
        running.reset_received()
        port = int(running.url.rsplit(":", 1)[1])
    assert is_free(port)


def test_a_provider_in_a_process_ends_with_its_block() -> None:
    with start_as_process() as running:
        assert running.received()["requests"] == []
        assert running.pid is not None
    with pytest.raises(ProcessLookupError):
        os.kill(running.pid, 0)


def test_a_provider_ends_when_its_parent_is_gone() -> None:
    command = [*COMMAND, "0", "--until-input-closes"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"Demo provider on http://127.0.0.1:")
        process.stdin.close()
        assert process.wait(timeout=10) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_ends_cleanly_on_a_signal(number: signal.Signals) -> None:
    with subprocess.Popen([*COMMAND, "0"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(number)
        assert process.wait(timeout=10) == 0


def test_a_taken_port_is_one_sentence() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        command = [*COMMAND, str(port)]
        ended = subprocess.run(command, check=False, capture_output=True, text=True, timeout=20)
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"The demo provider cannot listen on 127.0.0.1:{port}: ")


def is_free(port: int) -> bool:
    with closing(socket.socket()) as trying:
        return trying.connect_ex(("127.0.0.1", port)) != 0
