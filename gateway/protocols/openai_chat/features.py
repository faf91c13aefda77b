"""Which parts of a chat request cost tokens or money beyond the bytes of its body.

A list of what is known to be harmless, not of what is known to be dear: content of any other type
is reported as `other`, and a strict quota decides what to do with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from gateway.protocols.body import ABSENT, Members, is_null
from gateway.protocols.form import Feature, FeatureKind

Raw = msgspec.Raw

# Their text stands in the body, so its bytes bound their tokens.
_TEXT_PARTS = frozenset({"text", "input_text", "output_text", "refusal", "thinking", "reasoning"})
_CLIENT_TOOLS = frozenset({"function", "custom"})
_USUAL_TIERS = frozenset({None, "auto", "default", "flex"})


class Part(msgspec.Struct):
    """One content part; a member of these names counts whatever the part's type says."""

    type: str = ""
    image_url: Raw = ABSENT
    input_audio: Raw = ABSENT
    file: Raw = ABSENT


class Message(msgspec.Struct, gc=False):
    role: str
    content: str | list[Part] | None = None
    audio: Raw = ABSENT


class Tool(msgspec.Struct):
    type: str = ""


class _ImageUrl(msgspec.Struct):
    url: Raw = ABSENT


class _File(msgspec.Struct):
    file_id: Raw = ABSENT
    file_data: Raw = ABSENT


class _Search(msgspec.Struct):
    mode: Raw = ABSENT


_OBJECT = ord("{")
_search = msgspec.json.Decoder(_Search)
_image_url = msgspec.json.Decoder(_ImageUrl)
_file = msgspec.json.Decoder(_File)


def _is_set(raw: Raw) -> bool:
    return bytes(raw) not in {b"null", b"false", b"[]", b"{}"}


def _searches(raw: Raw) -> bool:
    """xAI's live search is asked for by an object whose mode may also turn it off."""
    mode = _search.decode(raw).mode if memoryview(raw)[0] == _OBJECT else ABSENT
    return bytes(raw) != b"null" and bytes(mode) != b'"off"'


# Top-level fields, whether a value of theirs asks for anything, and for what.
_FIELDS: Mapping[str, tuple[Callable[[Raw], bool], FeatureKind]] = {
    "web_search_options": (lambda raw: bytes(raw) != b"null", FeatureKind.SEARCH),
    "search_parameters": (_searches, FeatureKind.SEARCH),
    "deferred": (_is_set, FeatureKind.DEFERRED),
    "prediction": (_is_set, FeatureKind.PREDICTION),
    "previous_response_id": (_is_set, FeatureKind.REMOTE_INPUT),
    "plugins": (_is_set, FeatureKind.HOSTED_TOOL),
    "models": (_is_set, FeatureKind.OTHER_MODEL),
    "best_of": (_is_set, FeatureKind.OTHER),
}
FEATURE_FIELDS = frozenset(_FIELDS)


def find_features(
    members: Members,
    messages: list[Message],
    tools: list[Tool] | None,
    modalities: list[str] | None,
    service_tier: str | None,
) -> tuple[Feature, ...]:
    """Return every such part with its path, those in messages first.

    Audio in the answer is none of them: it is counted as completion tokens and kept by the cap.
    """
    found: list[Feature] = []
    for at, message in enumerate(messages):
        if type(message.content) is list:
            found.extend(_find_in_parts(f"messages[{at}].content", message.content))
        if message.audio and not is_null(message.audio):
            found.append(Feature(f"messages[{at}].audio", FeatureKind.REMOTE_FILE))
    for at, tool in enumerate(tools or ()):
        if tool.type not in _CLIENT_TOOLS:
            found.append(Feature(f"tools[{at}]", FeatureKind.HOSTED_TOOL))
    if modalities is not None and "image" in modalities:
        found.append(Feature("modalities", FeatureKind.IMAGE_OUTPUT))
    if service_tier not in _USUAL_TIERS:
        found.append(Feature("service_tier", FeatureKind.SERVICE_TIER))
    if not FEATURE_FIELDS.isdisjoint(members):
        found.extend(_find_in_fields(members))
    return tuple(found)


def _find_in_fields(members: Members) -> Iterator[Feature]:
    for name, (asks, kind) in _FIELDS.items():
        raw = members.get(name)
        if raw is not None and asks(raw):
            yield Feature(name, kind)


def _find_in_parts(path: str, parts: list[Part]) -> Iterator[Feature]:
    for at, part in enumerate(parts):
        kinds = list(_find_kinds(part))
        if not kinds and part.type not in _TEXT_PARTS:
            kinds = [FeatureKind.OTHER]
        yield from (Feature(f"{path}[{at}]", kind) for kind in kinds)


def _find_kinds(part: Part) -> Iterator[FeatureKind]:
    if not is_null(part.image_url):
        url = _open(_image_url, part.image_url, "url")
        yield FeatureKind.IMAGE if _is_data(url) else FeatureKind.IMAGE_URL
    if not is_null(part.input_audio):
        yield FeatureKind.AUDIO
    if not is_null(part.file):
        # A `file_id` beside the data wins at some providers, so both count as kept there.
        held = _open(_file, part.file, "file_id")
        data = _open(_file, part.file, "file_data")
        inline = is_null(held) and _is_data(data)
        yield FeatureKind.FILE if inline else FeatureKind.REMOTE_FILE


def _open(decoder: msgspec.json.Decoder[Any], raw: Raw, name: str) -> Raw:
    """A member of an object; the value itself where it is plain text, as some servers take it."""
    if memoryview(raw)[0] != _OBJECT:
        return raw
    found: Raw = getattr(decoder.decode(raw), name)
    return found


def _is_data(url: Raw) -> bool:
    return bytes(memoryview(url)[:6]) == b'"data:'
