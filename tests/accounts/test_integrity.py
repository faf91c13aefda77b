"""What the database itself refuses about keys, whoever writes."""

import pytest
from django.db import IntegrityError, connection
from django.utils import timezone

from accounts.models import ApiKey, Membership, Organization, Project, User


def test_a_key_cannot_stand_in_a_project_of_another_organization(project: Project) -> None:
    strangers = Organization.objects.create(slug="strangers", name="Strangers")
    with pytest.raises(IntegrityError, match="api_key_project_of_its_organization"):
        _make_key(project, organization=strangers)


def test_a_key_cannot_belong_to_a_member_of_another_organization(
    project: Project, charlie: User
) -> None:
    strangers = Organization.objects.create(slug="strangers", name="Strangers")
    stranger = Membership.objects.create(organization=strangers, user=charlie)
    with pytest.raises(IntegrityError, match="api_key_owner_of_its_organization"):
        _make_key(project, owner=stranger)


def test_a_project_with_keys_cannot_move_to_another_organization(project: Project) -> None:
    _make_key(project)
    strangers = Organization.objects.create(slug="strangers", name="Strangers")
    with pytest.raises(IntegrityError):
        Project.objects.filter(pk=project.pk).update(organization=strangers)


def test_saving_what_was_read_before_a_revocation_does_not_undo_it(project: Project) -> None:
    stale = _make_key(project)
    ApiKey.objects.update(status="revoked", revoked_at=timezone.now())
    with pytest.raises(IntegrityError, match="final"):
        stale.save()


def test_a_revoked_key_says_when(project: Project) -> None:
    key = _make_key(project)
    with pytest.raises(IntegrityError, match="api_key_revoked_at_some_time"):
        ApiKey.objects.filter(pk=key.pk).update(status="revoked")


def test_a_revoked_key_can_still_be_described_anew(project: Project) -> None:
    _make_key(project)
    ApiKey.objects.update(status="revoked", revoked_at=timezone.now())
    with connection.cursor() as cursor:
        cursor.execute("UPDATE api_key SET revoke_reason = 'found in a repository'")
    assert ApiKey.objects.get().revoke_reason == "found in a repository"


def _make_key(project: Project, **fields: object) -> ApiKey:
    fields.setdefault("organization", project.organization)
    return ApiKey.objects.create(public_id="0" * 12, project=project, name="key", **fields)
