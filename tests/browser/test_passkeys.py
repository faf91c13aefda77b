"""Passkeys, by a virtual authenticator in the browser, and single sign-on, by a real provider."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import expect

from tests.browser.visit import PASSWORD, Visit
from tests.console.identity import IdentityProvider


def add_authenticator(person: Visit) -> None:
    """Give the browser a passkey holder that says yes at once, as a finger on a sensor does."""
    session = person.page.context.new_cdp_session(person.page)
    session.send("WebAuthn.enable", {"enableUI": False})
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    session.send("WebAuthn.addVirtualAuthenticator", {"options": options})


def test_a_passkey_is_added_opens_the_door_alone_and_can_be_removed(
    visit: Callable[..., Visit],
) -> None:
    person = visit()
    person.sign_up()
    add_authenticator(person)
    person.go("/accounts/2fa/webauthn/add/")
    person.fill(password=PASSWORD)
    person.press("Confirm")
    person.fill(name="A finger")
    person.page.locator("[name=passwordless]").check()
    person.press("Add")
    person.page.wait_for_url("**/2fa/recovery-codes/**")
    person.go("/accounts/2fa/webauthn/")
    person.see("A finger")
    assert person.find_barriers() == []

    person.sign_out()
    person.go("/accounts/login/")
    person.press("Sign in with a passkey")  # Neither an address nor a password is asked for.
    person.see("You are in no organization yet")

    person.go("/accounts/2fa/webauthn/")
    person.press("Remove")
    person.fill(password=PASSWORD)  # Whoever sits at an open browser is not enough.
    person.press("Confirm")
    person.see("Are you sure you want to remove this security key?")
    person.press("Remove")
    person.see("No security keys have been added.")
    person.sign_out()
    person.sign_in(person.email, PASSWORD)
    person.see("You are in no organization yet")


def test_a_passkey_is_the_second_factor_of_who_has_a_password(visit: Callable[..., Visit]) -> None:
    person = visit()
    person.sign_up()
    add_authenticator(person)
    person.go("/accounts/2fa/webauthn/add/")
    person.fill(password=PASSWORD)
    person.press("Confirm")
    person.fill(name="A key on a ring")
    person.press("Add")
    person.page.wait_for_url("**/2fa/recovery-codes/**")

    person.sign_out()
    person.sign_in(person.email, PASSWORD)
    person.page.wait_for_url("**/2fa/authenticate/**")
    assert person.find_barriers() == []
    person.press("Use a security key")
    person.see("You are in no organization yet")


def test_single_sign_on_leads_there_and_back(
    visit: Callable[..., Visit], identity_provider: IdentityProvider
) -> None:
    person = visit()
    identity_provider.person = {
        "sub": "browser-1",
        "email": person.email,
        "email_verified": True,
        "name": "Petra Person",
    }
    person.go("/accounts/login/")
    person.press("Continue with Acme's sign-on")
    person.see("You are in no organization yet")
    expect(person.page.get_by_text("Petra Person")).to_be_visible()
    person.go("/accounts/3rdparty/")
    person.see("Acme's sign-on")
    assert person.find_barriers() == []
