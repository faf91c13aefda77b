"""Chat completions requests, read into the one form. Pure; prompting.py writes them from it.

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
from gateway.protocols.openai_chat.request import ChatRequest
from gateway.protocols.parts import (
    read_data_url,
    read_effort,
    read_file,
    refuse,
)

CARRIED = frozenset(
    {
        *("model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens"),
        *("temperature", "top_p", "stop", "tools", "tool_choice", "parallel_tool_calls"),
        *("response_format", "reasoning_effort", "user", "safety_identifier", "metadata"),
    }
)
# Fields that ask for something without which the answer would be another one.
REFUSED = {
    "n": "more than one answer",
    "functions": "functions of the older kind; give them as 'tools'",
    "function_call": "functions of the older kind; give them as 'tools'",
    "modalities": "an answer that is not text",
    "audio": "an answer that is not text",
    "deferred": "an answer on a later request",
    "previous_response_id": "a conversation that is kept at the provider",
}


_CUSTOM = "a custom tool, one that takes free text"


class _Function(msgspec.Struct):
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class _Tool(msgspec.Struct):
    type: str = "function"
    function: _Function | None = None


class _CalledFunction(msgspec.Struct):
    name: str
    arguments: str | None = None


class _ToolCall(msgspec.Struct):
    id: str
    type: str = "function"
    function: _CalledFunction | None = None


class _ImageUrl(msgspec.Struct):
    url: str


class _File(msgspec.Struct):
    file_data: str | None = None
    filename: str | None = None


class _Part(msgspec.Struct):
    type: str = "text"
    text: str | None = None
    refusal: str | None = None
    image_url: str | _ImageUrl | None = None
    file: _File | None = None


class _Message(msgspec.Struct):
    role: str
    content: str | list[_Part] | None = None
    refusal: str | None = None
    tool_calls: list[_ToolCall] | None = None
    tool_call_id: str | None = None


class _Allowed(msgspec.Struct):
    mode: str = "auto"


class _NamedChoice(msgspec.Struct):
    function: _CalledFunction | None = None
    allowed_tools: _Allowed | None = None


class _Schema(msgspec.Struct):
    name: str = "answer"
    schema: dict[str, Any] | None = None
    strict: bool | None = None


class _Format(msgspec.Struct):
    type: str
    json_schema: _Schema | None = None


class _Asked(msgspec.Struct):
    messages: list[_Message]
    tools: list[_Tool] | None = None
    tool_choice: str | _NamedChoice | None = None
    parallel_tool_calls: bool | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: str | list[str] | None = None
    response_format: _Format | None = None
    reasoning_effort: str | None = None
    user: str | None = None
    safety_identifier: str | None = None
    modalities: list[str] | None = None


_asked = msgspec.json.Decoder(_Asked)


def read_conversation(request: ChatRequest) -> Conversation:
    """Read what the request asks. Raises BadRequest for what no other dialect can carry."""
    asked = decode_as(_asked, encode_members(request.members))
    _refuse_fields(request, asked)
    system, turns = _read_messages(asked.messages)
    tools = tuple(_read_tools(asked.tools or []))
    choice, chosen = _read_choice(asked.tool_choice)
    stop = [asked.stop] if isinstance(asked.stop, str) else asked.stop
    return Conversation(
        system=system,
        turns=turns,
        tools=tools,
        choice=choice,
        chosen=chosen,
        is_parallel=asked.parallel_tool_calls,
        temperature=asked.temperature,
        top_p=asked.top_p,
        stop=tuple(stop or ()),
        user=asked.user or asked.safety_identifier,
        format=_read_format(asked.response_format),
        effort=read_effort(asked.reasoning_effort, "reasoning_effort"),
    )


def _refuse_fields(request: ChatRequest, asked: _Asked) -> None:
    if request.answers > 1:
        raise refuse("n", REFUSED["n"])
    if asked.modalities and set(asked.modalities) != {"text"}:
        raise refuse("modalities", REFUSED["modalities"])
    for name in REFUSED.keys() - {"n", "modalities"} & request.members.keys():
        if bytes(request.members[name]) not in {b"null", b"false", b"[]", b'"none"', b'"auto"'}:
            raise refuse(name, REFUSED[name])


def _read_messages(messages: list[_Message]) -> tuple[tuple[str, ...], tuple[Turn, ...]]:
    """Return the instructions, wherever they stood, and the turns."""
    system: list[str] = []
    turns: list[Turn] = []
    for at, message in enumerate(messages):
        field = f"messages[{at}]"
        match message.role:
            case "system" | "developer":
                system += [text for text in _read_texts(message.content, field) if text]
            case "user":
                turns.append(Turn(Role.USER, tuple(_read_parts(message.content, field))))
            case "assistant":
                turns.append(Turn(Role.ASSISTANT, tuple(_read_assistant(message, field))))
            case "tool":
                parts = tuple(_read_parts(message.content, field))
                turns.append(Turn(Role.USER, (ToolResult(message.tool_call_id or "", parts),)))
            case "function":
                raise refuse(f"{field}.role", REFUSED["functions"])
            case role:
                raise BadRequest(f"'{role[:50]}' is no role.", f"{field}.role")
    return tuple(system), tuple(turns)


def _read_assistant(message: _Message, field: str) -> Iterator[Text | ToolCall]:
    """What the model refused is what it said. Its reasoning is not sent back to another one."""
    for text in (*_read_texts(message.content, field), message.refusal):
        if text:
            yield Text(text)
    for at, call in enumerate(message.tool_calls or ()):
        yield _read_call(call, f"{field}.tool_calls[{at}]")


def _read_call(call: _ToolCall, field: str) -> ToolCall:
    if call.type == "custom":
        raise refuse(field, _CUSTOM)
    if call.function is None:
        name = f"{field}.function"
        raise BadRequest(f"'{name}' is required.", name, "missing_required_parameter")
    return ToolCall(call.id, call.function.name, call.function.arguments or "")


def _read_texts(content: str | list[_Part] | None, field: str) -> Iterator[str]:
    if isinstance(content, str):
        yield content
        return
    for at, part in enumerate(content or ()):
        text = part.text if part.text is not None else part.refusal
        if text is None and part.type not in {"thinking", "reasoning"}:
            raise refuse(f"{field}.content[{at}]", f"content of the type '{part.type[:50]}'")
        yield text or ""


def _read_parts(content: str | list[_Part] | None, field: str) -> Iterator[Text | Image | File]:
    if isinstance(content, str):
        content = [_Part(text=content)]
    for at, part in enumerate(content or ()):
        place = f"{field}.content[{at}]"
        if part.image_url is not None:
            yield _read_image(part.image_url, place)
        elif part.file is not None:
            yield read_file(part.file.file_data or "", part.file.filename or "", place)
        elif part.text is not None:
            if part.text:
                yield Text(part.text)
        else:
            raise refuse(place, f"content of the type '{part.type[:50]}'")


def _read_image(sent: str | _ImageUrl, field: str) -> Image:
    url = sent if isinstance(sent, str) else sent.url
    data = read_data_url(url)
    if data is None:
        return Image(field=field, url=url)
    return Image(field=field, media_type=data.media_type, data=data.data)


def _read_tools(tools: list[_Tool]) -> Iterator[Tool]:
    """Hosted tools are dropped: the model then answers without. One that the caller runs is not."""
    for at, tool in enumerate(tools):
        if tool.type == "custom":
            raise refuse(f"tools[{at}]", _CUSTOM)
        if tool.type == "function" and tool.function is not None:
            function = tool.function
            yield Tool(
                name=function.name,
                description=function.description,
                schema=function.parameters or {},
                strict=function.strict,
            )


def _read_choice(sent: str | _NamedChoice | None) -> tuple[Choice | None, str]:
    """A choice among some of the tools becomes one among all of them."""
    if isinstance(sent, _NamedChoice):
        if sent.function is not None:
            return Choice.NAMED, sent.function.name
        sent = sent.allowed_tools.mode if sent.allowed_tools else ""
    if sent is None:
        return None, ""
    if sent not in {"auto", "none", "required"}:
        raise BadRequest("'tool_choice' has to be auto, none, required or a tool.", "tool_choice")
    return Choice(sent), ""


def _read_format(sent: _Format | None) -> Format | None:
    if sent is None or sent.type == "text":
        return None
    if sent.type == "json_schema" and sent.json_schema is not None:
        schema = sent.json_schema
        return Format(schema.schema or {}, schema.name, schema.strict)
    if sent.type == "json_object":
        return Format()
    raise refuse("response_format", f"the format '{sent.type[:50]}'")
