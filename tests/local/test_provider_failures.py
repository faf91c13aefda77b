"""Every failure of the demo provider as a client's socket sees it, in both dialects."""

import asyncio
import gzip
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

import local.provider
from local.provider import DemoProvider
from local.provider.behaviours import DEMO_MODELS
from local.provider.errors import OPERATOR_TEAM, REFUSALS

KEY = "sk-canary-0123456789abcdefgh"
CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
DONE = b"data: [DONE]"


@pytest.fixture
async def provider() -> AsyncIterator[DemoProvider]:
    async with DemoProvider(pace_seconds=0.001) as running:
        yield running


@pytest.fixture
async def client(provider: DemoProvider) -> AsyncIterator[httpx2.AsyncClient]:
    headers = {
        "authorization": f"Bearer {KEY}",
        "anthropic-version": "2023-06-01",
        "accept-encoding": "identity",
    }
    async with httpx2.AsyncClient(base_url=provider.url, headers=headers) as client:
        yield client


def body(model: str, **more: Any) -> dict[str, Any]:
    said = [{"role": "user", "content": "Hello there"}]
    return {"model": model, "max_tokens": 4096, "messages": said, **more}


async def read(client: httpx2.AsyncClient, model: str, path: str = CHAT, **more: Any) -> bytes:
    """What arrived of the answer, until its end or the connection's."""
    got = b""
    async with client.stream("POST", path, json=body(model, **more)) as response:
        try:
            async for piece in response.aiter_raw():
                got += piece
        except httpx2.NetworkError:
            got += b"<reset>"
    return got


def chunks(got: bytes) -> int:
    return got.count(b'"delta":{"content"') + got.count(b'"text_delta"')


@pytest.mark.parametrize("model", sorted(REFUSALS))
@pytest.mark.parametrize("path", [CHAT, MESSAGES])
async def test_a_refusal_has_its_status_and_the_shape_of_its_path(
    client: httpx2.AsyncClient, model: str, path: str
) -> None:
    response = await client.post(path, json=body(model))
    assert response.status_code == int(model.split("-")[1])
    if not model.endswith("xai"):
        error = response.json()["error"]
        fields = {"type", "message"} if path == MESSAGES else {"message", "type", "param", "code"}
        assert set(error) == fields


async def test_a_429_names_the_team_and_says_when_to_come_back(client: httpx2.AsyncClient) -> None:
    response = await client.post(CHAT, json=body("demo-429"))
    assert (response.headers["retry-after"], response.headers["retry-after-ms"]) == ("2", "1500")
    assert OPERATOR_TEAM in response.text


async def test_a_401_of_openai_shows_part_of_the_key(client: httpx2.AsyncClient) -> None:
    openai = await client.post(CHAT, json=body("demo-401"))
    anthropic = await client.post(MESSAGES, json=body("demo-401"))
    assert (openai.status_code, anthropic.status_code) == (401, 401)
    assert "sk-canar" in openai.text
    assert "sk-canar" not in anthropic.text


@pytest.mark.parametrize("headers", [{"authorization": "Bearer bad"}, {"authorization": ""}])
async def test_a_credential_is_required(
    client: httpx2.AsyncClient, headers: dict[str, str]
) -> None:
    response = await client.post(CHAT, json=body("gpt-4o"), headers=headers)
    assert response.status_code == 401


async def test_the_anthropic_header_is_a_credential_too(client: httpx2.AsyncClient) -> None:
    headers = {"authorization": "", "x-api-key": "anything"}
    assert (await client.post(CHAT, json=body("gpt-4o"), headers=headers)).status_code == 200
    headers["x-api-key"] = "bad"
    assert (await client.post(MESSAGES, json=body("gpt-4o"), headers=headers)).status_code == 401


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"\xff\xfe", b'{"model": 1}', b"[" * 100_000]
)
async def test_a_body_that_is_no_request_is_400(client: httpx2.AsyncClient, content: bytes) -> None:
    assert (await client.post(CHAT, content=content)).status_code == 400


async def test_a_part_of_a_strange_type_does_not_break_the_provider(
    client: httpx2.AsyncClient,
) -> None:
    said = [{"role": "user", "content": [{"type": [], "text": 5}, None, 3]}]
    response = await client.post(CHAT, json=body("gpt-4o", messages=said))
    assert response.json()["usage"]["prompt_tokens"] == 0


