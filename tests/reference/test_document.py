"""The document is OpenAPI, whole, and describes what is served below /v1: no less and no more."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
from drf_spectacular.validation import validate_schema

from gateway.asgi import ENDPOINTS
from gateway.endpoints.organization.answering import RESOURCES
from gateway.errors import anthropic_body, openai_body
from tests.gateway.test_errors import CALL, EVERY
from tests.reference.checking import DOCUMENT, find_faults, follow, refer
from tests.wire.test_documented_fields import read_table

COMPONENTS = DOCUMENT["components"]
REQUESTS = {
    "Chat completions": "ChatRequest",
    "Messages": "MessagesRequest",
    "Responses": "ResponsesRequest",
    "Completions": "CompletionRequest",
}


def test_it_is_what_openapi_says_a_document_is() -> None:
    validate_schema(DOCUMENT)  # type: ignore[no-untyped-call]
    for name, schema in COMPONENTS["schemas"].items():
        whole = {**schema, "components": COMPONENTS}
        assert jsonschema_rs.meta.is_valid(schema), name
        jsonschema_rs.Draft202012Validator(whole)


def test_every_endpoint_is_described_and_nothing_that_is_not_served() -> None:
    described = {
        (method.upper(), path) for path, ones in DOCUMENT["paths"].items() for method in ones
    }
    served = {
        (endpoint.method, "/v1/models/{model}" if path == "/v1/models/" else path)
        for path, endpoint in ENDPOINTS.items()
    }
    for method, pattern, _ in RESOURCES:
        path = re.sub(r"\(\?P<(\w+)>[^)]*\)", r"{\1}", pattern)
        served.add((method, f"/v1/organization/{path}"))
    assert described == served


def walk(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for each in value.values():
            yield from walk(each)
    elif isinstance(value, list):
        for each in value:
            yield from walk(each)


def test_every_reference_leads_somewhere_and_every_component_is_used() -> None:
    used = set()
    for each in walk(DOCUMENT):
        if isinstance(each.get("$ref"), str):
            assert follow(each)
            used.add(each["$ref"])
    for kind in ("schemas", "parameters", "headers"):
        unused = {f"#/components/{kind}/{name}" for name in COMPONENTS[kind]} - used
        assert unused == set()


def test_every_operation_has_a_name_of_its_own_and_says_what_it_does() -> None:
    operations = [each for ones in DOCUMENT["paths"].values() for each in ones.values()]
    assert len({each["operationId"] for each in operations}) == len(operations)
    for each in operations:
        assert each["summary"]
        assert each["description"].endswith(".")
        assert all(follow(one)["description"] for one in each.get("parameters", ()))
        assert {"200", "401", "429", "503"} <= each["responses"].keys()


def test_every_field_of_a_request_says_what_it_means() -> None:
    for name in [*REQUESTS.values(), "EmbeddingsRequest", "CountRequest"]:
        for field, schema in COMPONENTS["schemas"][name]["properties"].items():
            means = schema.get("description") or follow(schema).get("description")
            assert means or schema.get("properties") or follow(schema).get("properties"), field


def test_the_fields_that_are_carried_stand_in_it() -> None:
    for title, name in REQUESTS.items():
        carried = {field for field, rule in read_table(title).items() if rule == "carried"}
        described = set(COMPONENTS["schemas"][name]["properties"])
        assert carried - described <= {"output_format"}, title


def test_every_error_that_there_is_fits_in_both_dialects() -> None:
    for error in EVERY:
        for write, name in ((openai_body, "OpenAIError"), (anthropic_body, "AnthropicError")):
            body = json.loads(write(error, CALL))
            assert find_faults(body, refer(name), closed=True) == [], error
