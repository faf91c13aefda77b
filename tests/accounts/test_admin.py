"""The operator's pages: they load under a strict policy, show no secret, and obey the rules."""

import re
from datetime import timedelta
from html import unescape
from typing import Protocol

import pytest
from django.conf import settings
from django.contrib import admin
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts import keys
from accounts.issuance import IssuedKey, revoke_key
from accounts.models import ApiKey, AuditEvent, ChangeLog, Membership, Organization, Project, User

OURS = [model for model in admin.site._registry if model.__module__ == "accounts.models"]
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


def test_every_page_loads_and_needs_nothing_that_the_policy_forbids(
    operator: Client, issued: IssuedKey
) -> None:
    for model in OURS:
        name = model._meta.model_name
        pages = [reverse(f"admin:accounts_{name}_changelist")]
        pages += [
            reverse(
                f"admin:accounts_{name}_change", args=[model._default_manager.earliest("pk").pk]
            )
        ]
        if model not in {AuditEvent, ChangeLog}:
            pages += [reverse(f"admin:accounts_{name}_add")]
        for page in pages:
            answer = operator.get(page)
            assert answer.status_code == 200, page
            assert "script-src 'self';" in answer["content-security-policy"]
            assert not re.search(
                r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", _text(answer)
            ), page


def test_no_page_shows_a_digest(operator: Client, issued: IssuedKey) -> None:
    mac = bytes(issued.key.secrets.get().mac).hex()
    for model in OURS:
        page = reverse(
            f"admin:accounts_{model._meta.model_name}_change",
            args=[model._default_manager.latest("pk").pk],
        )
        assert mac not in _text(operator.get(page))


def test_a_new_key_is_shown_once_and_kept_in_no_cookie_or_session(
    operator: Client, project: Project
) -> None:
    answer = operator.post(ADD, {**FIELDS, "project": project.pk})
    key = ApiKey.objects.get()
    found = re.search(rf"<code>({settings.KEY_PREFIX}_\w+)</code>", _text(answer))
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
