"""Messages requests, read into the one form. Pure; prompting.py writes them from it.

The two tables of names below say what is carried and what is refused; all else is dropped.
docs/protocols.md shows them to people.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from gateway.errors import BadRequest
from gateway.protocols.anthropic_messages.features import BUILT_IN_TOOLS, STATE_FIELDS
from gateway.protocols.anthropic_messages.request import MessagesRequest
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
from gateway.protocols.parts import PDF, check_side, name_text, refuse

CARRIED = frozenset(
    {
        *("model", "messages", "max_tokens", "stream", "system", "stop_sequences", "temperature"),
        *("top_p", "tools", "tool_choice", "metadata", "output_config", "output_format"),
    }
)
# Refused wherever they stand, by features.py: nothing is kept.
REFUSED = STATE_FIELDS
# Parts of what was said before that mean something to Anthropic alone: thoughts, signed for it,
# and what its hosted tools did.
_DROPPED_BLOCKS = frozenset(
    {
        *("thinking", "redacted_thinking", "server_tool_use", "mcp_tool_use", "mcp_tool_result"),
        *("mcp_tool_listing", "fallback"),
    }
)


class _Source(msgspec.Struct):
    type: str = ""
    media_type: str = ""
    data: str = ""
    url: str = ""
    content: str | list[_Block] | None = None


class _Block(msgspec.Struct):
    type: str
    text: str = ""
    source: str | _Source | None = None
    title: str | None = None
    id: str = ""
    name: str = ""
    input: Any = None
    tool_use_id: str = ""
    tool_name: str = ""
    content: str | list[_Block] | dict[str, Any] | None = None
    is_error: bool | None = None


class _Message(msgspec.Struct):
    """`clear_at` says how long instructions on the way hold: to the next turn of the user's."""

    role: str
    content: str | list[_Block] | None = None
    clear_at: str | None = None


class _Tool(msgspec.Struct):
    name: str = ""
    type: str | None = None
    description: str | None = None
    input_schema: dict[str, Any] | None = None
    strict: bool | None = None


class _Choice(msgspec.Struct):
    type: str
    name: str = ""
    disable_parallel_tool_use: bool | None = None


class _Format(msgspec.Struct):
    type: str = ""
    schema: dict[str, Any] | None = None


class _OutputConfig(msgspec.Struct):
    format: _Format | None = None


class _Metadata(msgspec.Struct):
    user_id: str | None = None


class _Asked(msgspec.Struct):
    messages: list[_Message]
    system: str | list[_Block] | None = None
    stop_sequences: list[str] | None = None
    temperature: float | None = None
    top_p: float | None = None
    tools: list[_Tool] | None = None
    tool_choice: _Choice | None = None
    metadata: _Metadata | None = None
    output_config: _OutputConfig | None = None
    output_format: _Format | None = None


_asked = msgspec.json.Decoder(_Asked)


def read_conversation(request: MessagesRequest) -> Conversation:
    """Read what the request asks. Raises BadRequest for what no other dialect can carry."""
    asked = decode_as(_asked, encode_members(request.members))
    choice = asked.tool_choice
    wanted = asked.output_config.format if asked.output_config else None
    wanted = wanted or asked.output_format
    system = [*_read_system(asked.system), *_read_instructions(asked.messages)]
    return Conversation(
        system=tuple(text for text in system if text),
        turns=tuple(
            _read_turn(message, f"messages[{at}]")
            for at, message in enumerate(asked.messages)
            if message.role != "system"
        ),
        tools=tuple(_read_tools(asked.tools or [])),
        choice=None if choice is None else _read_choice(choice),
        chosen="" if choice is None else choice.name,
        is_parallel=False if choice and choice.disable_parallel_tool_use else None,
        temperature=asked.temperature,
        top_p=asked.top_p,
        stop=tuple(asked.stop_sequences or ()),
        user=asked.metadata.user_id if asked.metadata else None,
        format=None if wanted is None else Format(wanted.schema or {}),
    )


def _read_system(system: str | list[_Block] | None) -> list[str]:
    if isinstance(system, str):
        return [system]
    return [block.text for block in system or ()]


def _read_instructions(messages: list[_Message]) -> Iterator[str]:
    """Read instructions that were given on the way; they are put with the others, as everywhere."""
    last = max((at for at, one in enumerate(messages) if one.role == "user"), default=-1)
    for at, message in enumerate(messages):
        if message.role != "system" or (message.clear_at == "next_user_message" and at < last):
            continue
        for part in _read_parts(message.content, f"messages[{at}].content"):
            if not isinstance(part, Text):
                raise refuse(f"messages[{at}].content", "instructions that are no text")
            yield part.text


