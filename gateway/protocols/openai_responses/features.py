"""Which parts of a Responses request cost tokens or money beyond the bytes of its body.

A list of what is known to be harmless, not of what is known to be dear: an item or a part of any
other type is reported as `other`, and a strict quota decides what to do with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from gateway.protocols.answer import is_truthy, read_text
from gateway.protocols.body import ABSENT, Members, is_null
from gateway.protocols.form import Feature, FeatureKind

Raw = msgspec.Raw

# Their text stands in the body. What a reasoning item hides is in it, encrypted and no shorter.
_TEXT_ITEMS = frozenset(
    {"message", "function_call", "function_call_output", "reasoning"}
    | {"custom_tool_call", "custom_tool_call_output"}
)
_TEXT_PARTS = frozenset(
    {"input_text", "output_text", "text", "refusal", "summary_text", "reasoning_text"}
)
_CLIENT_TOOLS = frozenset({"function", "custom"})
_USUAL_TIERS = frozenset({"", "auto", "default", "flex"})


class Part(msgspec.Struct):
    """One part of a message or of what a tool gave."""

    type: str = ""
    image_url: Raw = ABSENT
    file_id: Raw = ABSENT
    file_url: Raw = ABSENT
    file_data: Raw = ABSENT
    input_audio: Raw = ABSENT


class Tool(msgspec.Struct):
    """A tool; `tools` are those of a namespace."""

    type: str = ""
    tools: list[Tool] | None = None


class Item(msgspec.Struct):
    """One item of the input; a message may leave its type out, and tools may be declared here.

    What has neither a type nor a role is a reference, as OpenAI reads it.
    """

    type: str | None = None
    role: str | None = None
    content: str | list[Part] | None = None
    output: str | list[Part] | dict[str, Any] | None = None
    tools: list[Tool] | None = None


# Top-level fields, whether a value of theirs asks for anything, and for what.
_FIELDS: Mapping[str, tuple[Callable[[Raw], bool], FeatureKind]] = {
    "service_tier": (lambda raw: read_text(raw) not in _USUAL_TIERS, FeatureKind.SERVICE_TIER),
    "search_parameters": (is_truthy, FeatureKind.SEARCH),
    "context_management": (is_truthy, FeatureKind.OTHER),
}
FEATURE_FIELDS = frozenset(_FIELDS)


def find_features(
    members: Members, items: str | list[Item], tools: list[Tool] | None
) -> tuple[Feature, ...]:
    """Return every such part with its path, those of the input first."""
    found: list[Feature] = []
    if not isinstance(items, str):
        for at, item in enumerate(items):
            found.extend(_find_in_item(f"input[{at}]", item))
    found.extend(_find_in_tools("tools", tools))
    for name in FEATURE_FIELDS & members.keys():
        asks, kind = _FIELDS[name]
        if asks(members[name]):
            found.append(Feature(name, kind))
    return tuple(found)


def _find_in_tools(path: str, tools: list[Tool] | None) -> Iterator[Feature]:
    for at, tool in enumerate(tools or ()):
        if tool.type == "namespace":
            yield from _find_in_tools(f"{path}[{at}].tools", tool.tools)
        elif tool.type not in _CLIENT_TOOLS:
            yield Feature(f"{path}[{at}]", FeatureKind.HOSTED_TOOL)


def _find_in_item(path: str, item: Item) -> Iterator[Feature]:
    type_ = item.type or "message"
    if type_ == "additional_tools":
        yield from _find_in_tools(f"{path}.tools", item.tools)
    elif type_ not in _TEXT_ITEMS:
        yield Feature(path, FeatureKind.OTHER)
    for name, parts in (("content", item.content), ("output", item.output)):
        if isinstance(parts, list):
            for at, part in enumerate(parts):
                yield from _find_in_part(f"{path}.{name}[{at}]", part)


def _find_in_part(path: str, part: Part) -> Iterator[Feature]:
    is_remote = not (is_null(part.file_id) and is_null(part.file_url))
    if is_remote:
        yield Feature(path, FeatureKind.REMOTE_FILE)
    if not is_null(part.image_url):
        is_data = bytes(memoryview(part.image_url)[:6]) == b'"data:'
        yield Feature(path, FeatureKind.IMAGE if is_data else FeatureKind.IMAGE_URL)
    elif not is_null(part.input_audio):
        yield Feature(path, FeatureKind.AUDIO)
    elif not is_null(part.file_data):
        yield Feature(path, FeatureKind.FILE)
    elif not is_remote and part.type not in _TEXT_PARTS:
        yield Feature(path, FeatureKind.OTHER)
