"""Messages requests, written from the one form. Pure; conversations.py reads them.

Anthropic refuses what it does not know and much that others take: empty text, an answer as the
first turn, results of tools that stand apart from their calls. All of that is put right here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

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
)
from gateway.protocols.parts import FIRST_TURN, PDF, refuse

Block = dict[str, Any]

ANY_JSON = "Answer with one JSON object and nothing else."
MAX_USER_LENGTH = 256
MIN_BUDGET_TOKENS = 1024
# Claude from 4.6 on thinks as far as it is told to by an effort; before, by a number of tokens;
# before 3.7, not at all. Other names are taken for new ones.
_TAKES_BUDGET = re.compile(r"claude-(?:3-7|(?:opus|sonnet|haiku)-4(?:-[015])?(?![-.]?\d(?!\d)))")
_THINKS_NOT = re.compile(r"claude-(?:2|instant|3(?!-7))")
_EFFORTS = {"minimal": "low", "xhigh": "max"}
_BUDGETS = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16384}
_LARGEST_BUDGET = 32768
_NOT_IN_IDS = re.compile(r"[^A-Za-z0-9_-]")


def write_conversation(
    conversation: Conversation,
    *,
    upstream_model: str,
    output_cap: int,
    stream: bool,
    **_: Any,
) -> bytes:
    """Write a request body for a provider of messages. Raises BadRequest for what it cannot say."""
    body: dict[str, Any] = {
        "model": upstream_model,
        "max_tokens": output_cap,
        "messages": _write_turns(conversation),
    }
    if stream:
        body["stream"] = True
    system = _write_system(conversation)
    if system:
        body["system"] = [{"type": "text", "text": text} for text in system]
    stop = [text for text in conversation.stop if text.strip()]
    if stop:
        body["stop_sequences"] = stop
    if conversation.user and len(conversation.user) <= MAX_USER_LENGTH:
        body["metadata"] = {"user_id": conversation.user}
    body |= _write_tools(conversation)
    thinking = _write_thinking(conversation, upstream_model, output_cap)
    output_config = thinking.pop("output_config", {}) | _write_format(conversation.format)
    if output_config:
        body["output_config"] = output_config
    return msgspec.json.encode(body | (thinking or _write_sampling(conversation)))


def _write_system(conversation: Conversation) -> list[str]:
    system = [text for text in conversation.system if text.strip()]
    if conversation.format is not None and conversation.format.schema is None:
        system.append(ANY_JSON)
    return system


def _write_sampling(conversation: Conversation) -> dict[str, Any]:
    """Anthropic's temperature ends at 1, and newer models take one of the two only. With thinking
    they take none, so then none is sent."""
    if conversation.temperature is not None:
        return {"temperature": min(conversation.temperature, 1.0)}
    return {} if conversation.top_p is None else {"top_p": conversation.top_p}


def _write_thinking(conversation: Conversation, model: str, cap: int) -> dict[str, Any]:
    """Thinking as the model takes it; none beside a forced tool, which Anthropic refuses.

    Models that think by a budget want their own thoughts back before the results of tools. Those
    were never the caller's to keep, so in the middle of such a turn they go on without thinking.
    """
    effort = conversation.effort
    is_forced = bool(conversation.tools) and conversation.choice in {Choice.REQUIRED, Choice.NAMED}
    if effort in {None, "none"} or is_forced or _THINKS_NOT.match(model):
        return {}
    assert effort is not None
    if not _TAKES_BUDGET.match(model):
        return {
            "thinking": {"type": "adaptive"},
            "output_config": {"effort": _EFFORTS.get(effort, effort)},
        }
    budget = min(_BUDGETS.get(effort, _LARGEST_BUDGET), cap * 3 // 4)
    if budget < MIN_BUDGET_TOKENS or _is_mid_turn(conversation):
        return {}
    return {"thinking": {"type": "enabled", "budget_tokens": budget}}


def _is_mid_turn(conversation: Conversation) -> bool:
    last = conversation.turns[-1].parts if conversation.turns else ()
    return any(isinstance(part, ToolResult) for part in last)


def _write_format(asked: Format | None) -> dict[str, Any]:
    if asked is None or asked.schema is None:
        return {}
    return {"format": {"type": "json_schema", "schema": asked.schema}}


def _write_tools(conversation: Conversation) -> dict[str, Any]:
    """Tools that were called before have to be declared even where none may be called now."""
    tools = [_write_tool(tool) for tool in conversation.tools]
    if not tools:
        names = dict.fromkeys(_list_called(conversation))
        tools = [{"name": name, "input_schema": {"type": "object"}} for name in names]
        return {"tools": tools, "tool_choice": {"type": "none"}} if tools else {}
    choice = _write_choice(conversation)
    return {"tools": tools, "tool_choice": choice} if choice else {"tools": tools}


def _list_called(conversation: Conversation) -> Iterator[str]:
    for turn in conversation.turns:
        yield from (part.name for part in turn.parts if isinstance(part, ToolCall))


def _write_tool(tool: Tool) -> dict[str, Any]:
    written: dict[str, Any] = {
        "name": tool.name,
        "input_schema": {**tool.schema, "type": "object"},
    }
    if tool.description:
        written["description"] = tool.description
    if tool.strict is not None:
        written["strict"] = tool.strict
    return written


def _write_choice(conversation: Conversation) -> dict[str, Any]:
    match conversation.choice:
        case Choice.NONE:
            return {"type": "none"}
        case Choice.REQUIRED:
            choice: dict[str, Any] = {"type": "any"}
        case Choice.NAMED if any(tool.name == conversation.chosen for tool in conversation.tools):
            choice = {"type": "tool", "name": conversation.chosen}
        case _ if conversation.choice is None and conversation.is_parallel is not False:
            return {}
        case _:
            choice = {"type": "auto"}
    if conversation.is_parallel is False:
        choice["disable_parallel_tool_use"] = True
    return choice


def _write_turns(conversation: Conversation) -> list[dict[str, Any]]:
    """Turns in alternation, the user's first, none of them empty."""
    merged: list[tuple[Role, list[Asked]]] = []
    for turn in conversation.turns:
        parts = [part for part in turn.parts if not _is_blank(part)]
        if parts and merged and merged[-1][0] is turn.role:
            merged[-1][1].extend(parts)
        elif parts:
            merged.append((turn.role, parts))
    if not merged or merged[0][0] is Role.ASSISTANT:
        merged.insert(0, (Role.USER, [Text(FIRST_TURN)]))
    if merged[-1][0] is Role.ASSISTANT:
        _strip_end(merged[-1][1])
    return [
        {"role": role.value, "content": [_write_part(part) for part in _order(parts)]}
        for role, parts in merged
    ]


