"""Making a key: what is stored, what is shown, and what is refused with the field's name."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone

from accounts import keys
from accounts.errors import InvalidField
from accounts.issuance import IssuedKey, issue_key
from accounts.models import ApiKey, AuditEvent, Membership, Organization, Project, User


def test_a_service_key_stands_in_its_project_and_organization(project: Project) -> None:
    issued = issue_key(project=project, name=" ci ")
    key = ApiKey.objects.get()
    assert issued.key == key
    assert (key.name, key.owner, key.organization) == ("ci", None, project.organization)
    assert keys.parse(issued.plaintext, [settings.KEY_PREFIX]).public_id == key.public_id


def test_only_a_digest_under_the_newest_pepper_is_stored(project: Project, settings: Any) -> None:
    settings.KEY_PEPPERS = {1: b"a" * 32, 3: b"c" * 32}
    issued = issue_key(project=project, name="ci")
    secret = issued.key.secrets.get()
    assert secret.pepper_version == 3
    assert bytes(secret.mac) == keys.digest(issued.plaintext, b"c" * 32)


def test_the_plaintext_is_shown_by_no_representation(issued: IssuedKey) -> None:
    assert issued.plaintext[15:] not in repr(issued)


def test_the_audit_log_has_the_key_and_no_digest(issued: IssuedKey) -> None:
    events = AuditEvent.objects.filter(object_kind__in=["api_key", "api_key_secret"])
    assert events.count() == 2
    assert all(event.after and "mac" not in event.after for event in events)


def test_a_member_can_own_a_key_with_restrictions(project: Project, bob: User) -> None:
    owner = Membership.objects.get(user=bob)
    tomorrow = timezone.now() + timedelta(days=1)
    issue_key(
        project=project,
        name="laptop",
        owner=owner,
        expires_at=tomorrow,
        models=["gpt-4o", "gpt-4o"],
        endpoints=["chat.completions"],
        networks=["10.0.0.0/8", "2001:db8::1"],
        tags={"team": "search"},
    )
    key = ApiKey.objects.get()
    assert (key.owner, key.expires_at, key.tags) == (owner, tomorrow, {"team": "search"})
    assert (key.allowed_models, key.allowed_endpoints) == (["gpt-4o"], ["chat.completions"])
    assert [str(network) for network in key.allowed_networks] == ["10.0.0.0/8", "2001:db8::1/128"]


@pytest.mark.parametrize(
    ("field", "arguments"),
    [
        ("name", {"name": "  "}),
        ("name", {"name": "x" * 101}),
        ("name", {"name": "two\nlines"}),
        ("expires_at", {"expires_at": datetime(2020, 1, 1)}),
        ("expires_at", {"expires_at": timezone.now() - timedelta(seconds=1)}),
        ("models", {"models": [""]}),
        ("models", {"models": [str(number) for number in range(101)]}),
        ("endpoints", {"endpoints": ["x" * 101]}),
        ("networks", {"networks": ["10.0.0.1/8"]}),
        ("networks", {"networks": ["localhost"]}),
        ("tags", {"tags": {"": "x"}}),
        ("tags", {"tags": {"team": 1}}),
        ("tags", {"tags": {str(number): "x" for number in range(17)}}),
    ],
)
def test_what_cannot_be_accepted_is_refused_by_name(
    project: Project, field: str, arguments: dict[str, Any]
) -> None:
    with pytest.raises(InvalidField) as refused:
        issue_key(**{"project": project, "name": "ci", **arguments})
    assert refused.value.field == field
    assert str(refused.value).startswith(f"{field}: ")
    assert not ApiKey.objects.exists()


def test_a_stranger_cannot_own_a_key(project: Project, charlie: User) -> None:
    strangers = Organization.objects.create(slug="strangers", name="Strangers")
    owner = Membership.objects.create(organization=strangers, user=charlie)
    with pytest.raises(InvalidField, match="owner"):
        issue_key(project=project, name="ci", owner=owner)


def test_a_member_who_left_cannot_own_a_new_key(project: Project, bob: User) -> None:
    owner = Membership.objects.get(user=bob)
    owner.left_at = timezone.now()
    with pytest.raises(InvalidField, match="owner"):
        issue_key(project=project, name="ci", owner=owner)


def test_an_archived_project_gets_no_new_keys(project: Project) -> None:
    project.archived_at = timezone.now()
    with pytest.raises(InvalidField, match="project"):
        issue_key(project=project, name="ci")
