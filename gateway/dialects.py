"""The endpoints that calls can be made at, and how the calls of each reach which providers.

One table: an endpoint's dialect, and for every kind of provider a passage. docs/protocols.md shows
it to people.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from gateway.passages import (
    NO_NAMES,
    CallersSide,
    Pairs,
    Passage,
    Passing,
    ProvidersSide,
    Speech,
    Translating,
)
from gateway.protocols import (
    anthropic_messages,
    openai_chat,
    openai_completions,
    openai_embeddings,
    openai_responses,
)
from gateway.protocols.form import Answer, Request
from gateway.protocols.parts import long_names

# Kinds of routes: a protocol, one with an endpoint that not all who speak it have, or that alone.
OPENAI = "openai"
OPENAI_RESPONSES = "openai+responses"
ONLY_RESPONSES = "openai+only-responses"
ANTHROPIC = "anthropic"


class Dialect(NamedTuple):
    """What an endpoint's callers speak: `protocol` and `endpoint` are what events carry, the latter
    also what keys may be restricted to. `passages` are by the kind of route.

    `answer_here` answers where no provider of the model has the endpoint.
    """

    protocol: str
    endpoint: str
    read_request: Callable[[bytes], Request]
    passages: Mapping[str, Passage]
    answer_here: Callable[[Any], bytes] | None = None


def kind_of(protocol: str, *, responses: bool, only_responses: bool) -> str:
    """Return the kind of a route: its provider's, and whether the model has Responses alone."""
    if protocol == OPENAI and only_responses:
        return ONLY_RESPONSES
    return OPENAI_RESPONSES if protocol == OPENAI and responses else protocol


def _authorize_openai(credential: str) -> Pairs:
    return [(b"authorization", f"Bearer {credential}".encode())]


def _authorize_anthropic(credential: str) -> Pairs:
    return [(b"x-api-key", credential.encode())]


def _write_openai_headers(sent: Mapping[bytes, bytes], context_window: int) -> Pairs:
    return list(sent.items())


def _openai(path: str, read_answer: Callable[[bytes], Answer], stream: Any) -> Speech:
    forwards = frozenset({b"openai-beta"})
    return Speech(path, forwards, _authorize_openai, _write_openai_headers, read_answer, stream)


def _anthropic(path: str, read_answer: Callable[[bytes], Answer], stream: Any) -> Speech:
    return Speech(
        path,
        anthropic_messages.FORWARDED,
        _authorize_anthropic,
        anthropic_messages.write_headers,
        read_answer,
        stream,
        anthropic_messages.QUERIES,
    )


_CHAT = _openai("/chat/completions", openai_chat.read_answer, openai_chat.ChatStream)
_RESPONSES = _openai(
    "/responses", openai_responses.read_answer, openai_responses.ResponsesStream
)._replace(least_cap=openai_responses.LEAST_CAP)
_MESSAGES = _anthropic(
    "/v1/messages", anthropic_messages.read_answer, anthropic_messages.MessagesStream
)

_CHAT_PROVIDERS = ProvidersSide(
    speech=_CHAT,
    write_conversation=openai_chat.write_conversation,
    read_reply=openai_chat.read_reply,
    reader=openai_chat.ChatEventReader,
    long_names=long_names,
    headers=(),
)
_RESPONSES_PROVIDERS = ProvidersSide(
    speech=_RESPONSES,
    write_conversation=openai_responses.write_conversation,
    read_reply=openai_responses.read_reply,
    reader=openai_responses.ResponsesEventReader,
    long_names=long_names,
    headers=(),
)
_MESSAGES_PROVIDERS = ProvidersSide(
    speech=_MESSAGES,
    write_conversation=anthropic_messages.write_conversation,
    read_reply=anthropic_messages.read_reply,
    reader=anthropic_messages.MessagesEventReader,
    long_names=lambda conversation: NO_NAMES,
    headers=[(b"anthropic-version", anthropic_messages.DEFAULT_VERSION.encode())],
)

