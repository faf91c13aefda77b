"""The operator's pages of providers and models: a credential goes in and never comes out."""

import ipaddress
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import AuditEvent, User
from gateway.credentials import open_sealed
from gateway.models import Credential, Model, Provider, Route
from gateway.probing import PROBES_AT_ONCE, take_place
from local.provider import RunningProvider, start_in_thread
from tests.gateway.catalogs import add_model, add_provider, add_route

pytestmark = pytest.mark.django_db

ADD = reverse("admin:gateway_provider_add")
CANARY = "canary-4711"
FIELDS = {
    "name": "openai",
    "protocol": "openai",
    "base_url": "https://api.openai.com/v1",
    "enabled": "on",
    "credential": CANARY,
}


@pytest.fixture(scope="module")
def demo() -> Iterator[RunningProvider]:
    with start_in_thread(pace_seconds=0.0) as running:
        yield running


@pytest.fixture
def operator(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("operator@example.org", "password"))
    return client


def test_a_provider_is_made_with_its_credential_sealed(operator: Client) -> None:
    assert operator.post(ADD, FIELDS).status_code == 302
    credential = Credential.objects.get(provider__name="openai")
    assert open_sealed(credential.sealed).reveal() == CANARY
    assert CANARY.encode() not in bytes(credential.sealed)


def test_no_page_shows_the_credential(operator: Client) -> None:
    operator.post(ADD, FIELDS)
    provider = Provider.objects.get()
    history = reverse("admin:gateway_provider_history", args=[provider.pk])
    for address in (page(provider), history, reverse("admin:gateway_provider_changelist")):
        shown = operator.get(address).content
        assert b"openai" in shown
        assert CANARY.encode() not in shown
        assert bytes(Credential.objects.get().sealed) not in shown


def test_a_form_with_an_error_does_not_send_the_credential_back(operator: Client) -> None:
    response = operator.post(ADD, {**FIELDS, "name": ""})
    assert response.status_code == 200
    assert CANARY.encode() not in response.content


def test_an_empty_field_keeps_the_credential(operator: Client) -> None:
    provider = add_provider("openai")
    operator.post(page(provider), {**FIELDS, "credential": "", "enabled": ""})
    provider.refresh_from_db()
    assert not provider.enabled
    assert open_sealed(provider.credentials.get().sealed).reveal() == "secret of openai"


def test_a_new_credential_takes_the_place_of_the_old_one(operator: Client) -> None:
    provider = add_provider("openai")
    operator.post(page(provider), FIELDS)
    newest = provider.credentials.first()
    assert newest is not None
    assert open_sealed(newest.sealed).reveal() == CANARY


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("base_url", "http://169.254.169.254/", b"UPSTREAM_ALLOWED_NETWORKS"),
        ("base_url", "ftp://example.com", b"must begin with http"),
        ("credential", "two words", b"cannot stand in a header"),
        ("name", "a b", b"valid"),
        ("protocol", "gopher", b"valid choice"),
    ],
)
def test_a_field_that_cannot_be_used_is_refused(
    field: str, value: str, told: bytes, operator: Client
) -> None:
    response = operator.post(ADD, {**FIELDS, field: value})
    assert response.status_code == 200
    assert told in response.content
    assert not Provider.objects.exists()


def test_a_provider_may_be_a_container_without_a_dot_in_its_name(operator: Client) -> None:
    operator.post(ADD, {**FIELDS, "base_url": "http://ollama:11434/v1"})
    assert Provider.objects.get().base_url == "http://ollama:11434/v1"


def test_a_model_is_made_with_its_routes(operator: Client) -> None:
    provider = add_provider("openai")
    routes = {
        "routes-TOTAL_FORMS": "1",
        "routes-INITIAL_FORMS": "0",
        "routes-0-provider": str(provider.pk),
        "routes-0-upstream_model": "gpt-4o-2024",
        "routes-0-priority": "0",
        "routes-0-weight": "1",
        "routes-0-enabled": "on",
    }
    model = {
        "name": "gpt-4o",
        "context_window": "10",
        "max_output_tokens": "5",
        "overhead_tokens": "0",
        "enabled": "on",
    }
    response = operator.post(reverse("admin:gateway_model_add"), {**model, **routes})
    assert response.status_code == 302
    assert Model.objects.get().routes.get().upstream_model == "gpt-4o-2024"


