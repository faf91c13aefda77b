"""Requests and answers against the document. Answers are held to it in both directions: a field
that the document does not have is as wrong as one that is missing."""

from __future__ import annotations

import copy
import json
from typing import Any

import httpx2
import jsonschema_rs

from gateway.reference import describe
from tests.wire.translating import read_events

DOCUMENT = describe(server="http://localhost:8000", version="0")
DONE = {"type": "[DONE]"}
# What stands beside any answer on the web, and what of a provider's own may pass.
USUAL_HEADERS = {
    *("content-type", "content-length", "transfer-encoding", "date", "server", "cache-control"),
    *("connection", "allow", "openai-processing-ms", "openai-version"),
}


def close(schema: Any) -> Any:
    """Return a schema that takes no field beside those that it names."""
    if isinstance(schema, list):
        return [close(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: close(each) for name, each in schema.items()}
    if isinstance(schema.get("properties"), dict) and "type" in schema:
        closed.setdefault("additionalProperties", False)
    return closed


OPEN = {"components": {"schemas": DOCUMENT["components"]["schemas"]}}
CLOSED = {"components": {"schemas": close(copy.deepcopy(DOCUMENT["components"]["schemas"]))}}


def make_validator(schema: Any, *, closed: bool) -> jsonschema_rs.Draft202012Validator:
    whole = {**close(schema), **CLOSED} if closed else {**schema, **OPEN}
    return jsonschema_rs.Draft202012Validator(whole)


_validators: dict[str, jsonschema_rs.Draft202012Validator] = {}


def find_faults(value: Any, schema: Any, *, closed: bool) -> list[str]:
    """Return what of a value does not fit, by its path."""
    key = json.dumps([schema, closed])
    if key not in _validators:
        _validators[key] = make_validator(schema, closed=closed)
    errors = _validators[key].iter_errors(value)
    return [f"{list(error.instance_path)}: {error.message}"[:500] for error in errors]


def refer(name: str) -> Any:
    return {"$ref": f"#/components/schemas/{name}"}


def follow(found: Any) -> Any:
    """Return what a reference leads to."""
    while "$ref" in found:
        target = DOCUMENT
        for step in found["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        found = target
    return found


def request_schema(path: str) -> Any:
    body = DOCUMENT["paths"][path]["post"]["requestBody"]
    return body["content"]["application/json"]["schema"]


def check_answer(answer: httpx2.Response, path: str, method: str = "post") -> None:
    """Check status, headers and body, or every event of a stream."""
    responses = DOCUMENT["paths"][path][method]["responses"]
    where = f"{method} {path} {answer.status_code}"
    assert str(answer.status_code) in responses, f"{where} is not described: {answer.text[:500]}"
    response = responses[str(answer.status_code)]
    undescribed = set(answer.headers) - set(response["headers"]) - USUAL_HEADERS
    assert undescribed == set(), where
    kind = answer.headers["content-type"].partition(";")[0]
    schema = response["content"][kind]["schema"]
    for value in read_events(answer.content) if kind == "text/event-stream" else [answer.json()]:
        if value != DONE:
            assert find_faults(value, schema, closed=True) == [], (where, value)