_CHAT_CALLERS = CallersSide(
    openai_chat.read_conversation, openai_chat.write_reply, openai_chat.ChatEventWriter
)
_MESSAGES_CALLERS = CallersSide(
    anthropic_messages.read_conversation,
    anthropic_messages.write_reply,
    anthropic_messages.MessagesEventWriter,
)
_RESPONSES_CALLERS = CallersSide(
    openai_responses.read_conversation,
    openai_responses.write_reply,
    openai_responses.ResponsesEventWriter,
)
_COMPLETION_CALLERS = CallersSide(
    openai_completions.read_conversation,
    openai_completions.write_reply,
    openai_completions.CompletionEventWriter,
)

CHAT_COMPLETIONS = Dialect(
    protocol=OPENAI,
    endpoint="chat.completions",
    read_request=openai_chat.read_request,
    passages={
        OPENAI: Passing(_CHAT, openai_chat.write_request),
        OPENAI_RESPONSES: Passing(_CHAT, openai_chat.write_request),
        ONLY_RESPONSES: Translating(_CHAT_CALLERS, _RESPONSES_PROVIDERS),
        ANTHROPIC: Translating(_CHAT_CALLERS, _MESSAGES_PROVIDERS),
    },
)
_RESPONSES_PASS = Passing(_RESPONSES, openai_responses.write_request)
RESPONSES = Dialect(
    protocol=OPENAI,
    endpoint="responses",
    read_request=openai_responses.read_request,
    passages={
        OPENAI: Translating(_RESPONSES_CALLERS, _CHAT_PROVIDERS),
        OPENAI_RESPONSES: _RESPONSES_PASS,
        ONLY_RESPONSES: _RESPONSES_PASS,
        ANTHROPIC: Translating(_RESPONSES_CALLERS, _MESSAGES_PROVIDERS),
    },
)
_COMPLETIONS_PASS = Passing(
    _openai("/completions", openai_chat.read_answer, openai_chat.ChatStream),
    openai_completions.write_request,
)
COMPLETIONS = Dialect(
    protocol=OPENAI,
    endpoint="completions",
    read_request=openai_completions.read_request,
    passages={
        OPENAI: _COMPLETIONS_PASS,
        OPENAI_RESPONSES: _COMPLETIONS_PASS,
        ONLY_RESPONSES: Translating(_COMPLETION_CALLERS, _RESPONSES_PROVIDERS),
        ANTHROPIC: Translating(_COMPLETION_CALLERS, _MESSAGES_PROVIDERS),
    },
)
_EMBEDDINGS_PASS = Passing(
    _openai("/embeddings", openai_embeddings.read_answer, None), openai_embeddings.write_request
)
EMBEDDINGS = Dialect(
    protocol=OPENAI,
    endpoint="embeddings",
    read_request=openai_embeddings.read_request,
    passages={OPENAI: _EMBEDDINGS_PASS, OPENAI_RESPONSES: _EMBEDDINGS_PASS},
)
MESSAGES = Dialect(
    protocol=ANTHROPIC,
    endpoint="messages",
    read_request=anthropic_messages.read_request,
    passages={
        OPENAI: Translating(_MESSAGES_CALLERS, _CHAT_PROVIDERS),
        OPENAI_RESPONSES: Translating(_MESSAGES_CALLERS, _CHAT_PROVIDERS),
        ONLY_RESPONSES: Translating(_MESSAGES_CALLERS, _RESPONSES_PROVIDERS),
        ANTHROPIC: Passing(_MESSAGES, anthropic_messages.write_request),
    },
)


def _estimate(request: anthropic_messages.CountRequest) -> bytes:
    return msgspec.json.encode({"input_tokens": anthropic_messages.estimate_tokens(request)})


COUNT_TOKENS = Dialect(
    protocol=ANTHROPIC,
    endpoint="messages.count_tokens",
    read_request=anthropic_messages.read_count_request,
    passages={
        ANTHROPIC: Passing(
            _anthropic("/v1/messages/count_tokens", anthropic_messages.read_counted, None),
            anthropic_messages.write_count_request,
        )
    },
    answer_here=_estimate,
)
