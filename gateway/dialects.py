"""The wire formats that calls can be made in, each as one value that the path of a call uses."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from gateway.errors import GatewayError, UpstreamError, openai_body
from gateway.protocols import openai_chat
from gateway.protocols.form import Answer, Metered, Request


class StreamReader(Protocol):
    """What relaying needs of a stream in any dialect; openai_chat.ChatStream documents it."""

    @property
    def ended(self) -> bool: ...
    @property
    def ending(self) -> bytes: ...
    @property
    def is_complete(self) -> bool: ...
    @property
    def has_finished(self) -> bool: ...
    @property
    def error(self) -> UpstreamError | None: ...
    @property
    def upstream_id(self) -> str: ...
    @property
    def has_reasoned(self) -> bool: ...
    @property
    def output_bytes(self) -> int: ...
    @property
    def metered(self) -> Metered: ...

    def feed(self, data: bytes) -> bytes: ...

    def close(self, error: UpstreamError | None = None) -> bytes: ...


class Dialect(NamedTuple):
    """`protocol` names the providers whose bytes can pass; `path` is appended to their base URL.
    `endpoint` is what keys may be restricted to and what events carry."""

    protocol: str
    endpoint: str
    path: str
    read_request: Callable[[bytes], Request]
    write_request: Callable[..., bytes]
    read_answer: Callable[[bytes], Answer]
    open_stream: Callable[..., StreamReader]
    error_body: Callable[[GatewayError, str], bytes]


OPENAI_CHAT = Dialect(
    protocol="openai",
    endpoint="chat.completions",
    path="/chat/completions",
    read_request=openai_chat.read_request,
    write_request=openai_chat.write_request,
    read_answer=openai_chat.read_answer,
    open_stream=openai_chat.ChatStream,
    error_body=openai_body,
)
