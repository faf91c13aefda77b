"""The ways in: an invitation, a second factor, and what JavaScript is not needed for."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

from allauth.mfa.totp.internal import auth as totp

from tests.browser.test_key_in_a_minute import wait_for_status
from tests.browser.visit import PASSWORD, Visit


def test_who_is_invited_signs_up_and_is_in(visit: Callable[..., Visit]) -> None:
    owner, guest = visit(), visit()
    owner.sign_up()
    organization = owner.make_organization("Inviters")
    owner.go(f"{organization}people/invite")
    owner.fill(email=guest.email)
    owner.page.locator("[name=role]").select_option("viewer")
    owner.press("Send the invitation")
    owner.see("A letter is on its way")

    guest.go(guest.read_letter(r"(/invitations/\S+)"))
    assert guest.find_barriers() == []
    guest.press(f"Make an account for {guest.email}")
    guest.fill(email=guest.email, password1=PASSWORD)
    guest.press("Make the account")  # The token has proven the address: no code is asked for.
    guest.press("Accept the invitation")
    guest.see("Welcome to Inviters.")
    assert guest.page.get_by_role("link", name="New key").count() == 0


def test_a_second_factor_is_asked_for_from_then_on(visit: Callable[..., Visit]) -> None:
    person, later = visit(), visit()
    person.sign_up()
    person.go("/accounts/2fa/totp/activate/")
    person.fill(password=PASSWORD)
    person.press("Confirm")
    assert person.find_barriers() == []
    secret = person.page.locator("#authenticator_secret").input_value()
    person.fill(code=make_code(secret))
    person.press("Activate")
    person.page.wait_for_url("**/2fa/recovery-codes/**")
    person.go("/accounts/2fa/recovery-codes/")
    assert person.find_barriers() == []
    shown = person.page.locator("#recovery_codes").input_value()
    recovery = shown.split()[0]

    later.sign_in(person.email, PASSWORD)
    later.see("Authenticator code")
    assert later.find_barriers() == []
    later.fill(code="000000")
    later.press("Sign In")
    later.see("Incorrect code")
    later.fill(code=recovery)
    later.press("Sign In")
    later.see("You are in no organization yet")
    later.go("/accounts/sessions/")
    assert later.page.locator("tbody tr").count() == 2


def test_everything_up_to_a_key_works_without_javascript(visit: Callable[..., Visit]) -> None:
    person = visit(java_script_enabled=False)
    person.sign_up()
    organization = person.make_organization("Plain")
    secret = person.make_key(organization, "plain")
    assert re.fullmatch(r"tg_[0-9A-Za-z]{50}", secret)
    assert wait_for_status(person, secret, 200)
    assert person.page.get_by_role("button", name="Make a test call").count() == 0


def make_code(secret: str) -> str:
    """What an authenticator app shows now, and for as long as it takes to type it in: in its last
    seconds whoever is slow waits for the next one."""
    from django.conf import settings

    if not settings.configured:
        settings.configure()
    left = 30 - time.time() % 30
    if left < 10:
        time.sleep(left)
    counter: Any = next(iter(totp.yield_hotp_counters_from_time()))
    value: str = totp.format_hotp_value(totp.hotp_value(secret, counter))
    return value
