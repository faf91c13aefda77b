"""Signing in by an OpenID Connect provider, a real one over sockets: who gets in, as whom, and that
nobody takes an account over by an address that is not proven."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount, SocialToken
from django.core import mail
from django.test import Client

from accounts.invitations import invite
from accounts.models import Organization, User
from config import env
from tests.console.conftest import browser
from tests.console.identity import CLIENT_ID, CLIENT_SECRET, IdentityProvider, run_identity_provider

pytestmark = pytest.mark.django_db

DORA: dict[str, Any] = {
    "sub": "4711",
    "email": "dora@example.org",
    "email_verified": True,
    "name": "Dora",
}
START = "/accounts/oidc/oidc/login/"


@pytest.fixture(scope="module")
def running() -> Iterator[IdentityProvider]:
    with run_identity_provider() as provider:
        yield provider


@pytest.fixture
def provider(
    running: IdentityProvider, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> IdentityProvider:
    """The provider, as the environment names it, with Dora at its keyboard."""
    monkeypatch.setenv("OIDC_ISSUER", running.issuer)
    monkeypatch.setenv("OIDC_CLIENT_ID", CLIENT_ID)
    monkeypatch.setenv("OIDC_CLIENT_SECRET", CLIENT_SECRET)
    settings.SOCIALACCOUNT_PROVIDERS = {
        "openid_connect": {"APPS": env.oidc(), "OAUTH_PKCE_ENABLED": True}
    }
    settings.SIGNUP = "open"
    running.person, running.audience = dict(DORA), CLIENT_ID
    return running


def come_back(client: Client, **changes: str) -> Any:
    """Go to the provider and return the answer to what it sends the browser back with."""
    page = client.post(START).content.decode()
    leads = re.search(r'http-equiv="refresh" content="0; url=([^"]+)"', page)
    assert leads
    there = html.unescape(leads[1])
    while not there.startswith("http://testserver"):
        there = httpx2.get(there).headers["Location"]
    back = there.removeprefix("http://testserver")
    for old, new in changes.items():
        back = back.replace(f"{old}=", f"{old}={new}")
    answer: Any = client.get(back)
    return answer


def person_in(client: Client) -> User | None:
    number = client.session.get("_auth_user_id")
    return User.objects.get(pk=number) if number else None


def test_somebody_new_gets_an_account_without_a_letter(provider: IdentityProvider) -> None:
    client = browser()
    assert b"Continue with single sign-on" in client.get("/accounts/login/").content
    assert come_back(client)["Location"] == "/"
    dora = person_in(client)
    assert dora is not None
    assert (dora.email, dora.name, dora.has_usable_password()) == (DORA["email"], "Dora", False)
    assert EmailAddress.objects.get(user=dora).verified
    assert mail.outbox == []
    assert not SocialToken.objects.exists()


def test_whoever_was_here_before_is_known_by_their_number_whatever_their_address_is_now(
    provider: IdentityProvider,
) -> None:
    come_back(browser())
    provider.person |= {"email": "dora.married@example.org"}
    again = browser()
    come_back(again)
    assert User.objects.count() == 1
    assert person_in(again) == User.objects.get()


def test_a_proven_address_leads_to_the_account_that_has_it(
    provider: IdentityProvider, alice: User
) -> None:
    provider.person |= {"email": "Alice@Example.org"}
    client = browser()
    come_back(client)
    assert person_in(client) == alice
    assert SocialAccount.objects.get(user=alice).uid == DORA["sub"]
    alice.refresh_from_db()
    assert alice.has_usable_password(), "an operator made this account: nobody else knows it"


@pytest.mark.parametrize("claim", [False, "false", None, 0, "no", "unknown"])
def test_an_address_that_is_not_proven_takes_nothing_over(
    provider: IdentityProvider, alice: User, claim: Any
) -> None:
    provider.person |= {"email": alice.email, "email_verified": claim}
    client = browser()
    come_back(client)
    assert person_in(client) is None
    assert not SocialAccount.objects.exists()
    assert User.objects.count() == 1
    assert "already" in str(mail.outbox[0].body)


def test_a_new_address_that_is_not_proven_has_to_be(provider: IdentityProvider) -> None:
    provider.person |= {"email_verified": False}
    client = browser()
    come_back(client)
    assert person_in(client) is None
    assert client.get("/").status_code == 302
    assert [letter.to for letter in mail.outbox] == [[DORA["email"]]]


def test_who_signed_up_with_somebody_elses_address_has_nothing_of_it(
    provider: IdentityProvider,
) -> None:
    squatter = browser()
    form = {"email": DORA["email"], "password1": "correct horse battery"}
    squatter.post("/accounts/signup/", form)
    hers = browser()
    come_back(hers)
    dora = person_in(hers)
    assert dora is not None
    assert not dora.has_usable_password()
    assert EmailAddress.objects.get(user=dora).verified
    again = browser()
    again.post("/accounts/login/", {"login": DORA["email"], "password": form["password1"]})
    assert person_in(again) is None


def test_a_second_factor_is_asked_for_all_the_same(provider: IdentityProvider, alice: User) -> None:
    Authenticator.objects.create(user=alice, type="totp", data={"secret": "A" * 32})
    provider.person |= {"email": alice.email}
    client = browser()
    assert "/2fa/authenticate" in come_back(client)["Location"]
    assert person_in(client) is None


def test_who_may_come_is_said_by_the_same_setting(
    provider: IdentityProvider, settings: Any, acme: Organization, alice: User
) -> None:
    settings.SIGNUP = "closed"
    assert b"Accounts are not made here" in come_back(browser()).content
    settings.SIGNUP = "invited"
    assert b"Accounts are by invitation" in come_back(browser()).content
    invite(acme, email=DORA["email"], role="member", invited_by=alice)
    provider.person |= {"email_verified": "false"}
    assert b"Accounts are by invitation" in come_back(browser()).content
    provider.person |= {"email_verified": True}
    client = browser()
    come_back(client)
    assert person_in(client) is not None


def test_what_was_not_asked_for_is_not_believed(provider: IdentityProvider) -> None:
    for changes in ({"state": "x"}, {"code": "x"}):
        client = browser()
        assert come_back(client, **changes).status_code in {200, 401}
        assert person_in(client) is None
    provider.audience = "another service"
    client = browser()
    come_back(client)
    assert person_in(client) is None
    assert not User.objects.exists()


def test_a_provider_that_is_away_is_said_to_be(
    provider: IdentityProvider, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OIDC_ISSUER", "http://127.0.0.1:1")
    settings.SOCIALACCOUNT_PROVIDERS = {"openid_connect": {"APPS": env.oidc()}}
    answer = browser().post(START, follow=True)
    assert answer.redirect_chain == [("/accounts/login/", 302)]
    assert b"not possible now" in answer.content
