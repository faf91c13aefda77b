"""Which parts of a messages request cost tokens or money beyond the bytes of its body.

A list of what is known to be harmless, not of what is known to be dear: any other block, tool or
field is reported as `other`, and a strict quota decides what to do with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import msgspec

from gateway.errors import BadRequest
from gateway.protocols.answer import is_truthy, read_text
from gateway.protocols.body import ABSENT, UNREADABLE, Members, is_null
from gateway.protocols.form import Feature, FeatureKind

Raw = msgspec.Raw

# Their text stands in the body, so its bytes bound their tokens. What a thinking block hides is
# in its signature, encrypted and no shorter than it was; what a reference to a tool shows is in
# the tools.
_TEXT_BLOCKS = frozenset({"text", "thinking", "redacted_thinking", "tool_use", "tool_reference"})
_NESTING_BLOCKS = frozenset({"tool_result", "search_result"})
# Tools that the caller runs, but whose instructions the provider adds to the prompt unseen.
BUILT_IN_TOOLS = ("bash_", "text_editor_", "computer_", "memory_")
_REMOTE_SOURCES = frozenset({"url", "file"})


class Block(msgspec.Struct):
    """One content block; a member of these names counts whatever the block's type says."""

    type: str = ""
    source: Raw = ABSENT
    content: Raw = ABSENT


class Message(msgspec.Struct):
    """Instructions on the way may say how the answer is to be made, and nothing else."""

    role: str
    content: str | list[Block] | None = None


class Tool(msgspec.Struct):
    type: str | None = None


class _Source(msgspec.Struct):
    type: str = ""
    content: Raw = ABSENT


class _Edit(msgspec.Struct):
    type: str = ""


class _Management(msgspec.Struct):
    edits: list[_Edit] | None = None


_source = msgspec.json.Decoder(_Source)
_blocks = msgspec.json.Decoder(list[Block])
_management = msgspec.json.Decoder(_Management)


def _is_dearer_speed(raw: Raw) -> bool:
    return read_text(raw) not in {"", "standard"}


def _is_dearer_place(raw: Raw) -> bool:
    return read_text(raw) not in {"", "global"}


def _samples_again(raw: Raw) -> bool:
    """Clearing old parts of the prompt only shortens it; compaction writes a summary first."""
    if is_null(raw):
        return False
    try:
        edits = _management.decode(raw).edits or []
    except UNREADABLE:
        return True
    return any(not edit.type.startswith("clear_") for edit in edits)


# Top-level fields, whether a value of theirs asks for anything, and for what.
_FIELDS: Mapping[str, tuple[Callable[[Raw], bool], FeatureKind]] = {
    "container": (is_truthy, FeatureKind.HOSTED_TOOL),
    "mcp_servers": (is_truthy, FeatureKind.HOSTED_TOOL),
    "speed": (_is_dearer_speed, FeatureKind.SERVICE_TIER),
    "inference_geo": (_is_dearer_place, FeatureKind.SERVICE_TIER),
    "context_management": (_samples_again, FeatureKind.OTHER),
}
FEATURE_FIELDS = frozenset(_FIELDS)
_HARMLESS = frozenset(
    {
        *("model", "messages", "max_tokens", "system", "stream", "stop_sequences", "metadata"),
        *("tools", "tool_choice", "thinking", "output_config", "output_format", "cache_control"),
        *("service_tier", "temperature", "top_p", "top_k"),
    }
)
# What asks for something that is kept at the provider.
STATE_FIELDS = {"thread": "the conversation"}
KNOWN_FIELDS = _HARMLESS | FEATURE_FIELDS | STATE_FIELDS.keys()


def refuse_state(members: Members) -> None:
    """Raise BadRequest for a thread: whoever knows an answer's id could go on with it."""
    for name in STATE_FIELDS.keys() & members.keys():
        if is_truthy(members[name]):
            message = (
                f"'{name}' asks for {STATE_FIELDS[name]} to be kept at the provider. Nothing is "
                "kept: send all messages with every request."
            )
            raise BadRequest(message, name, "state_not_kept")


def find_features(
    members: Members,
    messages: list[Message],
    system: str | list[Block] | None,
    tools: list[Tool] | None,
) -> tuple[Feature, ...]:
    """Return every such part with its path, those in messages first. Raises BadRequest where a
    message has no content.

    The standard tier and `auto`, which may use capacity that was paid beforehand, cost what is
    priced.
    """
    found: list[Feature] = []
    for at, message in enumerate(messages):
        if type(message.content) is list:
            found.extend(_find_in_blocks(f"messages[{at}].content", message.content))
        elif message.content is None and message.role != "system":
            field = f"messages[{at}].content"
            raise BadRequest(f"'{field}' is required.", field, "missing_required_parameter")
    if type(system) is list:
        found.extend(_find_in_blocks("system", system))
    for at, tool in enumerate(tools or ()):
        if tool.type not in {None, "custom"}:
            found.append(Feature(f"tools[{at}]", _find_tool_kind(tool.type or "")))
    if not members.keys() <= _HARMLESS:
        found.extend(_find_in_fields(members))
    return tuple(found)


def _find_tool_kind(type_: str) -> FeatureKind:
    return FeatureKind.OTHER if type_.startswith(BUILT_IN_TOOLS) else FeatureKind.HOSTED_TOOL


def _find_in_fields(members: Members) -> Iterator[Feature]:
    for name in members.keys() - _HARMLESS:
        asks, kind = _FIELDS.get(name, (is_truthy, FeatureKind.OTHER))
        if asks(members[name]):
            yield Feature(name, kind)


def _find_in_blocks(path: str, blocks: list[Block]) -> Iterator[Feature]:
    for at, block in enumerate(blocks):
        yield from _find_in_block(f"{path}[{at}]", block)


def _find_in_block(path: str, block: Block) -> Iterator[Feature]:
    if not is_null(block.source):
        yield from _find_in_source(path, block)
    elif block.type == "container_upload":
        yield Feature(path, FeatureKind.REMOTE_FILE)
    elif block.type not in _TEXT_BLOCKS | _NESTING_BLOCKS:
        yield Feature(path, FeatureKind.OTHER)
    if block.content and memoryview(block.content)[0] == ord("["):
        yield from _find_nested(f"{path}.content", block.content)


def _find_in_source(path: str, block: Block) -> Iterator[Feature]:
    """Text and blocks that a document is made of are in the body; anything else is its own kind."""
    if block.type == "search_result" and read_text(block.source):  # Where it is from.
        return
    try:
        source = _source.decode(block.source)
    except UNREADABLE:
        source = _Source()
    if source.type in _REMOTE_SOURCES:
        is_image = block.type == "image" and source.type == "url"
        yield Feature(path, FeatureKind.IMAGE_URL if is_image else FeatureKind.REMOTE_FILE)
    elif source.type == "base64":
        yield Feature(path, FeatureKind.IMAGE if block.type == "image" else FeatureKind.FILE)
    elif source.type == "content" and not read_text(source.content):
        yield from _find_nested(f"{path}.source.content", source.content)
    elif source.type not in {"text", "content"}:
        yield Feature(path, FeatureKind.OTHER)


def _find_nested(path: str, raw: Raw) -> Iterator[Feature]:
    """Look into blocks within a block; what cannot be read as such is not known to be harmless."""
    try:
        nested = _blocks.decode(raw)
    except UNREADABLE:
        yield Feature(path, FeatureKind.OTHER)
        return
    yield from _find_in_blocks(path, nested)
