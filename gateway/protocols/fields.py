"""Fields that requests of every dialect have, and how they are checked. Pure."""

from __future__ import annotations

import re
from typing import Annotated

import msgspec

from billing.usage import INT64_MAX
from gateway.errors import BadRequest
from gateway.protocols.body import Members

MAX_ANSWERS = 128
# Far above any context window: a larger cap is a mistake, and OpenAI refuses it as well.
MAX_OUTPUT_CAP = 10_000_000
MAX_TAG_LENGTH = 200
MAX_TAGS = 16

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Cap = Annotated[int, msgspec.Meta(ge=1, le=MAX_OUTPUT_CAP)]
AnswerCount = Annotated[int, msgspec.Meta(ge=1, le=MAX_ANSWERS)]
Int64 = Annotated[int, msgspec.Meta(ge=-INT64_MAX - 1, le=INT64_MAX)]

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_object = msgspec.json.Decoder(Members)
_text = msgspec.json.Decoder(str)


def check_model_name(name: str) -> None:
    """Raise BadRequest for a name that no model can have and no header can carry."""
    if not name.isprintable() and _CONTROL.search(name):
        raise BadRequest("'model' holds a control character.", "model")


def read_tags(metadata: msgspec.Raw, **named: str | None) -> dict[str, str]:
    """Return `named` and the text values of `metadata`, where they can be tags of the event."""
    found = {name: text for name, text in named.items() if text is not None}
    if metadata and memoryview(metadata)[0] == ord("{"):
        for name, raw in _object.decode(metadata).items():
            if memoryview(raw)[0] == ord('"'):
                found.setdefault(name, _text.decode(raw))
    tags = {name: text for name, text in found.items() if is_tag(name) and is_tag(text)}
    return dict(list(tags.items())[:MAX_TAGS])


def read_tag_header(text: str, header: str) -> dict[str, str]:
    """Read `name=value, name=value`. Raises BadRequest for what is none, or too many."""
    found: dict[str, str] = {}
    for pair in filter(None, map(str.strip, text.split(","))):
        name, equals, value = (part.strip() for part in pair.partition("="))
        if not (equals and is_tag(name) and is_tag(value) and text.isascii()):
            raise BadRequest(f"{header} has to be written as 'name=value, name=value'.", header)
        found[name] = value
    if len(found) > MAX_TAGS:
        raise BadRequest(f"{header} holds more than {MAX_TAGS} tags.", header)
    return found


def is_tag(text: str) -> bool:
    """PostgreSQL keeps no NUL in jsonb, and a tag is a word, not a document."""
    return 0 < len(text) <= MAX_TAG_LENGTH and not _CONTROL.search(text)
