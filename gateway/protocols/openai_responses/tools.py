"""Tools of Responses that the caller runs, told as functions, and calls of them as items. Pure.

Only functions are known everywhere. A custom tool, which takes free text, becomes a function of one
text; the tools of a namespace become functions with its name before theirs. What was declared
decides how a call of such a function is told to the caller.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from gateway.protocols.body import UNREADABLE
from gateway.protocols.conversation import Tool, ToolCall
from gateway.protocols.openai_responses.request import ResponsesRequest
from gateway.protocols.parts import refuse

Item = dict[str, Any]

# Tools that the caller runs, but that only OpenAI's models know how to call.
_BUILT_IN = frozenset({"local_shell", "shell", "apply_patch", "computer_use_preview", "computer"})
_FREE_TEXT = {
    "type": "object",
    "properties": {"input": {"type": "string", "description": "The whole input of the tool."}},
    "required": ["input"],
    "additionalProperties": False,
}


class _Grammar(msgspec.Struct):
    type: str = "text"
    syntax: str = ""
    definition: str = ""


class Declared(msgspec.Struct):
    """A tool as it is declared; `tools` are those of a namespace."""

    type: str = ""
    name: str = ""
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None
    format: _Grammar | None = None
    tools: list[Declared] | None = None


class Kind(NamedTuple):
    """How calls of a function are told: in which namespace, by which name, as free text or not."""

    namespace: str
    name: str
    is_free: bool


class _Declaring(msgspec.Struct):
    """An item of the input that may declare tools as well."""

    type: str = ""
    tools: list[Declared] | None = None


_tools = msgspec.json.Decoder(list[Declared] | None)
_items = msgspec.json.Decoder(str | list[_Declaring])


def read_tools(declared: list[Declared], field: str) -> Iterator[Tool]:
    """Hosted tools are dropped: the model then answers without. One that the caller runs, and whose
    arguments only OpenAI's models know, is refused."""
    for at, tool in enumerate(declared):
        if tool.type in _BUILT_IN:
            raise refuse(f"{field}[{at}]", f"the tool '{tool.type}'")
        yield from _read_tool(tool, "")


def _read_tool(tool: Declared, namespace: str) -> Iterator[Tool]:
    match tool.type:
        case "function":
            yield Tool(
                name=join_name(namespace, tool.name),
                description=tool.description,
                schema=tool.parameters or {},
                strict=tool.strict,
            )
        case "custom":
            yield Tool(
                name=join_name(namespace, tool.name),
                description=_describe(tool),
                schema=_FREE_TEXT,
            )
        case "namespace":
            for one in tool.tools or ():
                yield from _read_tool(one, tool.name)


def _describe(tool: Declared) -> str | None:
    """A grammar that the provider would have kept to is told in words."""
    grammar = tool.format
    if grammar is None or not grammar.definition:
        return tool.description
    told = f"The input has to follow this grammar ({grammar.syntax}):\n{grammar.definition}"
    return f"{tool.description}\n\n{told}" if tool.description else told


def join_name(namespace: str, name: str) -> str:
    """Return the name of a function that stands for a tool of a namespace, '' for none."""
    return f"{namespace}__{name}" if namespace else name


def find_kinds(request: object) -> Mapping[str, Kind]:
    """Return the tools of a request that are no plain functions, by the names of their functions.

    Whatever the request declared was read before, so what cannot be read here is not there.
    """
    if not isinstance(request, ResponsesRequest):
        return {}
    members = request.members
    try:
        declared = list(_tools.decode(members.get("tools", b"null")) or ())
        if b"additional_tools" in bytes(members["input"]):
            items = _items.decode(members["input"])
            for item in items if isinstance(items, list) else ():
                declared += item.tools or () if item.type == "additional_tools" else ()
    except UNREADABLE:
        return {}
    return {join_name(kind.namespace, kind.name): kind for kind in _list_kinds(declared)}


def _list_kinds(declared: list[Declared]) -> Iterator[Kind]:
    for tool in declared:
        if tool.type == "custom":
            yield Kind("", tool.name, is_free=True)
        elif tool.type == "namespace":
            for one in tool.tools or ():
                yield Kind(tool.name, one.name, is_free=one.type == "custom")


def write_call(call: ToolCall, id_: str, kinds: Mapping[str, Kind]) -> Item:
    """Write a call as the item that the tool was declared to get."""
    kind = kinds.get(call.name) or Kind("", call.name, is_free=False)
    item: Item = {"id": id_, "status": "completed", "call_id": call.id, "name": kind.name}
    if kind.namespace:
        item["namespace"] = kind.namespace
    if kind.is_free:
        return item | {"type": "custom_tool_call", "input": read_free(call.arguments)}
    return item | {"type": "function_call", "arguments": call.arguments or "{}"}


def read_free(arguments: str) -> str:
    """Return the text that stands in the arguments; all of them where a model kept to no schema."""
    try:
        read = msgspec.json.decode(arguments or '{"input":""}')
    except UNREADABLE:
        return arguments
    text = read.get("input") if isinstance(read, dict) else read
    return text if isinstance(text, str) else arguments


def write_free(text: str) -> str:
    """Write free text as the arguments of the function that stands for its tool."""
    return msgspec.json.encode({"input": text}).decode()
