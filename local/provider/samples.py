"""A value for a JSON Schema: arguments of a tool, or the content of a JSON answer.

Deterministic, and valid for the common parts of JSON Schema (type, enum, const,
properties, required, items, anyOf, $ref). It promises no more than that.
"""

from typing import Any

import msgspec

from local.provider.tokens import Json

MAX_DEPTH = 12


def sample_json(schema: Json, text: str) -> str:
    """Compact JSON that fits `schema`; any object when the schema is empty."""
    value = sample_value(schema, text) if schema else {"answer": "A demo answer in JSON."}
    return msgspec.json.encode(value).decode()


def sample_value(schema: Json, text: str) -> Any:
    """`text` is what the user wrote: its last capitalized word fills strings."""
    return _sample(schema, schema, _find_name(text), 0)


def _find_name(text: str) -> str:
    """`What is the weather in Paris?` is about Paris."""
    words = [word.strip(".,;:!?\"'()“”") for word in text.split()[1:]]
    names = [word for word in words if word[:1].isupper() and len(word) > 1]
    return names[-1] if names else "demo"


def _sample(schema: Any, root: Json, name: str, depth: int) -> Any:
    if not isinstance(schema, dict) or depth > MAX_DEPTH:
        return None
    if isinstance(schema.get("$ref"), str):
        return _sample(_follow(schema["$ref"], root), root, name, depth + 1)
    if "const" in schema:
        return schema["const"]
    for options in (schema.get("enum"), schema.get("anyOf"), schema.get("oneOf")):
        if isinstance(options, list) and options:
            plain = options is schema.get("enum")
            return options[0] if plain else _sample(options[0], root, name, depth + 1)
    return _sample_type(schema, root, name, depth)


def _sample_type(schema: Json, root: Json, name: str, depth: int) -> Any:
    kind = schema.get("type", "object")
    kind = kind[0] if isinstance(kind, list) and kind else kind
    if kind == "object":
        properties = schema.get("properties")
        properties = properties if isinstance(properties, dict) else {}
        wanted = schema.get("required")
        wanted = wanted if isinstance(wanted, list) and wanted else list(properties)
        return {
            str(one): _sample(properties.get(str(one)), root, name, depth + 1) for one in wanted
        }
    if kind == "array":
        count = schema.get("minItems")
        count = min(count, 16) if isinstance(count, int) else 1
        return [_sample(schema.get("items"), root, name, depth + 1)] * max(count, 1)
    lowest = schema.get("minimum", 1)
    return {"string": name, "integer": lowest, "number": lowest, "boolean": True}.get(str(kind))


def _follow(reference: str, root: Json) -> Any:
    found: Any = root
    for step in reference.removeprefix("#/").split("/"):
        found = found.get(step) if isinstance(found, dict) else None
    return found
