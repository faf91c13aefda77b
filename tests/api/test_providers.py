"""/providers: made by operators, with a credential that goes in and never comes out."""

import ipaddress
from contextlib import ExitStack
from typing import Any

import pytest

from accounts.models import AuditEvent, Organization
from gateway.credentials import open_sealed
from gateway.models import Credential, Model, Provider
from gateway.probing import PROBES_AT_ONCE, take_place
from gateway.routes import make_model, make_route
from local.provider import start_in_thread
from tests.api.asking import Api

pytestmark = pytest.mark.django_db

CANARY = "sk-canary-credential-0123456789"
FIELDS = {"name": "openai", "protocol": "openai", "base_url": "https://api.openai.com/v1"}


@pytest.fixture
def provider(operators: Api) -> Provider:
    operators.post("providers", {**FIELDS, "credential": CANARY})
    return Provider.objects.get(name="openai")


def test_a_provider_is_made_with_a_credential_that_nobody_sees_again(operators: Api) -> None:
    made = operators.post("providers", {**FIELDS, "credential": CANARY})
    assert made.status == 201
    assert made.body["credential"]["source"] == "api"
    assert CANARY not in str([made, operators.get("providers"), operators.get("audit")])
    assert CANARY not in str(list(AuditEvent.objects.values()))
    assert open_sealed(Credential.objects.get().sealed).reveal() == CANARY


def test_a_credential_is_replaced_and_the_newest_is_shown(
    operators: Api, provider: Provider
) -> None:
    before = operators.get("providers/openai").body["credential"]
    assert operators.post("providers/openai/credential", {"credential": CANARY}).status == 200
    assert Credential.objects.count() == 1
    after = operators.post("providers/openai/credential", {"credential": "another"})
    assert after.body["credential"] != before
    newest = Credential.objects.order_by("-id")[0]
    assert open_sealed(newest.sealed).reveal() == "another"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": "not a slug"}, "name"),
        ({"protocol": "soap"}, "protocol"),
        ({"base_url": "ftp://example.org"}, "base_url"),
        ({"base_url": "http://169.254.169.254/v1"}, "base_url"),
        ({"base_url": "http://user:pass@example.org"}, "base_url"),
        ({"credential": "two words"}, "credential"),
        ({"credential": "sch\u00fcssel"}, "credential"),
        ({"credential": ""}, "credential"),
        ({"sealed": "x"}, "sealed"),
    ],
)
def test_what_makes_no_provider_is_refused_by_its_field(
    operators: Api, fields: dict[str, str], field: str
) -> None:
    answer = operators.post("providers", {**FIELDS, **fields})
    assert (answer.status, answer.error["field"]) == (400, field)
    assert not Provider.objects.exists()
    assert not fields.get("credential") or fields["credential"] not in str(answer.body)


def test_a_provider_of_that_name_is_not_made_twice(operators: Api, provider: Provider) -> None:
    assert operators.post("providers", FIELDS).error["field"] == "name"


def test_a_provider_is_changed_and_keeps_its_name(operators: Api, provider: Provider) -> None:
    changed = operators.patch("providers/openai", {"base_url": "https://eu.example.org/v1"})
    assert changed.body["base_url"] == "https://eu.example.org/v1"
    assert operators.patch("providers/openai", {"enabled": False}).body["enabled"] is False
    assert [each["name"] for each in operators.list_all("providers", enabled="false")] == ["openai"]
    assert operators.list_all("providers", enabled="true") == []
    assert operators.patch("providers/openai", {"name": "other"}).error["field"] == "name"
    says = {"responses": True, "cap_field": "max_completion_tokens"}
    told = operators.patch("providers/openai", says).body
    assert {name: told[name] for name in says} == says
    assert operators.patch("providers/openai", {"cap_field": ""}).body["cap_field"] == ""
    inner = operators.patch("providers/openai", {"base_url": "http://10.0.0.1/"})
    assert inner.error["field"] == "base_url"


def test_a_provider_goes_when_no_route_leads_to_it(operators: Api, provider: Provider) -> None:
    model = make_model(name="gpt-4o", context_window=10, max_output_tokens=10)
    make_route(model, provider, upstream_model="gpt-4o")
    kept = operators.delete("providers/openai")
    assert (kept.status, kept.error["code"]) == (409, "in_use")
    Model.objects.all().delete()
    assert operators.delete("providers/openai").status == 204
    assert not Credential.objects.exists()


def test_only_operators_see_providers(
    provider: Provider, alices: Api, charlies: Api, acme: Organization
) -> None:
    for api in (alices, charlies):
        for answer in (
            api.get("providers"),
            api.get("providers/openai"),
            api.get("providers/never"),
            api.patch("providers/openai", {"enabled": False}),
            api.post("providers/openai/credential", {"credential": "mine"}),
            api.delete("providers/openai"),
        ):
            assert (answer.status, answer.error["code"]) == (403, "permission_denied")
    provider.refresh_from_db()
    assert provider.enabled


def test_a_provider_is_tried_by_one_small_real_call(operators: Api, settings: Any) -> None:
    settings.UPSTREAM_ALLOWED_NETWORKS = (ipaddress.ip_network("127.0.0.0/8"),)
    with start_in_thread(pace_seconds=0.0) as demo:
        there = {"protocol": "openai", "base_url": f"{demo.url}/v1", "credential": CANARY}
        operators.post("providers", {**there, "name": "there"})
        works = operators.post("providers/there/test", {"upstream_model": "gpt-4o"})
        assert (works.status, works.body["works"], works.body["status"]) == (200, True, 200)
        assert works.body["output_tokens"] > 0
        fails = operators.post("providers/there/test", {"upstream_model": "demo-404"}).body
    assert (fails["works"], fails["status"]) == (False, 404)
    gone = operators.post("providers/there/test", {"upstream_model": "gpt-4o"}).body
    assert (gone["works"], gone["status"]) == (False, None)
    assert CANARY not in str((works, fails, gone))


def test_who_tests_while_others_do_is_told_to_wait(operators: Api, provider: Provider) -> None:
    with ExitStack() as stack:
        for _ in range(PROBES_AT_ONCE):
            stack.enter_context(take_place())
        told = operators.post("providers/openai/test", {"upstream_model": "gpt-4o"})
    assert (told.status, told.error["code"]) == (429, "too_many_tests")
    assert "Try again" in told.error["message"]
    assert told.headers["retry-after"] == "5"


def test_a_provider_without_a_credential_is_not_called(operators: Api, provider: Provider) -> None:
    provider.credentials.all().delete()
    told = operators.post("providers/openai/test", {"upstream_model": "gpt-4o"}).body
    assert told["trouble"] == "The provider has no credential."
    for body in ({}, {"upstream_model": ""}, {"upstream_model": "x" * 201}):
        refused = operators.post("providers/openai/test", body)
        assert (refused.status, refused.error["field"]) == (400, "upstream_model")
