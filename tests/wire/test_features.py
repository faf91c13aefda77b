"""Parts of a request that its bytes do not bound are found, each with its path."""

from typing import Any

import pytest

from gateway.protocols.openai_chat import read_request
from tests.wire.making import HELLO, body

DATA = "data:image/png;base64,iVBORw0KGgo="
PDF = "data:application/pdf;base64,JVBERi0="


def find(**fields: Any) -> list[tuple[str, str]]:
    return [(feature.field, feature.kind) for feature in read_request(body(**fields)).features]


def find_in_part(part: dict[str, Any]) -> list[tuple[str, str]]:
    text = {"type": "text", "text": "What is this?"}
    return find(messages=[HELLO, {"role": "user", "content": [text, part]}])


PARTS: list[tuple[dict[str, Any], str]] = [
    ({"type": "image_url", "image_url": {"url": DATA, "detail": "low"}}, "image"),
    ({"type": "image_url", "image_url": DATA}, "image"),
    ({"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}, "image_url"),
    ({"type": "image_url", "image_url": {}}, "image_url"),
    ({"type": "image_url", "image_url": {"url": 5}}, "image_url"),
    ({"type": "text", "text": "hidden", "image_url": {"url": DATA}}, "image"),
    ({"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}, "audio"),
    ({"type": "file", "file": {"file_data": PDF, "filename": "a.pdf"}}, "file"),
    ({"type": "file", "file": {"file_data": "https://example.org/a.pdf"}}, "remote_file"),
    ({"type": "file", "file": {"file_id": "file-1"}}, "remote_file"),
    ({"type": "file", "file": {"file_id": "file-1", "file_data": PDF}}, "remote_file"),
    ({"type": "video_url", "video_url": {"url": "https://example.org/a.mp4"}}, "other"),
    ({"type": "image_url"}, "other"),
    ({"text": "no type"}, "other"),
]


@pytest.mark.parametrize(("part", "kind"), PARTS, ids=[str(part)[:60] for part, _ in PARTS])
def test_a_part_that_is_not_text_is_found(part: dict[str, Any], kind: str) -> None:
    assert find_in_part(part) == [("messages[1].content[1]", kind)]


@pytest.mark.parametrize("kind", ["text", "refusal", "thinking"])
def test_parts_of_text_are_bounded_by_their_bytes(kind: str) -> None:
    assert find_in_part({"type": kind, kind: "words"}) == []


FIELDS: list[tuple[dict[str, Any], tuple[str, str]]] = [
    ({"tools": [{"type": "web_search"}]}, ("tools[0]", "hosted_tool")),
    ({"tools": [{"google_search": {}}]}, ("tools[0]", "hosted_tool")),
    ({"web_search_options": {}}, ("web_search_options", "search")),
    ({"search_parameters": {"mode": "auto"}}, ("search_parameters", "search")),
    ({"search_parameters": {}}, ("search_parameters", "search")),
    ({"deferred": True}, ("deferred", "deferred")),
    ({"prediction": {"type": "content", "content": "a"}}, ("prediction", "prediction")),
    ({"previous_response_id": "r1"}, ("previous_response_id", "remote_input")),
    ({"plugins": [{"id": "web"}]}, ("plugins", "hosted_tool")),
    ({"models": ["dear"]}, ("models", "other_model")),
    ({"best_of": 5}, ("best_of", "other")),
    ({"modalities": ["text", "image"]}, ("modalities", "image_output")),
    ({"service_tier": "priority"}, ("service_tier", "service_tier")),
]


@pytest.mark.parametrize(
    ("fields", "found"), FIELDS, ids=[str(fields)[:60] for fields, _ in FIELDS]
)
def test_a_field_that_costs_beyond_tokens_is_found(
    fields: dict[str, Any], found: tuple[str, str]
) -> None:
    assert find(**fields) == [found]


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [{"type": "function", "function": {"name": "f"}}, {"type": "custom"}]},
        {"tools": None, "web_search_options": None, "deferred": False, "models": []},
        {"search_parameters": {"mode": "off"}},
        {"search_parameters": None},
        {"service_tier": "flex", "store": True, "modalities": ["text", "audio"]},
    ],
    ids=str,
)
def test_fields_that_ask_for_nothing_dear_pass(fields: dict[str, Any]) -> None:
    assert find(**fields) == []


def test_audio_that_the_provider_kept_is_found() -> None:
    earlier = {"role": "assistant", "audio": {"id": "audio_1"}}
    assert find(messages=[HELLO, earlier]) == [("messages[1].audio", "remote_file")]
    assert find(messages=[HELLO, {"role": "assistant", "audio": None, "content": "a"}]) == []


def test_text_that_talks_of_images_is_text() -> None:
    assert find(messages=[{"role": "user", "content": '{"type": "image_url"}'}]) == []
