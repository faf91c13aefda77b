"""docs/protocols.md says of every field what becomes of it, and it is what becomes of it."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from gateway.errors import BadRequest
from gateway.protocols import anthropic_messages as messages
from gateway.protocols import openai_chat as chat
from gateway.protocols import openai_completions as completions
from gateway.protocols import openai_responses as responses
from gateway.protocols.anthropic_messages import conversations as of_messages
from gateway.protocols.openai_chat import conversations as of_chat
from gateway.protocols.openai_completions import conversations as of_completions
from gateway.protocols.openai_responses import conversations as of_responses
from tests.wire import making
from tests.wire import messages as making_messages
from tests.wire import responses as making_responses

DOCUMENT = (Path(__file__).parents[2] / "docs" / "protocols.md").read_text()
TOOL = {"name": "get", "parameters": {"type": "object"}}
SCHEMA = {"type": "object", "properties": {}}
FUNCTION = {"type": "function", "name": "get"}
TEXT_FORMAT = {"type": "json_schema", "name": "n", "schema": SCHEMA}
# A value for each field that asks for something. What is not here is given true.
SAMPLES: dict[str, Any] = {
    "messages": [{"role": "user", "content": "Bye"}],
    "input": "Bye",
    "prompt": "Bye",
    "stop": "x",
    "stop_sequences": ["x"],
    "max_tokens": 7,
    "max_completion_tokens": 7,
    "max_output_tokens": 7,
    "temperature": 0.5,
    "top_p": 0.5,
    "system": "Be brief",
    "instructions": "Be brief",
    "metadata": {"user_id": "u"},
    "user": "u",
    "safety_identifier": "u",
    "reasoning_effort": "low",
    "reasoning": {"effort": "low"},
    "response_format": {"type": "json_object"},
    "text": {"format": TEXT_FORMAT},
    "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}},
    "output_format": {"type": "json_schema", "schema": SCHEMA},
    "thinking": {"type": "enabled", "budget_tokens": 1024},
    "stream_options": {"include_usage": True},
    "n": 2,
    "best_of": 2,
    "modalities": ["text", "audio"],
    "service_tier": "flex",
    "speed": "fast",
    "inference_geo": "us",
    "top_k": 5,
    "seed": 5,
    "presence_penalty": 0.5,
    "frequency_penalty": 0.5,
    "context_management": {"edits": []},
    "suffix": "end",
}


class Dialect(NamedTuple):
    """How a request of it is made, read and carried; its fields that need another one beside."""

    carried: frozenset[str]
    refused: dict[str, str]
    make: Callable[..., bytes]
    read: Callable[[bytes], Any]
    converse: Callable[[Any], Any]
    tools: Any
    choice: Any


def completion(**fields: Any) -> bytes:
    return making.compact({"model": "m", "prompt": "Hello", **fields})


DIALECTS = {
    "Chat completions": Dialect(
        of_chat.CARRIED,
        of_chat.REFUSED,
        making.body,
        chat.read_request,
        chat.read_conversation,
        [{"type": "function", "function": TOOL}],
        "required",
    ),
    "Messages": Dialect(
        of_messages.CARRIED,
        of_messages.REFUSED,
        making_messages.body,
        messages.read_request,
        messages.read_conversation,
        [{"name": "get", "input_schema": {"type": "object"}}],
        {"type": "any"},
    ),
    "Responses": Dialect(
        of_responses.CARRIED,
        dict(of_responses.REFUSED),
        making_responses.body,
        responses.read_request,
        responses.read_conversation,
        [FUNCTION],
        "required",
    ),
    "Completions": Dialect(
        of_completions.CARRIED,
        of_completions.REFUSED,
        completion,
        completions.read_request,
        completions.read_conversation,
        None,
        None,
    ),
}
_ROW = re.compile(r"^\| `(\w+)` \| (carried|dropped|refused) \|", re.MULTILINE)


def read_table(name: str) -> dict[str, str]:
    section = DOCUMENT.split(f"### {name}\n")[1].split("\n#")[0]
    rows = _ROW.findall(section)
    assert len(rows) == len(dict(rows)), "a field is listed twice"
    return dict(rows)


ROWS = [(name, field, rule) for name in DIALECTS for field, rule in read_table(name).items()]


@pytest.mark.parametrize("name", DIALECTS)
def test_the_table_lists_what_is_carried_and_refused_and_nothing_else(name: str) -> None:
    table = read_table(name)
    dialect = DIALECTS[name]
    assert {field for field, rule in table.items() if rule == "carried"} == dialect.carried
    assert {field for field, rule in table.items() if rule == "refused"} == set(dialect.refused)


def carry(dialect: Dialect, **fields: Any) -> Any:
    """What the path of a call gets of a request: what is asked, and what is known about it."""
    request = dialect.read(dialect.make(**fields))
    known = (request.model, request.stream, request.wants_usage, request.output_cap, request.tags)
    return dialect.converse(request), known


def sample(dialect: Dialect, field: str) -> dict[str, Any]:
    """The field with a value that asks for something, and the field that it needs beside it."""
    match field:
        case "model":
            return {"model": "another"}
        case "tools":
            return {"tools": dialect.tools}
        case "tool_choice" | "parallel_tool_calls":
            value = dialect.choice if field == "tool_choice" else False
            return {"tools": dialect.tools, field: value}
        case "functions" | "audio":
            return {field: [{"name": "f"}]}
        case "function_call":
            return {field: {"name": "f"}}
    return {field: SAMPLES.get(field, True)}


@pytest.mark.parametrize(("name", "field", "rule"), ROWS)
def test_every_field_fares_as_the_table_says(name: str, field: str, rule: str) -> None:
    dialect = DIALECTS[name]
    fields = sample(dialect, field)
    beside = {key: value for key, value in fields.items() if key != field}
    if rule == "refused":
        with pytest.raises(BadRequest) as caught:
            carry(dialect, **fields)
        assert caught.value.field == field
    elif rule == "carried":
        assert carry(dialect, **fields) != carry(dialect, **beside)
    else:
        assert carry(dialect, **fields) == carry(dialect, **beside)


@pytest.mark.parametrize("name", DIALECTS)
def test_a_field_that_is_not_known_is_dropped(name: str) -> None:
    assert carry(DIALECTS[name], never_heard_of={"a": 1}) == carry(DIALECTS[name])


def test_every_dialect_that_is_translated_has_its_table() -> None:
    fields = DOCUMENT.split("\n## Fields\n")[1].split("\n## ")[0]
    assert re.findall(r"^### (.+)$", fields, re.MULTILINE) == list(DIALECTS)
    assert json.dumps(ROWS).count("carried") > 40
