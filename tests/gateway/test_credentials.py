"""What is kept of a provider's secret, and what never shows it."""

import copy
import io
import os
import pickle
import subprocess
import sys

import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command
from pytest_django import Settings

from gateway.credentials import (
    CredentialError,
    Secret,
    check_secret,
    open_sealed,
    reseal_credentials,
    seal,
)
from gateway.models import Credential, Protocol, Provider

TEXT = "canary-8f3a1c"


def test_what_was_sealed_opens_again() -> None:
    sealed = seal(TEXT)
    assert TEXT.encode() not in sealed
    assert open_sealed(sealed).reveal() == TEXT


def test_a_secret_does_not_show_itself() -> None:
    secret = Secret(TEXT)
    shown = f"{secret} {secret!r} {[secret]}"
    assert TEXT not in shown
    assert not hasattr(secret, "__dict__")


@pytest.mark.parametrize("leak", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_secret_is_not_pickled(leak: object) -> None:
    with pytest.raises(TypeError, match="neither pickled nor copied"):
        leak(Secret(TEXT))  # type: ignore[operator]


def test_secrets_are_equal_when_their_texts_are() -> None:
    assert Secret(TEXT) == Secret(TEXT)
    assert Secret(TEXT) != Secret("other")
    assert Secret(TEXT) != TEXT


def test_an_older_key_still_opens(settings: Settings) -> None:
    sealed = seal(TEXT)
    settings.CREDENTIAL_KEYS = [Fernet.generate_key().decode(), *settings.CREDENTIAL_KEYS]
    assert open_sealed(sealed).reveal() == TEXT


def test_without_its_key_the_refusal_names_the_variable(settings: Settings) -> None:
    sealed = seal(TEXT)
    settings.CREDENTIAL_KEYS = [Fernet.generate_key().decode()]
    with pytest.raises(CredentialError, match="CREDENTIAL_KEYS"):
        open_sealed(sealed)


def test_after_resealing_the_old_key_can_go(db: None, settings: Settings) -> None:
    _add_credential("first")
    _add_credential("second")
    new = Fernet.generate_key().decode()
    settings.CREDENTIAL_KEYS = [new, *settings.CREDENTIAL_KEYS]
    assert reseal_credentials() == 2
    settings.CREDENTIAL_KEYS = [new]
    texts = [open_sealed(row.sealed).reveal() for row in Credential.objects.order_by("id")]
    assert texts == ["first", "second"]


def test_resealing_changes_none_when_one_does_not_open(db: None, settings: Settings) -> None:
    first = _add_credential("first")
    lost = _add_credential("lost")
    lost.sealed = Fernet(Fernet.generate_key()).encrypt(b"sealed elsewhere")
    lost.save()
    with pytest.raises(CredentialError, match=f"credential {lost.pk} at .*CREDENTIAL_KEYS"):
        reseal_credentials()
    assert bytes(Credential.objects.get(pk=first.pk).sealed) == first.sealed


def test_the_command_reseals_and_says_how_many(db: None, settings: Settings) -> None:
    _add_credential("first")
    settings.CREDENTIAL_KEYS = [Fernet.generate_key().decode(), *settings.CREDENTIAL_KEYS]
    output = io.StringIO()
    call_command("reseal_credentials", stdout=output)
    assert output.getvalue().endswith(": 1 credentials and 0 second factors.\n")
    settings.CREDENTIAL_KEYS = [Fernet.generate_key().decode()]
    with pytest.raises(CommandError, match="CREDENTIAL_KEYS"):
        call_command("reseal_credentials", stdout=output)


@pytest.mark.parametrize("text", ["", "two words", "line\nbreak", "nul\0", "schlüssel"])
def test_a_secret_that_no_header_can_carry_is_refused_unquoted(text: str) -> None:
    with pytest.raises(ValueError) as refused:
        check_secret(text)
    assert not text or text not in str(refused.value)


@pytest.mark.parametrize("keys", ["", ",", "short", "!" * 44, f"{'A' * 43}=,{'B' * 40}"])
def test_bad_keys_in_the_environment_end_the_process_with_a_sentence(keys: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", "import config.settings"],
        env={**os.environ, "CREDENTIAL_KEYS": keys},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("CREDENTIAL_KEYS")
    assert len(ended.stderr.splitlines()) == 1
    assert "BBBB" not in ended.stderr


def _add_credential(text: str) -> Credential:
    provider, _ = Provider.objects.get_or_create(
        name="openai", protocol=Protocol.OPENAI, base_url="https://api.openai.com/v1"
    )
    return Credential.objects.create(provider=provider, sealed=seal(text), source="test")
