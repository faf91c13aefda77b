"""Ends of a key: disabled for a while, revoked for good, known to every process within a second."""

import asyncio
import time

import psycopg
import pytest
from django.conf import settings

from accounts.changes import Follower
from accounts.errors import InvalidField, KeyIsRevoked, KeyRefused
from accounts.issuance import IssuedKey, disable_key, enable_key, revoke_key
from accounts.keyring import Keyring
from accounts.models import ApiKey, AuditEvent


def test_a_revoked_key_says_when_and_why(issued: IssuedKey) -> None:
    assert revoke_key(issued.key, "found in a repository")
    key = ApiKey.objects.get()
    assert (key.status, key.revoke_reason) == ("revoked", "found in a repository")
    assert key.revoked_at is not None


def test_revoking_twice_keeps_the_first_reason(issued: IssuedKey) -> None:
    revoke_key(issued.key, "first")
    assert not revoke_key(issued.key, "second")
    assert ApiKey.objects.get().revoke_reason == "first"


def test_a_stale_copy_of_a_revoked_key_cannot_be_enabled(issued: IssuedKey) -> None:
    stale = ApiKey.objects.get()
    disable_key(issued.key)
    revoke_key(issued.key)
    with pytest.raises(KeyIsRevoked):
        enable_key(stale)
    with pytest.raises(KeyIsRevoked):
        disable_key(stale)
    assert ApiKey.objects.get().status == "revoked"


def test_a_disabled_key_can_be_enabled(issued: IssuedKey) -> None:
    assert disable_key(issued.key)
    assert not disable_key(issued.key)
    assert enable_key(issued.key)
    assert not enable_key(issued.key)
    assert ApiKey.objects.get().status == "active"


def test_a_reason_that_is_too_long_is_refused(issued: IssuedKey) -> None:
    with pytest.raises(InvalidField, match="reason"):
        revoke_key(issued.key, "x" * 201)


def test_the_audit_log_tells_before_and_after(issued: IssuedKey) -> None:
    revoke_key(issued.key, "lost")
    event = AuditEvent.objects.filter(object_kind="api_key").latest("id")
    assert event.before is not None
    assert event.after is not None
    assert (event.before["status"], event.after["status"]) == ("active", "revoked")


@pytest.mark.django_db(transaction=True)
async def test_every_process_refuses_a_revoked_key_within_a_second(
    issued: IssuedKey, dsn: str, aconn: psycopg.AsyncConnection
) -> None:
    rings = [
        Keyring(prefixes=[settings.KEY_PREFIX], peppers=settings.KEY_PEPPERS) for _ in range(4)
    ]
    followers = [Follower(dsn, [ring], freshness_seconds=5) for ring in rings]
    for follower in followers:
        await follower.start()
    tasks = [asyncio.create_task(follower.run()) for follower in followers]
    try:
        assert not any(_is_refused(ring, issued) for ring in rings)
        revoked_at = time.monotonic()
        await aconn.execute("UPDATE api_key SET status = 'revoked', revoked_at = now()")
        while not all(_is_refused(ring, issued) for ring in rings):
            # A second is promised of 99 in a hundred; this one may fall into other work.
            assert time.monotonic() - revoked_at < 1 + 1
            await asyncio.sleep(0.005)
    finally:
        for follower in followers:
            await follower.close()
        await asyncio.gather(*tasks)


def _is_refused(ring: Keyring, issued: IssuedKey) -> bool:
    try:
        ring.authenticate(issued.plaintext, now=time.time(), address=None)
    except KeyRefused as refused:
        return refused.code == "revoked"
    return False