async def test_unknown_paths_methods_and_demo_names_are_404(client: httpx2.AsyncClient) -> None:
    assert (await client.post("/v1/nothing", json={})).status_code == 404
    assert (await client.get(CHAT)).status_code == 404
    assert (await client.post(CHAT, json=body("demo-fixd-5"))).status_code == 404


async def test_a_reset_comes_before_any_byte(client: httpx2.AsyncClient) -> None:
    with pytest.raises(httpx2.ReadError):
        await client.post(CHAT, json=body("demo-reset"))


@pytest.mark.parametrize("path", [CHAT, MESSAGES])
async def test_a_stream_is_reset_after_its_chunks(client: httpx2.AsyncClient, path: str) -> None:
    got = await read(client, "demo-reset-midstream-3", path, stream=True)
    assert chunks(got) == 3
    assert got.endswith(b"<reset>")


@pytest.mark.parametrize("path", [CHAT, MESSAGES])
async def test_a_cut_stream_ends_cleanly_without_an_end(
    client: httpx2.AsyncClient, path: str
) -> None:
    got = await read(client, "demo-cut-midstream", path, stream=True)
    assert chunks(got) == 2
    assert not any(end in got for end in (b"<reset>", DONE, b"message_stop", b'"stop"'))


async def test_a_broken_body_is_half_of_it(client: httpx2.AsyncClient) -> None:
    cut = await read(client, "demo-cut-midstream")
    assert cut.startswith(b'{"id":"chatcmpl-')
    with pytest.raises(json.JSONDecodeError):
        json.loads(cut)
    assert (await read(client, "demo-reset-midstream")).endswith(b"<reset>")


async def test_usage_comes_and_done_does_not(client: httpx2.AsyncClient) -> None:
    option = {"include_usage": True}
    openai = await read(client, "demo-no-done", stream=True, stream_options=option)
    anthropic = await read(client, "demo-no-done", MESSAGES, stream=True)
    assert b'"total_tokens"' in openai
    assert DONE not in openai
    assert b"message_delta" in anthropic
    assert b"message_stop" not in anthropic


@pytest.mark.parametrize("path", [CHAT, MESSAGES])
async def test_an_error_event_ends_the_stream(client: httpx2.AsyncClient, path: str) -> None:
    got = await read(client, "demo-error-in-stream-1", path, stream=True)
    last = got.strip().split(b"\n\n")[-1]
    assert chunks(got) == 1
    assert "message" in json.loads(last.split(b"data: ")[1])["error"]
    assert b'"error"' in await read(client, "demo-error-in-stream", path)


@pytest.mark.parametrize("stream", [True, False])
async def test_a_slow_model_waits_as_long_as_its_name_says(
    client: httpx2.AsyncClient, stream: bool
) -> None:
    began = time.monotonic()
    assert b"demo-slow" in await read(client, "demo-slow-150ms", stream=stream)
    assert time.monotonic() - began >= 0.15


@pytest.mark.parametrize("model", ["demo-stall", "demo-hang"])
async def test_a_silent_model_outlasts_its_reader(
    client: httpx2.AsyncClient, provider: DemoProvider, model: str
) -> None:
    patience = httpx2.Timeout(10, read=1.0)  # Time for what it does say, and for its silence.
    with pytest.raises(httpx2.ReadTimeout):
        await client.post(CHAT, json=body(model, stream=True), timeout=patience)
    await provider.received.until(lambda books: books.requests[0].client_gone)
    receipt = provider.received.requests[0]
    assert receipt.chunks_sent == (1 if model == "demo-stall" else 0)


async def test_garbage_and_pages_are_not_json(client: httpx2.AsyncClient) -> None:
    garbage = await client.post(CHAT, json=body("demo-garbage"))
    page = await client.post(CHAT, json=body("demo-html"))
    gateway = await client.post(CHAT, json=body("demo-html-502"))
    assert [r.status_code for r in (garbage, page, gateway)] == [200, 200, 502]
    assert "<h1>" in page.text
    with pytest.raises(json.JSONDecodeError):
        garbage.json()
    assert b"data: {not json" in await read(client, "demo-garbage", stream=True)


