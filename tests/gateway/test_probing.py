"""Does a provider answer: one real call, told in words that hold no key."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import msgspec
import pytest
from django.conf import settings

from gateway.credentials import seal
from gateway.models import Credential, Model, Provider
from gateway.probing import PROBES_AT_ONCE, TooManyProbes, probe, take_place
from local.children import find_free_port
from local.provider import RunningProvider, start_in_thread

pytestmark = pytest.mark.django_db
CANARY = "sk-canary-4711-0123456789abcdef"


@pytest.fixture(scope="module")
def demo() -> Iterator[RunningProvider]:
    with start_in_thread(pace_seconds=0.0) as running:
        yield running


@pytest.fixture(autouse=True)
def loopback_is_allowed(settings: Any) -> None:
    settings.UPSTREAM_ALLOWED_NETWORKS = (ipaddress.ip_network("127.0.0.0/8"),)


def make_provider(base_url: str, protocol: str = "openai", *, credential: str = CANARY) -> Provider:
    provider = Provider.objects.create(name="there", protocol=protocol, base_url=base_url)
    if credential:
        Credential.objects.create(provider=provider, sealed=seal(credential), source="test")
    return provider


@pytest.mark.parametrize(
    ("protocol", "base", "model"),
    [
        ("openai", "/v1", "gpt-4o"),
        ("openai", "/v1/", "o4-mini"),
        ("anthropic", "", "claude-sonnet-4-5"),
    ],
)
def test_a_provider_that_works_says_what_it_used(
    demo: RunningProvider, protocol: str, base: str, model: str
) -> None:
    demo.reset_received()
    found = probe(make_provider(demo.url + base, protocol), model)
    assert found.trouble == ""
    assert (found.status, found.upstream_model) == (200, model)
    assert found.said
    assert (found.input_tokens or 0) > 0
    assert 0 < (found.output_tokens or 0) <= 16
    assert found.first_byte_ms is not None
    assert found.total_ms is not None
    assert len(demo.received()["requests"]) == 1


def test_a_model_of_responses_alone_is_asked_there(demo: RunningProvider) -> None:
    demo.reset_received()
    provider = make_provider(f"{demo.url}/v1")
    model = Model.objects.create(name="pro", context_window=1000, max_output_tokens=100)
    provider.routes.create(model=model, upstream_model="gpt-4o", only_responses=True)
    found = probe(provider, "gpt-4o")
    assert (found.status, found.trouble) == (200, "")
    assert found.said
    assert 0 < (found.output_tokens or 0) <= 16
    (asked,) = demo.received()["requests"]
    assert asked["path"] == "/v1/responses"


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("demo-401", "It answered 401: "),
        ("demo-500", "It answered 500: "),
        ("demo-html", "It answered 200, but not as such: "),
        ("demo-garbage", "It answered 200, but not as such: "),
        ("demo-redirect", "No whole answer came: redirect with status 302"),
        ("demo-reset", "No whole answer came: "),
        ("demo-no-usage", "It reports no usage"),
        ("demo-429-quota", "It answered 429: "),
    ],
)
def test_what_is_wrong_is_told_without_the_credential(
    demo: RunningProvider, model: str, told: str
) -> None:
    found = probe(make_provider(f"{demo.url}/v1"), model)
    assert found.trouble.startswith(told)
    shown = str(msgspec.to_builtins(found))
    assert not [
        CANARY[at : at + 8] for at in range(len(CANARY) - 7) if CANARY[at : at + 8] in shown
    ]


def test_a_provider_that_is_not_there_is_told_as_such() -> None:
    found = probe(make_provider(f"http://127.0.0.1:{find_free_port()}/v1"), "gpt-4o")
    assert found.trouble.startswith("No whole answer came: ClientConnectorError")
    assert found.status is None


def test_an_address_that_calls_may_not_go_to_is_not_called(
    demo: RunningProvider, settings: Any
) -> None:
    settings.UPSTREAM_ALLOWED_NETWORKS = ()
    demo.reset_received()
    found = probe(make_provider(f"{demo.url}/v1"), "gpt-4o")
    assert "UPSTREAM_ALLOWED_NETWORKS" in found.trouble
    assert demo.received()["requests"] == []


def test_a_provider_without_a_credential_is_not_called() -> None:
    found = probe(make_provider("https://api.example.com/v1", credential=""), "gpt-4o")
    assert found.trouble == "The provider has no credential."


def test_a_credential_that_no_key_opens_is_told_as_such(demo: RunningProvider) -> None:
    provider = make_provider(f"{demo.url}/v1")
    Credential.objects.update(sealed=b"sealed with a key that is lost")
    assert "no key in CREDENTIAL_KEYS opens it" in probe(provider, "gpt-4o").trouble
    assert settings.CREDENTIAL_KEYS[0] not in probe(provider, "gpt-4o").trouble


def test_a_few_are_asked_at_a_time_and_each_gives_up_its_place(demo: RunningProvider) -> None:
    """Six operators who tested a provider that does not answer had all threads of pages."""
    provider = make_provider(f"{demo.url}/v1")
    nowhere = f"http://127.0.0.1:{find_free_port()}/v1"
    for _ in range(PROBES_AT_ONCE + 1):
        provider.base_url = nowhere
        assert probe(provider, "gpt-4o").trouble
    provider.base_url = f"{demo.url}/v1"
    with ExitStack() as stack:
        for _ in range(PROBES_AT_ONCE):
            stack.enter_context(take_place())
        with pytest.raises(TooManyProbes):
            probe(provider, "gpt-4o")
    assert probe(provider, "gpt-4o").trouble == ""
