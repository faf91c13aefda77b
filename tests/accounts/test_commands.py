"""`manage.py issue_key` and `revoke_key`: what they print, and the sentence when they cannot."""

from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from accounts import keys
from accounts.issuance import IssuedKey
from accounts.models import ApiKey, AuditEvent, ManagementKey, Organization, Project, User


def test_plain_prints_the_key_and_nothing_else(project: Project) -> None:
    printed = _run("issue_key", "--project", "acme/default", "--name", "ci", "--plain")
    text = printed.removesuffix("\n")
    assert keys.parse(text, [settings.KEY_PREFIX]).public_id == ApiKey.objects.get().public_id


def test_a_person_is_told_that_the_key_is_shown_once(project: Project) -> None:
    printed = _run("issue_key", "--project", "acme/default", "--name", "ci")
    assert "acme/default" in printed
    assert "not shown again" in printed
    assert ApiKey.objects.get().public_id in printed.splitlines()[1]


def test_a_key_can_be_made_for_a_member_and_a_time(project: Project) -> None:
    _run("issue_key", "--project=acme/default", "--name=x", "--owner=Bob@example.org")
    _run("issue_key", "--project=acme/default", "--name=y", "--expires=30d")
    _run("issue_key", "--project=acme/default", "--name=z", "--expires=2099-01-31")
    owned, in_days, dated = ApiKey.objects.order_by("id")
    assert owned.owner is not None
    assert owned.owner.user.email == "bob@example.org"
    assert in_days.expires_at is not None
    assert abs(in_days.expires_at - timezone.now() - timedelta(days=30)) < timedelta(minutes=1)
    assert dated.expires_at == datetime(2099, 1, 31, tzinfo=UTC)


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["--project", "acme/other", "--name", "ci"], "project"),
        (["--project", "acme", "--name", "ci"], "project"),
        (["--project", "acme/default", "--name", ""], "name"),
        (["--project", "acme/default", "--name", "x", "--owner", "charlie@example.org"], "owner"),
        (["--project", "acme/default", "--name", "x", "--expires", "soon"], "expires"),
        (["--project", "acme/default", "--name", "x", "--expires", "2099-02-31"], "expires"),
        (["--project", "acme/default", "--name", "x", "--expires", "2001-01-01"], "expires_at"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_that_names_the_argument(
    project: Project, arguments: list[str], names: str
) -> None:
    with pytest.raises(CommandError, match=f"^{names}: ") as refused:
        _run("issue_key", *arguments)
    assert "\n" not in str(refused.value)
    assert refused.value.returncode == 1
    assert not ApiKey.objects.exists()


def test_a_key_is_revoked_by_its_public_id(issued: IssuedKey) -> None:
    assert "is revoked" in _run("revoke_key", issued.key.public_id, "--reason", "lost")
    assert "before" in _run("revoke_key", issued.key.public_id)
    assert ApiKey.objects.get().revoke_reason == "lost"


def test_a_whole_key_given_by_mistake_is_not_repeated(issued: IssuedKey) -> None:
    with pytest.raises(CommandError) as refused:
        _run("revoke_key", issued.plaintext)
    assert issued.plaintext[15:] not in str(refused.value)


def test_what_a_command_changes_is_audited_with_the_system_user(issued: IssuedKey) -> None:
    _run("revoke_key", issued.key.public_id)
    event = AuditEvent.objects.latest("id")
    assert event.via == "command"
    assert event.actor
    _run("revoke_key", issued.key.public_id)
    ApiKey.objects.update(name="renamed")
    assert AuditEvent.objects.latest("id").via == "sql"


def test_a_management_key_is_printed_once_and_opens_the_management_api(
    operator: User, acme: Organization
) -> None:
    text = _run("issue_management_key", "--name=ci", "--plain").strip()
    asked = Client(headers={"authorization": f"Bearer {text}"}).get("/api/v1/organizations/acme")
    assert asked.json()["role"] == "operator"
    assert "not shown again" in _run("issue_management_key", "--name=ci", "--read-only")
    made = ManagementKey.objects.order_by("id")
    assert [key.scope for key in made] == ["write", "read"]
    event = AuditEvent.objects.filter(object_kind="management_key").latest("id")
    assert event.via == "command"


def test_a_management_key_of_an_organization_is_its_makers(acme: Organization) -> None:
    text = _run(
        "issue_management_key",
        "--name=ci",
        "--by=Bob@example.org",
        "--organization=acme",
        "--plain",
    ).strip()
    asked = Client(headers={"authorization": f"Bearer {text}"}).get("/api/v1/organizations/acme")
    assert asked.json()["role"] == "member"


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ([], "by"),
        (["--by=never@example.org"], "by"),
        (["--by=bob@example.org"], "by"),
        (["--by=charlie@example.org", "--organization=acme"], "by"),
        (["--by=bob@example.org", "--organization=other"], "organization"),
        (["--by=bob@example.org", "--organization=acme", "--expires=2001-01-01"], "expires_at"),
    ],
)
def test_who_can_do_nothing_there_gets_no_management_key(
    acme: Organization, charlie: User, arguments: list[str], names: str
) -> None:
    with pytest.raises(CommandError, match=f"^{names}: "):
        _run("issue_management_key", "--name=ci", *arguments)
    assert not ManagementKey.objects.exists()


def _run(*arguments: str) -> str:
    out = StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()
