"""The operator's pages: they load under a strict policy, show no secret, and obey the rules."""

import re
from datetime import timedelta
from html import unescape
from typing import Protocol

import pytest
from allauth.mfa.models import Authenticator
from django.conf import settings
from django.core.mail import EmailMessage
from django.test import Client
from django.utils import timezone

from accounts import keys
from accounts.issuance import IssuedKey, revoke_key
from accounts.management_keys import authenticate
from accounts.models import (
    ApiKey,
    AuditEvent,
    ChangeLog,
    Invitation,
    ManagementKey,
    Membership,
    Organization,
    Project,
    User,
)

FIELDS = {
    "name": "ci",
    "owner": "",
    "expires_at_0": "",
    "expires_at_1": "",
    "allowed_models": "gpt-4o, grok-4",
    "allowed_endpoints": "",
    "allowed_networks": "10.0.0.0/8",
    "tags": '{"team": "search"}',
}
ADD = "/admin/accounts/apikey/add/"


@pytest.fixture
def operator(client: Client, db: None) -> Client:
    client.force_login(User.objects.create_superuser("operator@example.org", "a password"))
    return client


def test_a_new_key_is_shown_once_and_kept_in_no_cookie_or_session(
    operator: Client, project: Project
) -> None:
    answer = operator.post(ADD, {**FIELDS, "project": project.pk})
    key = ApiKey.objects.get()
    found = re.search(rf"<code class=\"shown\">({settings.KEY_PREFIX}_\w+)</code>", _text(answer))
    assert found is not None
    assert keys.parse(found[1], [settings.KEY_PREFIX]).public_id == key.public_id
    assert "no-store" in answer["cache-control"]
    secret = found[1][15:]
    assert secret not in str(operator.cookies) + str(dict(operator.session))
    assert secret not in _text(operator.get(f"/admin/accounts/apikey/{key.pk}/change/"))
    assert (key.allowed_models, key.tags) == (["gpt-4o", "grok-4"], {"team": "search"})
    assert AuditEvent.objects.latest("id").actor == "operator@example.org"


@pytest.mark.parametrize(
    ("field", "value"),
    [("name", "  "), ("allowed_networks", "10.0.0.1/8"), ("tags", "[1]"), ("tags", '{"a": 1}')],
)
def test_what_issuing_refuses_is_said_beside_the_field(
    operator: Client, project: Project, field: str, value: str
) -> None:
    answer = operator.post(ADD, {**FIELDS, "project": project.pk, field: value})
    assert answer.status_code == 200
    assert f'id="id_{field}_error"' in _text(answer)
    assert not ApiKey.objects.exists()


def test_a_key_is_not_given_to_a_stranger(
    operator: Client, project: Project, charlie: User
) -> None:
    strangers = Organization.objects.create(slug="strangers", name="Strangers")
    stranger = Membership.objects.create(organization=strangers, user=charlie)
    answer = operator.post(ADD, {**FIELDS, "project": project.pk, "owner": stranger.pk})
    assert "is not a member of the project" in unescape(_text(answer))


def test_an_expired_key_can_be_renamed(operator: Client, issued: IssuedKey) -> None:
    past = timezone.now().replace(microsecond=0) - timedelta(days=1)
    ApiKey.objects.update(expires_at=past)
    changed = {**FIELDS, "name": "renamed", "tags": ""}
    changed |= {"expires_at_0": f"{past:%Y-%m-%d}", "expires_at_1": f"{past:%H:%M:%S}"}
    answer = operator.post(f"/admin/accounts/apikey/{issued.key.pk}/change/", changed)
    assert answer.status_code == 302, _text(answer)
    key = ApiKey.objects.get()
    assert (key.name, key.expires_at, key.tags) == ("renamed", past, {})


def test_keys_are_revoked_by_an_action_and_never_deleted(
    operator: Client, issued: IssuedKey
) -> None:
    page = "/admin/accounts/apikey/"
    operator.post(page, {"action": "revoke", "_selected_action": [issued.key.pk]})
    assert ApiKey.objects.get().status == "revoked"
    assert operator.get(f"{page}{issued.key.pk}/delete/").status_code == 403


def test_a_key_is_rotated_and_the_new_secret_shown_once(
    operator: Client, issued: IssuedKey
) -> None:
    page = f"/admin/accounts/apikey/{issued.key.pk}/"
    assert 'action="/admin/accounts/apikey/' in _text(operator.get(f"{page}change/"))
    text = _text(operator.post(f"{page}rotate/", {"grace": "24"}))
    found = re.search(rf'<code class="shown">({settings.KEY_PREFIX}_\w+)</code>', text)
    assert found is not None
    assert keys.parse(found[1], [settings.KEY_PREFIX]).public_id == issued.key.public_id
    assert found[1] != issued.plaintext
    assert issued.key.secrets.filter(ends_at=None).count() == 1
    again = operator.post(f"{page}rotate/", {"grace": "24"}, follow=True)
    assert "Two secrets of this key are alive already" in _text(again)
    assert operator.post(f"{page}rotate/", {"grace": "x"}).status_code == 400
    assert operator.get(f"{page}rotate/").status_code == 405


def test_a_management_key_is_shown_once_and_revoked_by_an_action(
    operator: Client, project: Project
) -> None:
    page = "/admin/accounts/managementkey/"
    asked = {"organization": project.organization_id, "name": "terraform", "scope": "write"}
    text = _text(operator.post(f"{page}add/", asked))
    found = re.search(r'<code class="shown">(\w+)</code>', text)
    assert found is not None
    key = authenticate(found[1])
    assert (key.made_by.email, key.organization) == ("operator@example.org", project.organization)
    assert found[1] not in _text(operator.get(f"{page}{key.pk}/change/"))
    assert operator.post(f"{page}{key.pk}/change/", asked).status_code == 403
    operator.post(page, {"action": "revoke", "_selected_action": [key.pk]})
    assert ManagementKey.objects.get().revoked_at is not None


