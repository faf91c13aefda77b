"""Rotation: one key, one history, two secrets for a while."""

import time
from datetime import timedelta

import psycopg
import pytest
from django.utils import timezone

from accounts.errors import InvalidField, KeyIsRevoked, KeyRefused, RotationInProgress
from accounts.issuance import IssuedKey, revoke_key, rotate_key
from accounts.models import ApiKey
from tests.accounts.conftest import FollowedKeyring

DAY = timedelta(days=1)


def test_the_new_secret_belongs_to_the_same_key(issued: IssuedKey) -> None:
    rotated = rotate_key(issued.key, DAY)
    assert rotated.key == issued.key
    assert rotated.plaintext != issued.plaintext
    assert rotated.plaintext[3:15] == issued.plaintext[3:15]
    assert ApiKey.objects.count() == 1


def test_the_old_secret_ends_after_the_grace(issued: IssuedKey) -> None:
    rotate_key(issued.key, DAY)
    old, new = issued.key.secrets.order_by("id")
    assert new.ends_at is None
    assert old.ends_at is not None
    assert abs(old.ends_at - timezone.now() - DAY) < timedelta(seconds=10)


def test_a_third_secret_is_refused_while_two_are_alive(issued: IssuedKey) -> None:
    rotate_key(issued.key, DAY)
    with pytest.raises(RotationInProgress):
        rotate_key(issued.key, DAY)
    assert issued.key.secrets.count() == 2


def test_rotating_without_grace_ends_every_older_secret_at_once(issued: IssuedKey) -> None:
    rotate_key(issued.key, DAY)
    rotate_key(issued.key, timedelta(0))
    now = timezone.now()
    *old, newest = issued.key.secrets.order_by("id")
    assert all(secret.ends_at and secret.ends_at <= now for secret in old)
    assert newest.ends_at is None


def test_a_secret_that_ended_makes_room_for_another(issued: IssuedKey) -> None:
    rotate_key(issued.key, DAY)
    issued.key.secrets.exclude(ends_at=None).update(ends_at=timezone.now())
    rotate_key(issued.key, DAY)
    assert issued.key.secrets.count() == 3


def test_a_revoked_key_cannot_be_rotated(issued: IssuedKey) -> None:
    revoke_key(ApiKey.objects.get(), "lost")
    with pytest.raises(KeyIsRevoked):
        rotate_key(issued.key, DAY)


@pytest.mark.parametrize("grace", [timedelta(seconds=-1), timedelta(days=91)])
def test_a_grace_outside_its_bounds_is_refused(issued: IssuedKey, grace: timedelta) -> None:
    with pytest.raises(InvalidField, match="grace"):
        rotate_key(issued.key, grace)


@pytest.mark.django_db(transaction=True)
async def test_both_secrets_call_until_the_exact_end_of_the_old_one(
    issued: IssuedKey, rotated: IssuedKey, keyring: FollowedKeyring, aconn: psycopg.AsyncConnection
) -> None:
    end = int(time.time()) + 100  # PostgreSQL keeps whole microseconds.
    await aconn.execute(
        "UPDATE api_key_secret SET ends_at = to_timestamp(%s) WHERE ends_at IS NOT NULL", (end,)
    )
    await keyring.catch_up()
    for text in (issued.plaintext, rotated.plaintext):
        assert keyring.authenticate(text, now=end - 0.001, address=None).id == issued.key.pk
    assert keyring.authenticate(rotated.plaintext, now=end, address=None).id == issued.key.pk
    with pytest.raises(KeyRefused, match="expired"):
        keyring.authenticate(issued.plaintext, now=end, address=None)


@pytest.fixture
def rotated(issued: IssuedKey) -> IssuedKey:
    return rotate_key(issued.key, DAY)
