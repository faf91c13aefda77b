"""An answer as it goes to the wire: one JSON body, or the events of a stream.

Endpoints write a `Reply`; delivery sends it, breaks it off or bends it. A frame
says what it is for, so that no failure has to parse what an endpoint wrote.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

import msgspec

from local.provider.behaviours import Behaviour
from local.provider.tokens import Json

encode = msgspec.json.Encoder().encode


class Kind(Enum):
    OPEN = "open"
    CONTENT = "content"  # One chunk of the answer: counted and paced.
    CLOSE = "close"
    USAGE = "usage"  # Carries the final usage.
    DONE = "done"


class Frame(NamedTuple):
    data: bytes
    kind: Kind
    usage: Json | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What an endpoint answers: `frames` for a stream, else `body`; `usage` as the body says it."""

    id: str
    body: bytes = b""
    frames: list[Frame] | None = None
    usage: Any = None


def data_frame(payload: Json, kind: Kind) -> Frame:
    """An event as OpenAI's chat streams write it, without an event line."""
    return Frame(b"data: " + encode(payload) + b"\n\n", kind, _usage_in(payload))


def event_frame(payload: Json, kind: Kind) -> Frame:
    """An event whose event line repeats the type that stands in its data."""
    data = b"event: %b\ndata: %b\n\n" % (payload["type"].encode(), encode(payload))
    return Frame(data, kind, _usage_in(payload))


def _usage_in(payload: Json) -> Json | None:
    for place in (payload, payload.get("message"), payload.get("response")):
        if isinstance(place, dict) and isinstance(place.get("usage"), dict):
            usage: Json = place["usage"]
            return usage
    return None


DONE = Frame(b"data: [DONE]\n\n", Kind.DONE)


def write_body(behaviour: Behaviour, payload: Json) -> bytes:
    """The JSON of an answer; a body of demo-usage-twice names its usage twice."""
    body = encode(payload)
    if behaviour.base == "demo-usage-twice" and "usage" in payload:
        return body[:-1] + b',"usage":' + encode(payload["usage"]) + b"}"
    return body


def keep_chunks(frames: Iterable[Frame], count: int) -> list[Frame]:
    """The frames up to and with the chunk number `count`, or up to the last chunk."""
    frames = list(frames)
    chunks = [place for place, frame in enumerate(frames) if frame.kind is Kind.CONTENT]
    if count <= 0 or not chunks:
        return frames[: chunks[0]] if chunks else frames[:1]
    return frames[: chunks[min(count, len(chunks)) - 1] + 1]
