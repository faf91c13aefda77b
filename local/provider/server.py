"""The demo provider's server: which path is which endpoint, and the story of one request.

Path alone decides the dialect. Every request to an endpoint is counted as soon
as its body is complete, before anything can refuse it.
"""

import asyncio
import secrets
from collections.abc import Callable, Coroutine
from itertools import count
from typing import Any, NamedTuple, Self

import msgspec

from local.provider import chat, completions, messages, responses
from local.provider.behaviours import find_behaviour
from local.provider.bench import InstantAnswers
from local.provider.caching import PromptCache
from local.provider.connection import Connection, Exchange
from local.provider.delivery import deliver
from local.provider.errors import (
    OPERATOR_ORGANIZATION,
    Dialect,
    Refused,
    bad_credential,
    invalid,
    unknown_model,
)
from local.provider.failures import find_failure, read_credential, refuse
from local.provider.fields import Call
from local.provider.frames import Reply, encode
from local.provider.listing import list_models, show_model
from local.provider.received import Receipt, Received
from local.provider.tokens import Json

DEFAULT_PACE_SECONDS = 0.02
BAD_CREDENTIAL = "bad"

Work = Coroutine[Any, Any, None] | None


class Endpoint(NamedTuple):
    dialect: Dialect
    answer: Callable[[Call], Reply]


ENDPOINTS = {
    b"/v1/chat/completions": Endpoint(Dialect.OPENAI, chat.answer),
    b"/v1/completions": Endpoint(Dialect.OPENAI, completions.answer_completion),
    b"/v1/embeddings": Endpoint(Dialect.OPENAI, completions.answer_embedding),
    b"/v1/responses": Endpoint(Dialect.OPENAI, responses.answer),
    b"/v1/messages": Endpoint(Dialect.ANTHROPIC, messages.answer),
    b"/v1/messages/count_tokens": Endpoint(Dialect.ANTHROPIC, messages.answer_count),
}


class DemoProvider:
    """A provider on a socket of its own, in the running loop.

    `async with DemoProvider() as provider:` listens on a free port of 127.0.0.1;
    `provider.url` has no path (OpenAI's clients want `url + "/v1"`), and
    `provider.received` are its books. `pace_seconds` lies between two chunks of
    a stream whose model does not say otherwise.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        pace_seconds: float = DEFAULT_PACE_SECONDS,
    ) -> None:
        self.host = host
        self.port = port
        self.pace_seconds = pace_seconds
        self.received = Received()
        self._prompt_cache = PromptCache()
        self._instant = InstantAnswers()
        self._connections: set[Connection] = set()
        self._server: asyncio.Server | None = None
        self._numbers = count()
        self._token_prefix = secrets.token_hex(6)

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen. Raises OSError when the port is taken."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Connection(self._handle, self._connections),
            self.host,
            self.port,
            backlog=2048,
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening and break off every connection."""
        if self._server is not None:
            self._server.close()
        for connection in tuple(self._connections):
            connection.abort()
        if self._server is not None:
            await self._server.wait_closed()

    def reset_received(self) -> None:
        """Empty the books and the prompt cache."""
        self.received.reset()
        self._prompt_cache.clear()

    def _handle(self, exchange: Exchange) -> Work:
        request = exchange.request
        token = f"{self._token_prefix}{next(self._numbers):012x}"
        exchange.common_headers = _write_common_headers(token)
        endpoint = ENDPOINTS.get(request.path) if request.method == b"POST" else None
        if endpoint is None:
            return self._answer_other(exchange, token)
        receipt = exchange.receipt = self.received.note(request, f"req_{token}")
        try:
            return self._answer(exchange, endpoint, receipt, token)
        except Refused as refused:
            refuse(exchange, refused, endpoint.dialect, f"req_{token}")
            return None

    def _answer(self, exchange: Exchange, endpoint: Endpoint, receipt: Receipt, token: str) -> Work:
        call = self._read_call(exchange, endpoint.dialect, receipt, token)
        failure = find_failure(call.behaviour.base)
        if failure is not None:
            return failure(exchange, call, endpoint.dialect)
        if call.behaviour.base.startswith("bench-"):
            reply = self._instant.answer(call, endpoint.answer)
        else:
            reply = endpoint.answer(call)
        receipt.id = reply.id or None
        return deliver(
            exchange,
            reply,
            behaviour=call.behaviour,
            dialect=endpoint.dialect,
            pace_seconds=self.pace_seconds,
        )

    def _read_call(
        self, exchange: Exchange, dialect: Dialect, receipt: Receipt, token: str
    ) -> Call:
        """The request as a call; refuses a credential, a body or a model that will not do."""
        request = exchange.request
        _check_credential(request.headers, dialect)
        body = _read_body(request.body)
        model = body.get("model")
        if not isinstance(model, str) or not model:
            raise invalid("model", "you must provide a model parameter")
        self.received.name_model(receipt, model, stream=body.get("stream") is True)
        behaviour = find_behaviour(model)
        if behaviour is None:
            raise unknown_model(model)
        return Call(
            body=body,
            model=model,
            behaviour=behaviour,
            request=request,
            token=token,
            prompt_cache=self._prompt_cache,
        )

    def _answer_other(self, exchange: Exchange, token: str) -> Work:
        """What is no call of a model: health, the list of models, the books."""
        try:
            exchange.answer(200, encode(self._find_other(exchange)))
        except Refused as refused:
            anthropic = exchange.request.path.startswith(b"/v1/messages")
            dialect = Dialect.ANTHROPIC if anthropic else Dialect.OPENAI
            refuse(exchange, refused, dialect, f"req_{token}")
        return None

    def _find_other(self, exchange: Exchange) -> Json:
        request = exchange.request
        path = request.path.decode("latin-1")
        match request.method, path:
            case b"GET", "/healthz":
                return {"status": "ok"}
            case b"GET", "/__received":
                return self.received.snapshot()
            case b"DELETE", "/__received":
                self.reset_received()
                return {"total": 0}
            case _, "/__redirected":
                self.received.redirects_followed += 1
                return {"redirected": True}
        if request.method == b"GET" and path.startswith("/v1/models"):
            _check_credential(request.headers, Dialect.OPENAI)
            name = path.removeprefix("/v1/models").strip("/")
            return show_model(name) if name else list_models()
        raise Refused(404, f"Unknown request URL: {path}.", code="unknown_url")


def _check_credential(headers: dict[bytes, bytes], dialect: Dialect) -> None:
    credential = read_credential(headers)
    if credential in ("", BAD_CREDENTIAL):
        raise bad_credential(credential, dialect)


def _read_body(body: bytes) -> Json:
    try:
        decoded = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise Refused(400, "We could not parse the JSON body of your request.") from error
    if not isinstance(decoded, dict):
        raise Refused(400, "The body of your request must be a JSON object.")
    return decoded


def _write_common_headers(token: str) -> bytes:
    """The headers that real providers add, and that tell too much about the operator."""
    return (
        f"x-request-id: req_{token}\r\nrequest-id: req_{token}\r\n"
        f"openai-organization: {OPERATOR_ORGANIZATION}\r\nopenai-processing-ms: 1\r\n"
        "server: demo\r\nset-cookie: __cf_bm=operator; path=/; HttpOnly\r\n"
    ).encode()