def test_a_management_key_that_has_expired_is_not_made(operator: Client) -> None:
    past = {"expires_at_0": "2020-01-01", "expires_at_1": "00:00:00"}
    asked = {"organization": "", "name": "old", "scope": "read", **past}
    answer = operator.post("/admin/accounts/managementkey/add/", asked)
    assert "Lies in the past." in _text(answer)
    assert not ManagementKey.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_an_invitation_is_sent_and_taken_back(
    client: Client, project: Project, mailoutbox: list[EmailMessage]
) -> None:
    client.force_login(User.objects.create_superuser("operator@example.org", "a password"))
    page = "/admin/accounts/invitation/"
    asked = {"organization": project.organization_id, "email": "Dave@example.org", "role": "member"}
    assert client.post(f"{page}add/", asked).status_code == 302
    made = Invitation.objects.get()
    assert (made.email, made.invited_by.email) == ("dave@example.org", "operator@example.org")
    assert [letter.to for letter in mailoutbox] == [["dave@example.org"]]
    client.post(page, {"action": "take_back", "_selected_action": [made.pk]})
    made.refresh_from_db()
    assert made.revoked_at is not None
    member = {**asked, "email": "bob@example.org"}
    assert "is a member already" in _text(client.post(f"{page}add/", member))


def test_enabling_a_revoked_key_says_why_not(operator: Client, issued: IssuedKey) -> None:
    revoke_key(issued.key)
    action = {"action": "enable", "_selected_action": [issued.key.pk]}
    answer = operator.post("/admin/accounts/apikey/", action, follow=True)
    assert "which is final" in _text(answer)


def test_a_user_is_made_with_a_password_and_an_address_in_lower_case(operator: Client) -> None:
    password = "a long enough password"
    answer = operator.post(
        "/admin/accounts/user/add/",
        {
            "email": "Dave@Example.org",
            "name": "Dave",
            "usable_password": "true",
            "password1": password,
            "password2": password,
        },
    )
    assert answer.status_code == 302, _text(answer)
    dave = User.objects.get(email="dave@example.org")
    assert dave.check_password(password)


def test_a_person_who_lost_a_second_factor_is_helped_and_it_is_audited(
    operator: Client, alice: User
) -> None:
    Authenticator.objects.create(user=alice, type="totp", data={"secret": "x"})
    act = {"action": "remove_second_factors", "_selected_action": [alice.pk]}
    operator.post("/admin/accounts/user/", act)
    assert not Authenticator.objects.exists()
    event = AuditEvent.objects.filter(object_kind="mfa_authenticator").latest("id")
    assert (event.action, event.actor) == ("delete", "operator@example.org")


def test_a_person_is_logged_out_everywhere(operator: Client, alice: User) -> None:
    theirs = Client()
    theirs.force_login(alice)
    operator.post("/admin/accounts/user/", {"action": "log_out", "_selected_action": [alice.pk]})
    assert theirs.get("/").wsgi_request.user.is_anonymous


def test_a_person_is_deactivated_and_reactivated_and_the_last_operator_stays(
    operator: Client, alice: User
) -> None:
    hers = Client()
    hers.force_login(alice)
    page = "/admin/accounts/user/"
    for action, is_active in (("deactivate", False), ("reactivate", True)):
        operator.post(page, {"action": action, "_selected_action": [alice.pk]})
        alice.refresh_from_db()
        assert alice.is_active is is_active
        assert hers.get("/").status_code == 302
        assert "/login/" in hers.get("/")["location"]
    last = User.objects.get(is_staff=True)
    refused = operator.post(page, {"action": "deactivate", "_selected_action": [last.pk]})
    assert refused.status_code == 302
    assert "only operator" in _text(operator.get(page))


def test_a_time_zone_that_nobody_knows_is_refused(operator: Client, project: Project) -> None:
    page = f"/admin/accounts/organization/{project.organization_id}/change/"
    answer = operator.post(page, {"slug": "acme", "name": "Acme", "time_zone": "Europe/Nowhere"})
    assert "is not a time zone" in _text(answer)


def test_the_logs_can_only_be_read(operator: Client, project: Project) -> None:
    for name, event in (("auditevent", AuditEvent), ("changelog", ChangeLog)):
        number = event.objects.latest("pk").pk
        assert operator.post(f"/admin/accounts/{name}/{number}/change/").status_code == 403
        assert operator.get(f"/admin/accounts/{name}/{number}/delete/").status_code == 403
        assert operator.get(f"/admin/accounts/{name}/add/").status_code == 403


def test_nobody_but_an_operator_comes_in(client: Client, alice: User) -> None:
    assert client.get("/admin/accounts/apikey/").status_code == 302
    client.force_login(alice)
    assert client.get("/admin/accounts/apikey/").status_code == 302


class Answer(Protocol):
    content: bytes


def _text(answer: Answer) -> str:
    return answer.content.decode()


def test_the_only_operator_stays_one(operator: Client, alice: User) -> None:
    user = User.objects.get(email="operator@example.org")
    page = f"/admin/accounts/user/{user.pk}/change/"
    fields = {"email": user.email, "name": "Operator"}  # A box that is not ticked is not sent.
    answer = operator.post(page, fields)
    assert "This is the only operator" in _text(answer)
    user.refresh_from_db()
    assert (user.is_staff, user.is_superuser) == (True, True)
    User.objects.filter(pk=alice.pk).update(is_staff=True)
    assert operator.post(page, fields).status_code == 302
    user.refresh_from_db()
    assert not user.is_staff