def _is_blank(part: Asked) -> bool:
    return isinstance(part, Text) and not part.text.strip()


def _strip_end(parts: list[Asked]) -> None:
    """An answer that the model is to continue may not end in space."""
    last = parts[-1]
    if isinstance(last, Text):
        parts[-1] = Text(last.text.rstrip())


def _order(parts: list[Asked]) -> list[Asked]:
    """Results of tools come first in their turn."""
    return sorted(parts, key=lambda part: not isinstance(part, ToolResult))


def _write_part(part: Asked) -> Block:
    match part:
        case Text(text=text):
            return {"type": "text", "text": text}
        case Image():
            return {"type": "image", "source": _write_image(part)}
        case File():
            return _write_file(part)
        case ToolCall(id=id_, name=name, arguments=arguments):
            used = read_arguments(arguments)
            return {"type": "tool_use", "id": _write_id(id_), "name": name, "input": used}
        case ToolResult():
            return _write_result(part)


def _write_result(part: ToolResult) -> Block:
    content = [_write_part(one) for one in part.parts if not _is_blank(one)]
    result: Block = {"type": "tool_result", "tool_use_id": _write_id(part.call_id)}
    if content:
        result["content"] = content
    return result | ({"is_error": True} if part.is_error else {})


def _write_image(part: Image) -> dict[str, str]:
    if not part.url:
        return _write_source(part.media_type, part.data)
    if not part.url.startswith("https://"):
        raise refuse(part.field, "an image at an address other than https://")
    return {"type": "url", "url": part.url}


def _write_file(part: File) -> Block:
    if part.url:
        return {"type": "document", "source": {"type": "url", "url": part.url}}
    if part.media_type != PDF:
        raise refuse(part.field, f"a file of the type '{part.media_type[:50]}'")
    title = {"title": part.name} if part.name else {}
    return {"type": "document", "source": _write_source(part.media_type, part.data), **title}


def _write_source(media_type: str, data: str) -> dict[str, str]:
    return {"type": "base64", "media_type": media_type, "data": data}


def _write_id(id_: str) -> str:
    """Some servers name calls in a way that Anthropic refuses, as `functions.get:0`."""
    return _NOT_IN_IDS.sub("_", id_) or "_"


def read_arguments(arguments: str) -> dict[str, Any]:
    """Return the arguments of a call as an object; whatever else a model wrote becomes {}."""
    try:
        read = msgspec.json.decode(arguments or "{}")
    except (msgspec.DecodeError, RecursionError):
        return {}
    return read if isinstance(read, dict) else {}
