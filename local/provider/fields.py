"""Reading a request's body: each function takes one field, or refuses it by its name.

`Call` is what every endpoint is given. Only what an answer depends on is
checked; fields that no behaviour looks at pass unread, as at most providers.
"""

import time
from dataclasses import dataclass, field
from typing import Any

from local.provider.behaviours import Behaviour
from local.provider.caching import PromptCache
from local.provider.connection import Request
from local.provider.errors import invalid
from local.provider.tokens import Json

MAX_CHOICES = 128


@dataclass(slots=True, kw_only=True)
class Call:
    """One request to an endpoint. `token` makes the ids of its answer."""

    body: Json
    model: str
    behaviour: Behaviour
    request: Request
    token: str
    prompt_cache: PromptCache
    created: int = field(default_factory=lambda: int(time.time()))

    @property
    def stream(self) -> bool:
        return self.body.get("stream") is True


def read_count(body: Json, *names: str, highest: int = 2**53) -> int | None:
    """The first of the fields that is there: a whole number from 1 on; None when none is."""
    for name in names:
        value = body.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= highest:
            raise invalid(name, f"'{name}' must be a whole number from 1 to {highest}.")
        return value
    return None


def read_objects(body: Json, name: str) -> list[Json]:
    """A list of JSON objects; empty when the field is missing or null."""
    value = body.get(name)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise invalid(name, f"'{name}' must be a list of objects.")
    return value


def read_messages(body: Json) -> list[Json]:
    """A conversation: at least one message, each with a role."""
    messages = read_objects(body, "messages")
    if not messages:
        raise invalid("messages", "'messages' must be a list of at least one message.")
    for place, message in enumerate(messages):
        if not isinstance(message.get("role"), str):
            raise invalid(f"messages[{place}].role", "Missing or invalid 'role'.")
        if not isinstance(message.get("content"), str | list | None):
            raise invalid(f"messages[{place}].content", "Invalid 'content'.")
    return messages


def read_object(body: Json, name: str) -> Json:
    """A JSON object; an empty one when the field is missing or null."""
    value = body.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise invalid(name, f"'{name}' must be an object.")
    return value


def as_object(value: Any) -> Json:
    return value if isinstance(value, dict) else {}
