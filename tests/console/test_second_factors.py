"""Second factors: their secrets are sealed, a code is good once, and tries are counted for all
processes together."""

from __future__ import annotations

from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal import auth as totp
from cryptography.fernet import Fernet
from django.core.cache import caches
from django.core.management import call_command
from django.db import connection
from django.test import Client

from accounts.models import User
from gateway.credentials import CredentialError
from tests.console.conftest import browser

pytestmark = pytest.mark.django_db
SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
HALF_MINUTE = 58_000_000


@pytest.fixture(autouse=True)
def half_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """A code is good for half a minute, and none ends between a code and its use here."""
    monkeypatch.setattr(totp, "yield_hotp_counters_from_time", lambda: iter([HALF_MINUTE]))


def make_code(secret: str = SECRET) -> str:
    return str(totp.format_hotp_value(totp.hotp_value(secret, HALF_MINUTE)))


@pytest.fixture
def factor(alice: User) -> totp.TOTP:
    return totp.TOTP.activate(alice, SECRET)


def begin(alice: User) -> Client:
    """Come as far as the question for a code."""
    client = browser()
    client.post("/accounts/login/", {"login": alice.email, "password": "alice's password"})
    return client


def enter(client: Client, code: str) -> bool:
    client.post("/accounts/2fa/authenticate/", {"code": code})
    return "_auth_user_id" in client.session


def test_neither_a_secret_nor_the_seed_of_recovery_codes_stands_in_the_database(
    factor: totp.TOTP, alice: User
) -> None:
    codes = RecoveryCodes.activate(alice).get_unused_codes()
    with connection.cursor() as cursor:
        cursor.execute("SELECT data::text FROM mfa_authenticator")
        stored = str(cursor.fetchall())
    assert SECRET not in stored
    assert stored.count("sealed:") == 2
    assert enter(begin(alice), codes[0])


def test_what_was_stored_before_it_was_sealed_is_still_good(alice: User) -> None:
    Authenticator.objects.create(user=alice, type="totp", data={"secret": SECRET})
    assert enter(begin(alice), make_code())


def test_a_new_key_seals_anew_and_the_old_one_can_go(
    factor: totp.TOTP, alice: User, settings: Any, capsys: Any
) -> None:
    RecoveryCodes.activate(alice)
    new = Fernet.generate_key().decode()
    settings.CREDENTIAL_KEYS = [new, *settings.CREDENTIAL_KEYS]
    call_command("reseal_credentials")
    assert "2 second factors" in capsys.readouterr().out
    settings.CREDENTIAL_KEYS = [new]
    assert enter(begin(alice), make_code())
    settings.CREDENTIAL_KEYS = [Fernet.generate_key().decode()]
    with pytest.raises(CredentialError):
        totp.TOTP(Authenticator.objects.get(type="totp")).validate_code(make_code())


def test_a_code_is_good_once_in_whichever_process(factor: totp.TOTP, alice: User) -> None:
    code = make_code()
    assert enter(begin(alice), code)
    assert not enter(begin(alice), code)
    # Another process has other objects, and the same table.
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM try_count WHERE cache_key LIKE '%%totp.used%%'")
        assert cursor.fetchone() == (1,)


def test_tries_of_codes_are_counted_where_every_process_sees_them(
    factor: totp.TOTP, alice: User
) -> None:
    said = [begin(alice).post("/accounts/2fa/authenticate/", {"code": "000000"}) for _ in range(12)]
    assert b"Too many" in said[-1].content
    assert not enter(begin(alice), make_code())
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM try_count")  # As whoever waits long enough.
    assert enter(begin(alice), make_code())
    assert caches["default"].get("nothing") is None
