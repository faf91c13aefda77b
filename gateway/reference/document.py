"""The OpenAPI document of /v1: the YAML files beside it, and what code knows better.

Which errors there are, which headers tell of limits and which endpoints reach a provider is said
once, in code, and put in here. Nothing in it is of this installation but what describe() is given.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from gateway.asgi import ENDPOINTS
from gateway.errors.limits import ANTHROPIC, OPENAI
from gateway.errors.listing import list_kinds
from gateway.errors.upstream import UpstreamError
from gateway.paths import is_anthropic

Document = dict[str, Any]

FOLDER = Path(__file__).parent
FIRST = "common"
MODELS = "/v1/models"
ORGANIZATION = "/v1/organization/"
_IDENTITY = ("x-request-id", "request-id")
_OF_CALLS = ("idempotent-replayed", "original-request", "x-tollgate-output-cap")
_OF_RETIREMENT = ("sunset", "x-tollgate-warning")
_OF_WAITING = ("retry-after", "retry-after-ms", "x-should-retry")
# The statuses of errors that have to do with what an endpoint is: any of them may be met by a call.
# 408, 414 and 431 are the server's own.
_OF_KEYS = frozenset({401, 403, 408, 414, 429, 431, 500, 503})
_OF_MODELS = _OF_KEYS | {400}
_OF_A_MODEL = _OF_KEYS | {404}
_OF_ORGANIZATIONS = _OF_KEYS | {400, 404, 409, 413, 415}
# Told only to who asks for a path or by a method that is not here.
_OF_PATHS = frozenset({405})
# Of the codes of a status those that management keys alone meet, or never do.
_OF_MANAGEMENT = frozenset({"read_only_key", "not_found", "conflict", "office_busy"})


def describe(*, server: str, version: str) -> Document:
    """Return the document, for a server's address and the version of the product."""
    document = copy.deepcopy(_assemble())
    document["servers"] = [{"url": server}]
    document["info"]["version"] = version
    return document


@cache
def _assemble() -> Document:
    document = _read(FIRST)
    document["paths"] = {}
    components = document["components"]
    components["headers"] |= _describe_limits()
    for name in sorted(path.stem for path in FOLDER.glob("*.yaml") if path.stem != FIRST):
        part = _read(name)
        document["paths"] |= part["paths"]
        for kind in ("schemas", "parameters"):
            components[kind] |= part.get(kind, {})
    for path, methods in document["paths"].items():
        for operation in methods.values():
            _complete(path, operation)
    return document


def _read(name: str) -> Document:
    found: Document = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    return found


def _complete(path: str, operation: Document) -> None:
    """Add what all operations of a kind have: who may ask, headers, errors."""
    is_call = path in ENDPOINTS and ENDPOINTS[path].dialect is not None
    if path.startswith(ORGANIZATION):
        operation["tags"] = ["Organization"]
        operation["security"] = [{"managementKey": []}]
        operation.setdefault("parameters", []).append(_refer("parameters", "Organization"))
    if is_call:
        names = ["IdempotencyKey", "Tags"]
        names += (
            ["AnthropicVersion", "AnthropicBeta", "Beta"] if _is_messages(path) else ["OpenAIBeta"]
        )
        operation["parameters"] = [_refer("parameters", name) for name in names]
    operation["responses"]["200"]["headers"] = _refer_headers(_name_headers(path, is_call=is_call))
    for status, codes in _list_errors(path, is_call=is_call).items():
        error = operation["responses"][str(status)] = _describe_error(path, status, codes)
        if is_call and status == 429:  # What refused, for either vendor's client.
            error["headers"] |= _refer_headers(_describe_limits())


def _name_headers(path: str, *, is_call: bool) -> Iterator[str]:
    yield from _IDENTITY
    if is_call:
        yield from _OF_CALLS
        yield from _OF_RETIREMENT
        yield from _list_limits(path)


def _list_limits(path: str) -> list[str]:
    vendor = ANTHROPIC if _is_messages(path) else OPENAI
    found = [header.decode() for all_ in vendor.values() for names in all_ for header in names]
    return list(dict.fromkeys(found))


def _list_errors(path: str, *, is_call: bool) -> dict[int, list[str]]:
    """Return the codes that may be met at a path, by status."""
    found: dict[int, list[str]] = defaultdict(list)
    is_office = path.startswith(ORGANIZATION)
    statuses: Iterable[int] = _OF_KEYS
    if is_office:
        statuses = _OF_ORGANIZATIONS
    elif path == MODELS:
        statuses = _OF_MODELS
    elif path.startswith(f"{MODELS}/"):
        statuses = _OF_A_MODEL
    for kind in list_kinds():
        is_met = kind.status not in _OF_PATHS if is_call else kind.status in statuses
        if is_met and (is_office or kind.code not in _OF_MANAGEMENT):
            found[kind.status].append(kind.code)
    if is_call and _is_messages(path):  # A provider that is overloaded, as Anthropic says it.
        found[529] = [UpstreamError.code]
    return found


def _describe_error(path: str, status: int, codes: list[str]) -> Document:
    shapes = [_refer("schemas", "AnthropicError" if _is_messages(path) else "OpenAIError")]
    if path.startswith(MODELS):
        shapes = [_refer("schemas", "OpenAIError"), _refer("schemas", "AnthropicError")]
    headers = list(_IDENTITY)
    headers += ["www-authenticate"] if status == 401 else []
    headers += _OF_WAITING if status in {409, 429, 502, 503, 504, 529} else []
    return {
        "description": "Codes: " + ", ".join(f"`{code}`" for code in codes) + ".",
        "headers": _refer_headers(headers),
        "content": {
            "application/json": {"schema": shapes[0] if len(shapes) == 1 else {"oneOf": shapes}}
        },
    }


def _describe_limits() -> Document:
    """Headers that tell of limits, as errors/limits.py names them."""
    meanings = {
        "limit": ("integer", "What the tightest limit of this kind allows."),
        "remaining": ("integer", "What is left of it."),
        "reset": ("string", "When it begins anew: how long from now at OpenAI, when at Anthropic."),
    }
    return {
        header.decode(): {"schema": {"type": type_}, "description": meaning}
        for vendor in (OPENAI, ANTHROPIC)
        for all_ in vendor.values()
        for names in all_
        for header, (type_, meaning) in zip(names, meanings.values(), strict=True)
    }


def _is_messages(path: str) -> bool:
    return is_anthropic(path, has_version=False)


def _refer(kind: str, name: str) -> Document:
    return {"$ref": f"#/components/{kind}/{name}"}


def _refer_headers(names: Iterable[str]) -> Document:
    return {name: _refer("headers", name) for name in names}
