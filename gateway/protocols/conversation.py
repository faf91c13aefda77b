"""What is asked and what is answered, in the one form that translation goes through. Values only.

A dialect reads its requests and answers into this form and writes it out again; none knows of
another. What two dialects have in common stands here, in the words of neither: what has no place
here is not carried, and docs/protocols.md says what becomes of it.
"""

from __future__ import annotations

import enum
from typing import Any, Protocol

import msgspec

from billing.usage import Usage
from gateway.errors import UpstreamError
from gateway.protocols.form import Request


class Untranslatable(ValueError):
    """An answer holds nothing that could be told in another dialect; the message says why."""


class Role(enum.Enum):
    USER = "user"
    ASSISTANT = "assistant"


class Text(msgspec.Struct, frozen=True):
    text: str


class Image(msgspec.Struct, frozen=True, kw_only=True):
    """Base64 `data` of a `media_type`, or else a `url`. `field` is where the request had it."""

    field: str
    media_type: str = ""
    data: str = ""
    url: str = ""


class File(msgspec.Struct, frozen=True, kw_only=True):
    """Base64 `data` of a `media_type`, or else a `url`. A file of plain text is a Text."""

    field: str
    name: str = ""
    media_type: str = ""
    data: str = ""
    url: str = ""


class ToolCall(msgspec.Struct, frozen=True):
    """The model's wish to use a tool; `arguments` is JSON, or '' for none."""

    id: str
    name: str
    arguments: str


class ToolResult(msgspec.Struct, frozen=True):
    call_id: str
    parts: tuple[Text | Image | File, ...]
    is_error: bool = False


class Thinking(msgspec.Struct, frozen=True):
    text: str
    signature: str = ""


class Refusal(msgspec.Struct, frozen=True):
    text: str


Asked = Text | Image | File | ToolCall | ToolResult
Answered = Text | Thinking | Refusal | ToolCall


class Turn(msgspec.Struct, frozen=True):
    role: Role
    parts: tuple[Asked, ...]


class Tool(msgspec.Struct, frozen=True, kw_only=True):
    """A function that the caller runs. `schema` is JSON Schema of its arguments."""

    name: str
    description: str | None = None
    schema: dict[str, Any] = msgspec.field(default_factory=dict)
    strict: bool | None = None


class Choice(enum.Enum):
    """Whether the model may, may not or must use tools; NAMED: the one that is named."""

    AUTO = "auto"
    NONE = "none"
    REQUIRED = "required"
    NAMED = "named"


class Format(msgspec.Struct, frozen=True):
    """The answer has to be JSON: by a schema, or any object where there is none."""

    schema: dict[str, Any] | None = None
    name: str = "answer"
    strict: bool | None = None


class Conversation(msgspec.Struct, frozen=True, kw_only=True):
    """What a call asks. None and () stand for what was not said.

    `effort` is how much the model should think: none, minimal, low, medium, high, xhigh or max.
    """

    system: tuple[str, ...] = ()
    turns: tuple[Turn, ...] = ()
    tools: tuple[Tool, ...] = ()
    choice: Choice | None = None
    chosen: str = ""
    is_parallel: bool | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    user: str | None = None
    format: Format | None = None
    effort: str | None = None


class Stop(enum.Enum):
    """Why an answer ended."""

    END = "end"
    STOP_SEQUENCE = "stop_sequence"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    REFUSAL = "refusal"


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """A whole answer."""

    parts: tuple[Answered, ...]
    stop: Stop
    stop_sequence: str | None = None


class TextDelta(msgspec.Struct, frozen=True):
    text: str


class ThinkingDelta(msgspec.Struct, frozen=True):
    text: str


class SignatureDelta(msgspec.Struct, frozen=True):
    """Proves the thinking before it; providers take their own thinking back with it only."""

    signature: str


class RefusalDelta(msgspec.Struct, frozen=True):
    text: str


class CallBegun(msgspec.Struct, frozen=True):
    """Calls are counted from 0; fragments of several may come interleaved."""

    call: int
    id: str
    name: str


class CallDelta(msgspec.Struct, frozen=True):
    call: int
    fragment: str


class Finished(msgspec.Struct, frozen=True):
    """The answer is over; only usage may follow."""

    stop: Stop
    stop_sequence: str | None = None


Event = TextDelta | ThinkingDelta | SignatureDelta | RefusalDelta | CallBegun | CallDelta | Finished


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """What every translated answer bears: the call's id, the public model, Unix seconds."""

    call_id: str
    model: str
    created: int
    request: Request


class EventReader(Protocol):
    """Reads a provider's stream, which is known to be well-formed, event by event."""

    def read(self, data: bytes) -> list[Event]:
        """Return what an event's data means; raise Untranslatable where that cannot be told."""


class EventWriter(Protocol):
    """Writes a stream for the caller."""

    def begin(self, usage: Usage | None) -> bytes:
        """The events before all others; `usage` as far as the provider told it beforehand."""

    def write(self, event: Event) -> bytes: ...

    def end(self, usage: Usage | None) -> bytes:
        """Everything after the last event of a whole answer."""

    def fail(self, error: UpstreamError) -> bytes:
        """The end of an answer that broke off, which no client takes for a whole one."""
