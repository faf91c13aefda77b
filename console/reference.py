"""/docs/reference: every endpoint of /v1, a page each, from the document at /docs/openapi.json.

Anybody may read it. What a table says is the document's; here it is only laid out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse

from console.documents import TITLES
from console.shell import show
from gateway.reference import Document, describe

_SCHEMAS = "#/components/schemas/"


class Operation(NamedTuple):
    """What can be asked of a path by a method."""

    name: str
    method: str
    path: str
    told: Document


class Kind(NamedTuple):
    """What a value may be, in words; `links` are the schemas that the words name."""

    words: str
    links: tuple[str, ...] = ()


class Row(NamedTuple):
    """A line of a table. `name` is the path of a field within its object: `function.name`."""

    name: str
    kind: Kind
    required: bool
    meaning: str


class Shape(NamedTuple):
    """What stands under a name of its own: an object with fields, or a choice among kinds."""

    name: str
    meaning: str
    rows: list[Row]
    choice: Kind | None


def show_document(request: HttpRequest) -> JsonResponse:
    return JsonResponse(_describe())


def show_all(request: HttpRequest) -> HttpResponse:
    return _show(request, "reference", document_title="API reference")


def show_one(request: HttpRequest, operation: str) -> HttpResponse:
    """Show what an endpoint takes and answers."""
    found = _list_operations().get(operation)
    if found is None:
        raise Http404
    told = found.told
    body = told.get("requestBody", {}).get("content", {}).get("application/json")
    answers = told["responses"]["200"]["content"]
    schemas = [content["schema"] for content in answers.values()]
    shapes = list_shapes([*([body["schema"]] if body else []), *schemas])
    return _show(
        request,
        "operation",
        document_title=told["summary"],
        operation=found,
        parameters=[_describe_parameter(each) for each in told.get("parameters", ())],
        body=_kind_of(body["schema"]) if body else None,
        answers=[(kind, _kind_of(content["schema"])) for kind, content in answers.items()],
        headers=[
            (name, _follow(each)) for name, each in told["responses"]["200"]["headers"].items()
        ],
        errors=[(code, each) for code, each in told["responses"].items() if code != "200"],
        shapes=shapes,
    )


def _show(request: HttpRequest, template: str, **context: Any) -> HttpResponse:
    return show(
        request,
        f"docs/{template}",
        documents=TITLES,
        name="reference",
        groups=_group_operations(),
        **context,
    )


@cache
def _describe() -> Document:
    return describe(server=settings.PUBLIC_URL, version=settings.VERSION)


@cache
def _list_operations() -> Mapping[str, Operation]:
    return {
        told["operationId"]: Operation(told["operationId"], method.upper(), path, told)
        for path, methods in _describe()["paths"].items()
        for method, told in methods.items()
    }


def _group_operations() -> list[tuple[Document, list[Operation]]]:
    """Return the tags of the document with their operations, in its order."""
    operations = _list_operations().values()
    return [
        (tag, [each for each in operations if tag["name"] in each.told["tags"]])
        for tag in _describe()["tags"]
    ]


def list_shapes(schemas: list[Document]) -> list[Shape]:
    """Return every named object that these lead to, each once, in the order of their mention."""
    found: dict[str, Shape] = {}
    waiting = [name for schema in schemas for name in _kind_of(schema).links]
    while waiting:
        name = waiting.pop(0)
        if name in found:
            continue
        schema = _describe()["components"]["schemas"][name]
        rows = list(_list_rows(schema))
        choice = _kind_of(schema) if "oneOf" in schema else None
        found[name] = Shape(name, schema.get("description", ""), rows, choice)
        waiting += choice.links if choice else ()
        waiting += [link for row in rows for link in row.kind.links]
    return list(found.values())


def _list_rows(schema: Document, within: str = "") -> Iterator[Row]:
    """Return the fields of an object, those of objects without a name after their own."""
    required = schema.get("required", ())
    for name, told in schema.get("properties", {}).items():
        meaning = told.get("description") or _follow(told).get("description", "")
        yield Row(within + name, _kind_of(told), name in required, meaning)
        yield from _list_rows(told, f"{within}{name}.")
        if "items" in told and "$ref" not in told["items"]:
            yield from _list_rows(told["items"], f"{within}{name}[].")
        for each in told.get("oneOf", ()):
            yield from _list_rows(each, f"{within}{name}.")


def _describe_parameter(told: Document) -> Row:
    told = _follow(told)
    kind = _kind_of(told["schema"])
    words = f"{kind.words}, in the {told['in']}"
    return Row(told["name"], Kind(words), told.get("required", False), told["description"])


def _kind_of(schema: Document) -> Kind:
    """Say in words what a schema takes, and what it names."""
    if "$ref" in schema:
        target = _follow(schema)
        if "properties" in target or "oneOf" in target:
            name = schema["$ref"].removeprefix(_SCHEMAS)
            return Kind(name, (name,))
        return _kind_of(target)
    parts = schema.get("oneOf") or schema.get("anyOf")
    if parts and "enum" not in parts[0]:
        kinds = [_kind_of(part) for part in parts]
        kinds.sort(key=lambda kind: kind.words == "null")
        words = " or ".join(dict.fromkeys(kind.words for kind in kinds))
        return Kind(words, tuple(link for kind in kinds for link in kind.links))
    if parts:
        return Kind("one of " + ", ".join(parts[0]["enum"]))
    return _kind_of_plain(schema)


def _kind_of_plain(schema: Document) -> Kind:
    if "const" in schema:
        return Kind(_write_value(schema["const"]))
    if "enum" in schema:
        values = list(map(_write_value, schema["enum"]))
        return Kind(values[0] if len(values) == 1 else f"one of {', '.join(values)}")
    types = schema.get("type", "anything")
    types = [types] if isinstance(types, str) else sorted(types, key=lambda each: each == "null")
    links: tuple[str, ...] = ()
    words = []
    for each in types:
        if each == "array" and "items" in schema:
            items = _kind_of(schema["items"])
            links += items.links
            words.append(f"array of {items.words}")
        else:
            words.append(each + _write_range(schema, each))
    return Kind(" or ".join(words), links)


def _write_value(value: object) -> str:
    return json.dumps(value) if value is None or isinstance(value, bool) else str(value or "empty")


def _write_range(schema: Document, kind: str) -> str:
    least, most = schema.get("minimum"), schema.get("maximum")
    if kind == "integer" and least is not None and most is not None and most < 2**62:
        return f", {least} to {most:,}"
    if kind == "string" and "maxLength" in schema:
        return f" of up to {schema['maxLength']} characters"
    return ""


def _follow(told: Document) -> Document:
    """Return what a reference names, or what is no reference itself."""
    found: Document = told
    while "$ref" in found:
        target: Document = _describe()
        for step in found["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        found = target
    return found