async def test_a_redirect_that_is_followed_is_seen(
    client: httpx2.AsyncClient, provider: DemoProvider
) -> None:
    response = await client.post(CHAT, json=body("demo-redirect"))
    assert response.status_code == 302
    assert provider.received.redirects_followed == 0
    await client.post(CHAT, json=body("demo-redirect"), follow_redirects=True)
    assert provider.received.redirects_followed == 1


async def test_gzip_is_sent_unasked(client: httpx2.AsyncClient) -> None:
    assert json.loads(gzip.decompress(await read(client, "demo-gzip")))["choices"]
    assert DONE in gzip.decompress(await read(client, "demo-gzip", stream=True))


async def test_crlf_and_comments_stand_between_events(client: httpx2.AsyncClient) -> None:
    got = await read(client, "demo-crlf", stream=True)
    assert b": comment\r\n\r\ndata: [DONE]\r\n\r\n" in got
    assert got.count(b"\n") == got.count(b"\r\n")


@pytest.mark.parametrize("stream", [True, False])
async def test_a_character_is_cut_between_two_reads(
    client: httpx2.AsyncClient, stream: bool
) -> None:
    pieces = []
    request = body("demo-split-utf8", stream=stream)
    async with client.stream("POST", CHAT, json=request) as response:
        async for piece in response.aiter_raw():
            pieces.append(piece)
    assert "Kö" in b"".join(pieces).decode()
    with pytest.raises(UnicodeDecodeError):
        "".join(piece.decode() for piece in pieces)


async def test_a_big_event_has_a_mebibyte(client: httpx2.AsyncClient) -> None:
    got = await read(client, "demo-big-event", stream=True, max_tokens=None)
    assert max(map(len, got.split(b"\n\n"))) > 2**20
    assert chunks(got) == 1


async def test_chunks_come_in_the_number_and_time_of_the_name(client: httpx2.AsyncClient) -> None:
    began = time.monotonic()
    assert chunks(await read(client, "demo-chunks-5-20", stream=True)) == 5
    assert time.monotonic() - began >= 0.1
    assert chunks(await read(client, "bench-chunks-7-0", stream=True)) == 7


async def test_an_echo_shows_what_was_sent(client: httpx2.AsyncClient) -> None:
    response = await client.post(f"{CHAT}?beta=true", json=body("demo-echo"))
    heard = json.loads(response.json()["choices"][0]["message"]["content"])
    assert heard["headers"]["authorization"] == f"Bearer {KEY}"
    assert (heard["path"], heard["query"]) == (CHAT, "beta=true")
    assert heard["body"] == response.request.content.decode()


async def test_answers_carry_headers_that_name_the_operator(client: httpx2.AsyncClient) -> None:
    response = await client.post(CHAT, json=body("gpt-4o"))
    names = {"x-request-id", "request-id", "openai-organization", "set-cookie"}
    assert names <= set(response.headers)


async def test_pipelined_requests_are_answered_in_order(provider: DemoProvider) -> None:
    reader, writer = await asyncio.open_connection(provider.host, provider.port)
    writer.write(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\nGET /nothing HTTP/1.1\r\n\r\n")
    first = await reader.readuntil(b'{"status":"ok"}')
    assert first.startswith(b"HTTP/1.1 200 OK")
    assert (await reader.readline()).startswith(b"HTTP/1.1 404")
    writer.close()


async def test_what_is_no_http_is_400_and_the_connection_ends(provider: DemoProvider) -> None:
    reader, writer = await asyncio.open_connection(provider.host, provider.port)
    writer.write(b"hello\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.1 400")
    writer.close()


def test_the_docstring_lists_every_model() -> None:
    written = " ".join((local.provider.__doc__ or "").split())
    assert [m for m, does in DEMO_MODELS.items() if f"{m} {does}" not in written] == []


@pytest.mark.parametrize("model", sorted(DEMO_MODELS))
async def test_every_model_of_the_table_is_counted_once(
    client: httpx2.AsyncClient, provider: DemoProvider, model: str
) -> None:
    try:
        await client.post(CHAT, json=body(model, stream=True), timeout=httpx2.Timeout(10, read=0.3))
    except httpx2.HTTPError:
        pass
    assert provider.received.by_model == {model: 1}
