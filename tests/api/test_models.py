"""/models and /routes: what callers may name, and where their calls go."""

from typing import Any

import pytest

from gateway.models import Model, Provider, Route
from gateway.providers import make_provider
from tests.api.asking import Api

pytestmark = pytest.mark.django_db

FIELDS = {"name": "gpt-4o", "context_window": 128_000, "max_output_tokens": 16_384}
ROUTE = {"model": "gpt-4o", "provider": "openai", "upstream_model": "gpt-4o-2024"}


@pytest.fixture
def provider(db: None) -> Provider:
    return make_provider(name="openai", protocol="openai", base_url="https://api.openai.com/v1")


@pytest.fixture
def model(operators: Api) -> Model:
    assert operators.post("models", FIELDS).status == 201
    return Model.objects.get()


def test_operators_make_models_and_change_their_bounds(operators: Api, model: Model) -> None:
    shown = operators.get("models/gpt-4o").body
    assert {name: shown[name] for name in FIELDS} == FIELDS
    assert shown["overhead_tokens_per_image"] is None
    changed = operators.patch(
        "models/gpt-4o", {"max_output_tokens": 10, "overhead_tokens_per_image": 900}
    )
    assert changed.body["max_output_tokens"] == 10
    assert changed.body["overhead_tokens_per_image"] == 900
    cleared = operators.patch("models/gpt-4o", {"overhead_tokens_per_image": None})
    assert cleared.body["overhead_tokens_per_image"] is None


def test_a_name_may_hold_slashes_and_dots(operators: Api) -> None:
    name = "meta-llama/llama-3.1:free"
    assert operators.post("models", {**FIELDS, "name": name}).status == 201
    assert operators.get(f"models/{name}").body["name"] == name
    assert operators.delete(f"models/{name}").status == 204


def test_a_model_has_aliases_and_a_last_day_with_a_successor(operators: Api, model: Model) -> None:
    operators.post("models", {**FIELDS, "name": "gpt-5"})
    changes = {
        "aliases": ["gpt-4o-latest"],
        "retires_at": "2099-01-01T00:00:00Z",
        "successor": "gpt-5",
    }
    changed = operators.patch("models/gpt-4o", changes).body
    assert {name: changed[name] for name in changes} == changes
    taken = operators.patch("models/gpt-5", {"aliases": ["gpt-4o"]})
    assert (taken.status, taken.error["field"]) == (400, "aliases")
    missing = operators.patch("models/gpt-5", {"successor": "never"})
    assert (missing.status, missing.error["field"]) == (400, "successor")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": "gpt-4o"}, "name"),
        ({"name": "two words"}, "name"),
        ({"name": "tab\tbed"}, "name"),
        ({"context_window": 0}, "context_window"),
        ({"context_window": 2**41}, "context_window"),
        ({"max_output_tokens": -1}, "max_output_tokens"),
        ({"max_output_tokens": 2**63}, "max_output_tokens"),
        ({"max_output_tokens": None}, "max_output_tokens"),
        ({"overhead_tokens": 2**31}, "overhead_tokens"),
        ({"price": 5}, "price"),
    ],
)
def test_what_makes_no_model_is_refused_by_its_field(
    operators: Api, model: Model, fields: dict[str, Any], field: str
) -> None:
    answer = operators.post("models", {**FIELDS, "name": "new", **fields})
    assert (answer.status, answer.error["field"]) == (400, field)
    assert Model.objects.count() == 1


def test_everybody_sees_models_and_operators_change_them(
    model: Model, charlies: Api, bobs: Api, nobody: Api
) -> None:
    for api in (charlies, bobs):
        assert [each["name"] for each in api.list_all("models")] == ["gpt-4o"]
        assert api.get("models/gpt-4o").status == 200
        assert api.post("models", {**FIELDS, "name": "new"}).status == 403
        assert api.patch("models/gpt-4o", {"enabled": False}).status == 403
        assert api.delete("models/gpt-4o").status == 403
    assert nobody.get("models").status == 401


def test_a_route_leads_a_model_to_a_provider(
    operators: Api, model: Model, provider: Provider
) -> None:
    made = operators.post("routes", {**ROUTE, "priority": 1, "weight": 3})
    assert made.status == 201
    assert {name: made.body[name] for name in ROUTE} == ROUTE
    path = f"routes/{made.body['id']}"
    assert operators.get(path).body == made.body
    changed = operators.patch(path, {"enabled": False, "first_byte_timeout_ms": 5_000})
    assert (changed.body["enabled"], changed.body["first_byte_timeout_ms"]) == (False, 5_000)
    assert operators.list_all("routes", model="gpt-4o", enabled="false") == [changed.body]
    assert operators.list_all("routes", provider="never") == []
    assert operators.delete(path).status == 204
    assert not Route.objects.exists()


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"model": "never"}, "model"),
        ({"provider": "never"}, "provider"),
        ({"upstream_model": "gpt-4o-2024"}, "upstream_model"),
        ({"upstream_model": "two words"}, "upstream_model"),
        ({"priority": -1}, "priority"),
        ({"weight": 32_768}, "weight"),
        ({"total_timeout_ms": 0}, "total_timeout_ms"),
        ({"cap_bounds_reasoning": "maybe"}, "cap_bounds_reasoning"),
    ],
)
def test_what_makes_no_route_is_refused_by_its_field(
    operators: Api, model: Model, provider: Provider, fields: dict[str, Any], field: str
) -> None:
    operators.post("routes", ROUTE)
    answer = operators.post("routes", {**ROUTE, "upstream_model": "new", **fields})
    assert (answer.status, answer.error["field"]) == (400, field)
    assert Route.objects.count() == 1


def test_only_operators_see_routes(
    operators: Api, model: Model, provider: Provider, alices: Api, charlies: Api
) -> None:
    number = operators.post("routes", ROUTE).body["id"]
    for api in (alices, charlies):
        assert api.get("routes").status == 403
        assert api.get(f"routes/{number}").status == 403
        assert api.post("routes", ROUTE).status == 403
        assert api.patch(f"routes/{number}", {"enabled": False}).status == 403
        assert api.delete(f"routes/{number}").status == 403
    assert Route.objects.get().enabled
