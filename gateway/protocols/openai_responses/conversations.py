"""Responses requests, read into the one form. Pure.

The two tables of names below say what is carried and what is refused; all else is dropped.
docs/protocols.md shows them to people.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from gateway.errors import BadRequest
from gateway.protocols.body import decode_as, encode_members
from gateway.protocols.conversation import (
    Asked,
    Choice,
    Conversation,
    File,
    Format,
    Image,
    Role,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    Turn,
)
from gateway.protocols.openai_responses.request import STATE_FIELDS, ResponsesRequest
from gateway.protocols.openai_responses.tools import (
    Declared,
    join_name,
    read_tools,
    write_free,
)
from gateway.protocols.parts import (
    check_side,
    read_data_url,
    read_effort,
    read_file,
    refuse,
)

CARRIED = frozenset(
    {
        *("model", "input", "instructions", "stream", "max_output_tokens", "temperature", "top_p"),
        *("tools", "tool_choice", "parallel_tool_calls", "text", "reasoning"),
        *("user", "safety_identifier", "metadata"),
    }
)
# Refused wherever they stand, by request.py: nothing is kept.
REFUSED = STATE_FIELDS
_MESSAGES = frozenset({None, "message"})
# Items that mean something to the models alone that wrote them, and what hosted tools did.
_DROPPED_ITEMS = frozenset(
    {
        *("reasoning", "web_search_call", "file_search_call", "code_interpreter_call"),
        *("image_generation_call", "mcp_list_tools", "mcp_call", "tool_search_call"),
        *("tool_search_output", "program", "program_output"),
    }
)


class _Part(msgspec.Struct):
    type: str = "input_text"
    text: str | None = None
    refusal: str | None = None
    image_url: str | None = None
    file_data: str | None = None
    filename: str | None = None


class _Item(msgspec.Struct):
    type: str | None = None
    role: str | None = None
    content: str | list[_Part] | None = None
    call_id: str | None = None
    name: str | None = None
    namespace: str | None = None
    arguments: Any = ""
    input: str = ""
    output: str | list[_Part] | dict[str, Any] | None = None
    tools: list[Declared] | None = None


class _Choice(msgspec.Struct):
    type: str = ""
    name: str | None = None
    mode: str = "auto"


class _Format(msgspec.Struct):
    type: str = "text"
    name: str = "answer"
    schema: dict[str, Any] | None = None
    strict: bool | None = None


class _Text(msgspec.Struct):
    format: _Format | None = None


class _Reasoning(msgspec.Struct):
    effort: str | None = None


class _Asked(msgspec.Struct):
    input: str | list[_Item]
    instructions: str | None = None
    temperature: float | None = None
    top_p: float | None = None
    tools: list[Declared] | None = None
    tool_choice: str | _Choice | None = None
    parallel_tool_calls: bool | None = None
    text: _Text | None = None
    reasoning: _Reasoning | None = None
    user: str | None = None
    safety_identifier: str | None = None


_asked = msgspec.json.Decoder(_Asked)


def read_conversation(request: ResponsesRequest) -> Conversation:
    """Read what the request asks. Raises BadRequest for what no other dialect can carry."""
    asked = decode_as(_asked, encode_members(request.members))
    system, turns = _read_input(asked)
    choice, chosen = _read_choice(asked.tool_choice)
    effort = asked.reasoning.effort if asked.reasoning else None
    return Conversation(
        system=system,
        turns=turns,
        tools=tuple(_read_tools(asked)),
        choice=choice,
        chosen=chosen,
        is_parallel=asked.parallel_tool_calls,
        temperature=asked.temperature,
        top_p=asked.top_p,
        user=asked.user or asked.safety_identifier,
        format=_read_format(asked.text.format if asked.text else None),
        effort=read_effort(effort, "reasoning.effort"),
    )


def _read_input(asked: _Asked) -> tuple[tuple[str, ...], tuple[Turn, ...]]:
    """Return the instructions, wherever they stood, and the turns.

    Items that follow one another from one side are one turn: calls of tools, and their results.
    """
    items = asked.input
    if isinstance(items, str):
        items = [_Item(role="user", content=items)]
    system = [asked.instructions] if asked.instructions else []
    sides: list[tuple[Role, list[Asked]]] = []
    for at, item in enumerate(items):
        field = f"input[{at}]"
        if item.type in _MESSAGES and item.role in {"system", "developer"}:
            parts = _read_parts(item.content, f"{field}.content")
            system += [part.text for part in parts if isinstance(part, Text)]
            continue
        turn = _read_item(item, field)
        if turn is not None and sides and sides[-1][0] is turn.role:
            sides[-1][1].extend(turn.parts)
        elif turn is not None:
            sides.append((turn.role, list(turn.parts)))
    return tuple(system), tuple(Turn(role, tuple(parts)) for role, parts in sides)


def _read_item(item: _Item, field: str) -> Turn | None:
    """Return a turn; None for what means something to the models alone that wrote it."""
    match item.type:
        case None | "message":
            return _read_message(item, field)
        case "function_call" | "custom_tool_call":
            is_free = item.type == "custom_tool_call"
            arguments = write_free(item.input) if is_free else _read_arguments(item, field)
            name = join_name(item.namespace or "", item.name or "")
            call = ToolCall(item.call_id or "", name, arguments)
            return Turn(Role.ASSISTANT, (call,))
        case "function_call_output" | "custom_tool_call_output":
            if isinstance(item.output, dict):
                raise BadRequest(f"'{field}.output' has to be text or a list.", f"{field}.output")
            parts = tuple(_read_parts(item.output, f"{field}.output"))
            return Turn(Role.USER, (ToolResult(item.call_id or "", parts),))
        case "additional_tools":
            return None
        case type_ if type_ in _DROPPED_ITEMS:
            return None
        case type_:
            raise refuse(field, f"an item of the type '{type_[:50]}'")


def _read_message(item: _Item, field: str) -> Turn:
    role = item.role or ""
    if role not in {"user", "assistant"}:
        raise BadRequest(f"'{role[:50]}' is no role.", f"{field}.role")
    turn = Turn(Role(role), tuple(_read_parts(item.content, f"{field}.content")))
    check_side(turn, f"{field}.content")
    return turn


def _read_arguments(item: _Item, field: str) -> str:
    if not isinstance(item.arguments, str):
        message = f"'{field}.arguments' has to be text."
        raise BadRequest(message, f"{field}.arguments")
    return item.arguments


def _read_parts(content: str | list[_Part] | None, field: str) -> Iterator[Text | Image | File]:
    if isinstance(content, str):
        content = [_Part(text=content)]
    for at, part in enumerate(content or ()):
        place = f"{field}[{at}]"
        if part.image_url is not None:
            yield _read_image(part.image_url, place)
        elif part.file_data is not None:
            yield read_file(part.file_data, part.filename or "", place)
        elif part.text is not None or part.refusal is not None:
            text = part.text or part.refusal
            if text:
                yield Text(text)
        else:
            raise refuse(place, f"content of the type '{part.type[:50]}'")


def _read_image(url: str, field: str) -> Image:
    data = read_data_url(url)
    if data is None:
        return Image(field=field, url=url)
    return Image(field=field, media_type=data.media_type, data=data.data)


def _read_tools(asked: _Asked) -> Iterator[Tool]:
    """Tools may be declared on the way, too."""
    yield from read_tools(asked.tools or [], "tools")
    for at, item in enumerate(asked.input if isinstance(asked.input, list) else ()):
        if item.type == "additional_tools":
            yield from read_tools(item.tools or [], f"input[{at}].tools")


def _read_choice(sent: str | _Choice | None) -> tuple[Choice | None, str]:
    """A choice among some of the tools becomes one among all of them."""
    if isinstance(sent, _Choice):
        if sent.type in {"function", "custom"}:
            return Choice.NAMED, sent.name or ""
        if sent.type != "allowed_tools":
            return None, ""
        sent = sent.mode
    if sent is None:
        return None, ""
    if sent not in {"auto", "none", "required"}:
        raise BadRequest("'tool_choice' has to be auto, none, required or a tool.", "tool_choice")
    return Choice(sent), ""


def _read_format(sent: _Format | None) -> Format | None:
    if sent is None or sent.type == "text":
        return None
    if sent.type == "json_schema":
        return Format(sent.schema or {}, sent.name, sent.strict)
    if sent.type == "json_object":
        return Format()
    raise refuse("text.format", f"the format '{sent.type[:50]}'")