def test_the_timeouts_of_a_route_can_be_changed(operator: Client) -> None:
    route = add_route(add_model("gpt-4o"), add_provider("openai"))
    address = reverse("admin:gateway_route_change", args=[route.pk])
    form = operator.get(address).context["adminform"].form
    operator.post(address, {**form.initial, "idle_timeout_ms": "1000"})
    assert Route.objects.get().idle_timeout_ms == 1000


def test_a_change_is_audited_with_the_operator_and_without_the_secret(operator: Client) -> None:
    operator.post(ADD, FIELDS)
    events = AuditEvent.objects.filter(object_kind__in=["provider", "credential"])
    assert [(event.actor, event.via) for event in events] == [("operator@example.org", "admin")] * 2
    assert "sealed" not in str([event.after for event in events])


def test_charlie_sees_none_of_it(client: Client, charlie: User) -> None:
    client.force_login(charlie)
    provider = add_provider("openai")
    for address in (ADD, page(provider), reverse("admin:gateway_model_changelist")):
        assert client.get(address).status_code == 302
        assert client.post(address, FIELDS).status_code == 302
    assert Credential.objects.count() == 1


def page(provider: Provider) -> str:
    return reverse("admin:gateway_provider_change", args=[provider.pk])


def test_a_provider_is_tested_by_a_real_call(
    operator: Client, demo: RunningProvider, settings: Any
) -> None:
    settings.UPSTREAM_ALLOWED_NETWORKS = (ipaddress.ip_network("127.0.0.0/8"),)
    provider = add_provider("openai", base_url=f"{demo.url}/v1")
    add_route(add_model("gpt-4o"), provider)
    assert "Test this provider" in operator.get(page(provider)).content.decode()
    answer = operator.post(address_of_test(provider), {"upstream_model": "gpt-4o"})
    assert "It works." in answer.content.decode()
    answer = operator.post(address_of_test(provider), {"upstream_model": "demo-401"})
    text = answer.content.decode()
    assert "It does not work" in text
    assert "It answered 401" in text
    assert "secret of openai" not in text


def test_a_provider_to_which_no_route_leads_is_tested_too(operator: Client) -> None:
    """The page looked for the first of its models: 500."""
    provider = add_provider("openai", base_url="http://127.0.0.1:9/v1")
    answer = operator.post(address_of_test(provider), {"upstream_model": ""})
    assert "Nothing was asked yet" in answer.content.decode()
    answer = operator.post(address_of_test(provider), {"upstream_model": "gpt-4o"})
    assert "It does not work" in answer.content.decode()


def test_a_provider_is_tested_by_operators_only_and_by_post(
    client: Client, charlie: User, demo: RunningProvider
) -> None:
    provider = add_provider("openai", base_url=f"{demo.url}/v1")
    demo.reset_received()
    support = User.objects.create_user("support@example.org", "password", is_staff=True)
    client.force_login(support)
    assert client.post(address_of_test(provider), {"upstream_model": "gpt-4o"}).status_code == 403
    client.force_login(charlie)
    assert client.post(address_of_test(provider), {"upstream_model": "gpt-4o"}).status_code == 302
    client.force_login(User.objects.create_superuser("operator@example.org", "password"))
    assert client.get(address_of_test(provider)).status_code == 405
    assert demo.received()["requests"] == []


def test_who_tests_while_others_do_is_told_so(operator: Client) -> None:
    provider = add_provider("openai", base_url="https://api.openai.com/v1")
    with ExitStack() as stack:
        for _ in range(PROBES_AT_ONCE):
            stack.enter_context(take_place())
        told = operator.post(address_of_test(provider), {"upstream_model": "gpt-4o"})
    assert told.status_code == 429
    assert "tests of providers are under way" in told.content.decode()


def address_of_test(provider: Provider) -> str:
    return reverse("admin:gateway_provider_test", args=[provider.pk])
