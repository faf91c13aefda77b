"""The API describes itself, whole and without a doubt, and the page about it loads nothing else."""

import json
import re
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from accounts.api.schema import describe_api

METHODS = {"get", "post", "patch", "delete"}


def operations() -> dict[str, dict[str, Any]]:
    """Every operation that is described, as `GET /organizations`."""
    found = json.loads(describe_api())
    return {
        f"{method.upper()} {path.removeprefix('/api/v1')}": operation
        for path, methods in found["paths"].items()
        for method, operation in methods.items()
    }


def test_it_is_made_without_a_warning(capfd: pytest.CaptureFixture[str]) -> None:
    describe_api.cache_clear()
    describe_api()
    assert capfd.readouterr().err == ""


def test_every_address_is_described_with_every_method_it_has() -> None:
    described = operations()
    count = 0
    for route, view in views(get_resolver().url_patterns):
        for method in METHODS & set(dir(view)) & {name.lower() for name in view.http_method_names}:
            path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", route).removeprefix("api/v1")
            assert f"{method.upper()} {path}" in described
            count += 1
    assert count == len(described)


def test_every_operation_has_a_name_a_noun_and_its_errors() -> None:
    found = operations()
    assert len({each["operationId"] for each in found.values()}) == len(found)
    for name, operation in found.items():
        assert len(operation["tags"]) == 1, name
        assert {"4XX", "5XX"} < set(operation["responses"]), name
        assert operation["security"] == [{"managementKey": []}, {"session": []}], name


def test_every_change_of_one_object_takes_if_match() -> None:
    for name, operation in operations().items():
        taken = [each["name"] for each in operation.get("parameters", [])]
        if name.startswith(("PATCH", "DELETE")):
            assert "If-Match" in taken, name


@pytest.mark.django_db
def test_anybody_may_read_it() -> None:
    answer = Client().get("/api/v1/schema")
    assert answer["content-type"] == "application/json"
    assert answer.json()["info"]["title"] == "Tollgate management API"


@pytest.mark.django_db
def test_the_page_needs_nothing_that_the_policy_forbids() -> None:
    answer = Client().get("/docs/api")
    text = answer.content.decode()
    assert answer.status_code == 200
    assert "script-src 'self'" in answer["content-security-policy"].split("; ")
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|https?://", text)
    loaded = re.findall(r'<(?:script|link)[^>]*(?:src|href)="(/[^"]+)"', text)
    assert len(loaded) == 4
    for path in loaded:
        assert Client().get(path).status_code == 200, path


def views(patterns: list[Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Every view of the API that is described, with its route."""
    found = []
    for pattern in patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            found += views(pattern.url_patterns, route)
        elif isinstance(pattern, URLPattern):
            view = getattr(pattern.callback, "cls", None)
            if route.startswith("api/v1/") and view is not None and view.schema is not None:
                found.append((route, view))
    return found