def _read_turn(message: _Message, field: str) -> Turn:
    if message.role not in {"user", "assistant"}:
        raise BadRequest(f"'{message.role[:50]}' is no role.", f"{field}.role")
    turn = Turn(Role(message.role), tuple(_read_blocks(message.content, f"{field}.content")))
    check_side(turn, f"{field}.content")
    return turn


def _read_blocks(content: str | list[_Block] | None, field: str) -> Iterator[Asked]:
    if isinstance(content, str):
        content = [_Block("text", text=content)]
    for at, block in enumerate(content or ()):
        if block.type == "tool_use":
            arguments = msgspec.json.encode({} if block.input is None else block.input)
            yield ToolCall(block.id, block.name, arguments.decode())
        elif block.type == "tool_result":
            parts = tuple(_read_parts(block.content, f"{field}[{at}].content"))
            yield ToolResult(block.tool_use_id, parts, is_error=bool(block.is_error))
        elif block.type not in _DROPPED_BLOCKS and not _is_hosted_result(block):
            yield from _read_part(block, f"{field}[{at}]")


def _is_hosted_result(block: _Block) -> bool:
    return block.type.endswith("_tool_result")


def _read_parts(
    content: str | list[_Block] | dict[str, Any] | None, field: str
) -> Iterator[Text | Image | File]:
    """What a tool gave, or what a document is made of."""
    if isinstance(content, str):
        content = [_Block("text", text=content)]
    if isinstance(content, dict):
        raise BadRequest(f"'{field}' has to be text or a list of blocks.", field)
    for at, block in enumerate(content or ()):
        yield from _read_part(block, f"{field}[{at}]")


def _read_part(block: _Block, field: str) -> Iterator[Text | Image | File]:
    match block.type:
        case "text":
            if block.text:
                yield Text(block.text)
        case "image" if isinstance(block.source, _Source):
            yield _read_image(block.source, field)
        case "document" if isinstance(block.source, _Source):
            yield from _read_document(block.source, block.title or "", field)
        case "tool_reference":  # A tool that was found by a search, and is declared anyhow.
            yield Text(block.tool_name)
        case "search_result":
            source = block.source if isinstance(block.source, str) else ""
            parts = _read_parts(block.content, f"{field}.content")
            texts = [part.text for part in parts if isinstance(part, Text)]
            yield Text("\n".join([block.title or "", source, *texts]).strip())
        case type_:
            raise refuse(field, f"content of the type '{type_[:50]}'")


def _read_image(source: _Source, field: str) -> Image:
    if source.type == "base64":
        return Image(field=field, media_type=source.media_type, data=source.data)
    if source.type == "url":
        return Image(field=field, url=source.url)
    raise refuse(field, "a file that is kept at the provider")


def _read_document(source: _Source, title: str, field: str) -> Iterator[Text | Image | File]:
    match source.type:
        case "text":
            yield Text(name_text(title, source.data))
        case "content":
            yield from _read_parts(source.content, f"{field}.source.content")
        case "base64":
            name = title or "document.pdf"
            yield File(
                field=field, name=name, media_type=source.media_type or PDF, data=source.data
            )
        case "url":
            yield File(field=field, name=title, url=source.url)
        case _:
            raise refuse(field, "a file that is kept at the provider")


def _read_tools(tools: list[_Tool]) -> Iterator[Tool]:
    """Hosted tools are dropped: the model then answers without. One that the caller runs, and whose
    arguments only Anthropic's models know, is refused."""
    for at, tool in enumerate(tools):
        if tool.type in {None, "custom"}:
            yield Tool(
                name=tool.name,
                description=tool.description,
                schema=tool.input_schema or {},
                strict=tool.strict,
            )
        elif (tool.type or "").startswith(BUILT_IN_TOOLS):
            raise refuse(f"tools[{at}]", f"the tool '{tool.type}'")


def _read_choice(sent: _Choice) -> Choice:
    kinds = {"auto": Choice.AUTO, "none": Choice.NONE, "any": Choice.REQUIRED, "tool": Choice.NAMED}
    if sent.type not in kinds:
        message = "'tool_choice.type' has to be auto, any, none or tool."
        raise BadRequest(message, "tool_choice.type")
    return kinds[sent.type]
