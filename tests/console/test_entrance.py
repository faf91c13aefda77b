"""Who may sign up and sign in, and what of it is believed."""

from __future__ import annotations

import re
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.core import mail
from django.test import Client
from django.urls import reverse

from accounts.models import AuditEvent, Membership, Organization, User
from tests.console.conftest import browser
from tests.console.test_roles import OTHERS, addresses

pytestmark = pytest.mark.django_db
NEW = {"email": "dora@example.org", "password1": "correct horse battery"}


def sign_up(client: Client, **more: str) -> None:
    assert client.post(reverse("account_signup"), {**NEW, **more}).status_code == 302


def test_an_account_works_once_its_address_is_proven(settings: Any) -> None:
    settings.SIGNUP = "open"
    client = browser()
    sign_up(client)
    assert client.get("/").status_code == 302
    code = re.search(r"Your code is\s+(\S+)", str(mail.outbox[0].body))
    assert code
    client.post(reverse("account_email_verification_sent"), {"code": code[1]})
    assert client.get("/").status_code == 200
    assert User.objects.get().email == NEW["email"]


def test_letters_name_the_public_address_and_not_the_host_that_was_asked(
    settings: Any, alice: User
) -> None:
    settings.SIGNUP = "open"
    client = Client(headers={"host": "evil.example"})
    sign_up(client, email=alice.email)
    client.post(reverse("account_reset_password"), {"email": alice.email})
    assert len(mail.outbox) == 2
    for letter in mail.outbox:
        assert "evil.example" not in f"{letter.subject}{letter.body}"
    assert settings.PUBLIC_URL in str(mail.outbox[0].body)


@pytest.mark.parametrize(
    ("who", "told"),
    [("invited", b"Accounts are by invitation"), ("closed", b"Accounts are not made here")],
)
def test_nobody_signs_up_where_that_is_not_open(settings: Any, who: str, told: bytes) -> None:
    settings.SIGNUP = who
    client = browser()
    answer = client.post(reverse("account_signup"), NEW)
    assert told in answer.content
    assert not User.objects.exists()


def test_who_is_invited_signs_up_with_that_address_alone(
    settings: Any, token: str, acme: Organization
) -> None:
    settings.SIGNUP = "invited"
    client = browser()
    client.get(reverse("invitation", args=[token]))
    refused = client.post(reverse("account_signup"), NEW)
    assert b"Sign up with the address that was invited" in refused.content
    sign_up(client, email="invited@example.org")
    client.post(reverse("invitation", args=[token]))
    joined = Membership.objects.get(organization=acme, user__email="invited@example.org")
    assert (joined.role, EmailAddress.objects.get(user=joined.user).verified) == ("member", True)


def test_an_invitation_is_shown_to_nobody_else_and_taken_once(
    token: str, alices: Client, charlies: Client, acme: Organization
) -> None:
    address = reverse("invitation", args=[token])
    for client in (alices, charlies):
        assert b"for somebody else" in client.post(address).content
    invited = User.objects.create_user("invited@example.org")
    assert browser(invited).post(address).status_code == 302
    assert browser(invited).post(address).status_code == 404
    assert Membership.objects.filter(organization=acme, user=invited).count() == 1


def test_an_account_that_an_operator_made_signs_in_without_a_letter(operator: User) -> None:
    client = browser()
    form = {"login": operator.email, "password": "operator's password"}
    assert client.post(reverse("account_login"), form).status_code == 302
    assert client.get("/operations/").status_code == 200
    assert mail.outbox == []


def test_a_second_factor_cannot_be_gone_around_through_the_admin(operator: User) -> None:
    Authenticator.objects.create(user=operator, type="totp", data={"secret": "x"})
    client = browser()
    form = {"username": operator.email, "password": "operator's password"}
    answer = client.post("/admin/login/", form)
    assert b"This account has a second factor" in answer.content
    assert client.get("/admin/").status_code == 302
    client.post(reverse("account_login"), {"login": operator.email, "password": form["password"]})
    assert client.get("/admin/").status_code == 302


def test_wrong_passwords_of_strangers_keep_nobody_out(alice: User) -> None:
    address = reverse("account_login")
    right = {"login": alice.email, "password": "alice's password"}
    hers = Client(REMOTE_ADDR="192.0.2.1")
    assert hers.post(address, right).status_code == 302
    stranger = Client(REMOTE_ADDR="192.0.2.2")
    wrong = {**right, "password": "wrong"}
    assert {stranger.post(address, wrong).status_code for _ in range(20)} == {200, 429}
    assert Client(REMOTE_ADDR="192.0.2.1").post(address, right).status_code == 302


def test_a_change_of_how_somebody_gets_in_is_audited_without_what_proves_it(alice: User) -> None:
    Authenticator.objects.create(user=alice, type="totp", data={"secret": "CANARY"})
    event = AuditEvent.objects.filter(object_kind="mfa_authenticator").get()
    assert (event.action, "CANARY" in str(event.after)) == ("insert", False)


def test_every_page_of_accounts_has_our_shell_and_keeps_the_policy(alices: Client) -> None:
    """Those that need a step before them lead elsewhere; none has a script or a style inside."""
    shown = 0
    for name, pattern in addresses():
        if not name.startswith(OTHERS) or pattern.pattern.converters:
            continue
        for client in (alices, browser()):
            try:
                address = reverse(name)
            except Exception:
                continue
            page = client.get(address)
            if page.status_code != 200 or "html" not in page["content-type"]:
                continue
            shown += 1
            text = page.content.decode()
            assert "console/tokens.css" in text, name
            assert not re.search(r"<script(?![^>]*(src=|application/json))", text), name
            assert not re.search(r"<style|\sstyle=|\son[a-z]+=", text), name
    assert shown > 10


def test_a_new_password_signs_out_who_is_signed_in_elsewhere(alices: Client, alice: User) -> None:
    elsewhere = browser()
    elsewhere.post(reverse("account_login"), {"login": alice.email, "password": "alice's password"})
    assert elsewhere.get("/o/acme/").status_code == 200
    here = browser()
    here.post(reverse("account_login"), {"login": alice.email, "password": "alice's password"})
    form = {"oldpassword": "alice's password", "password1": "another good one", "password2": ""}
    form["password2"] = form["password1"]
    assert here.post(reverse("account_change_password"), form).status_code == 302
    assert here.get("/o/acme/").status_code == 200
    assert elsewhere.get("/o/acme/").status_code == 302
