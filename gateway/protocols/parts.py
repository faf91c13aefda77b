"""Parts of requests that several dialects write alike: files, schemas, efforts, names. Pure."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from typing import Any, NamedTuple

from gateway.errors import BadRequest
from gateway.protocols.conversation import (
    Conversation,
    File,
    Image,
    Role,
    Text,
    ToolCall,
    ToolResult,
    Turn,
)

_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+)(?:;[\w.=+-]+)*;base64,", re.ASCII)
PDF = "application/pdf"
MAX_NAME_LENGTH = 64
# What stands for a turn of the user where there is none and one has to be.
FIRST_TURN = "Continue."
_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")


class Data(NamedTuple):
    """Base64 `data` of a `media_type`."""

    media_type: str
    data: str


def refuse(field: str, what: str) -> BadRequest:
    """Return the error for what cannot be carried to the provider of this model."""
    return BadRequest(
        f"'{field}' asks for {what}, which the provider of this model cannot be asked for.",
        field,
        "unsupported_for_model",
    )


def read_data_url(url: str) -> Data | None:
    """Read `data:image/png;base64,...`; None for any other address."""
    found = _DATA_URL.match(url)
    return None if found is None else Data(found[1], url[found.end() :])


def write_data_url(media_type: str, data: str) -> str:
    return f"data:{media_type};base64,{data}"


def read_file(url: str, name: str, field: str) -> File | Text:
    """Read a file that stands in the request as a data URL; plain text becomes text."""
    data = read_data_url(url)
    if data is None:
        raise refuse(field, "a file that is kept elsewhere")
    if not data.media_type.startswith("text/"):
        return File(field=field, name=name, media_type=data.media_type, data=data.data)
    try:
        text = base64.b64decode(data.data, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise BadRequest(f"The file in '{field}' is not base64 of text in UTF-8.", field) from None
    return Text(name_text(name, text))


def name_text(name: str, text: str) -> str:
    """A text that was a file keeps its name as a first line."""
    return f"{name}\n{text}" if name else text


def check_side(turn: Turn, field: str) -> None:
    """Raise BadRequest where a side says what only the other one can: no dialect could carry it."""
    is_answer = turn.role is Role.ASSISTANT
    for part in turn.parts:
        if isinstance(part, ToolCall) and not is_answer:
            raise BadRequest(f"'{field}' holds a call of a tool: only answers do.", field)
        if isinstance(part, Image | File | ToolResult) and is_answer:
            message = f"'{field}' holds more than text and calls of tools, as no answer does."
            raise BadRequest(message, field)


def read_effort(effort: str | None, field: str) -> str | None:
    if effort is not None and effort not in _EFFORTS:
        raise BadRequest(f"'{field}' has to be one of {', '.join(_EFFORTS)}.", field)
    return effort


def is_strict(schema: Any) -> bool:
    """Whether every object in a JSON Schema is closed and requires all that it names, which is
    what OpenAI demands of one that it is to keep to strictly."""
    if isinstance(schema, list):
        return all(map(is_strict, schema))
    if not isinstance(schema, dict):
        return True
    if schema.get("type") == "object" or "properties" in schema:
        properties = schema.get("properties") or {}
        required = schema.get("required") or []
        if schema.get("additionalProperties") is not False or set(properties) != set(required):
            return False
    return all(map(is_strict, schema.values()))


def shorten(name: str) -> str:
    """Return a tool's name as OpenAI takes it, 64 characters at most; the same for the same."""
    if len(name) <= MAX_NAME_LENGTH:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name[: MAX_NAME_LENGTH - 9]}_{digest}"


def long_names(conversation: Conversation) -> dict[str, str]:
    """Return the tools' own names by what they were shortened to, to be put back in answers."""
    names = [tool.name for tool in conversation.tools if len(tool.name) > MAX_NAME_LENGTH]
    return {shorten(name): name for name in names}
