"""Management keys: made, revoked and recognized here. They open /api/v1 and /v1/organization, and
nothing else.

Their text has the form of a key under a prefix of its own, and they lie in a table of their own, so
neither kind can ever pass for the other. The text leaves as an IssuedManagementKey, once.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from datetime import datetime

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accounts import keys, rows
from accounts.changes import wait_for_turn
from accounts.errors import InvalidField, KeyRefused, MalformedKey, MustWait
from accounts.guessing import Guesses, Proven, find_place, whole_seconds
from accounts.models import ManagementKey, Organization, User

# By network address: thirty, and one more every two seconds.
WRONG_KEYS = Guesses(most=30, per_seconds=60)
RIGHT_BEFORE = Proven()


@dataclass(frozen=True, slots=True)
class IssuedManagementKey:
    """A management key with the text that is shown once."""

    key: ManagementKey
    plaintext: str = field(repr=False)


def issue_management_key(
    *,
    organization: Organization | None,
    name: str,
    scope: str,
    made_by: User,
    made_with: ManagementKey | None = None,
    expires_at: datetime | None = None,
) -> IssuedManagementKey:
    """Make a management key; without `organization` an operator's. Raises InvalidField.

    One that is made with another cannot outlive it: it ends when that one is to end, and is revoked
    along with it, so that whoever revokes a leaked key revokes all that came of it.
    """
    name = name.strip()
    if not name.isprintable():
        raise InvalidField("name", "holds characters that cannot be printed")
    if expires_at is not None and expires_at <= timezone.now():
        raise InvalidField("expires_at", "lies in the past")
    if expires_at is not None:
        rows.check_far("expires_at", expires_at)
    if made_with is not None and made_with.expires_at is not None:
        expires_at = expires_at or made_with.expires_at
        if expires_at > made_with.expires_at:
            raise InvalidField("expires_at", "is later than that of the key that makes it")
    new = keys.make_key(management_prefix(settings.KEY_PREFIX))
    version = max(settings.KEY_PEPPERS)
    key = ManagementKey(
        public_id=new.public_id,
        organization=organization,
        name=name,
        scope=scope,
        mac=keys.digest(new.text, settings.KEY_PEPPERS[version]),
        pepper_version=version,
        made_by=made_by,
        made_with=made_with,
        expires_at=expires_at,
    )
    return IssuedManagementKey(rows.insert(key), new.text)


def revoke_management_key(key: ManagementKey) -> bool:
    """End a management key for good, with all that was made with it; return False if that had been
    done before."""
    with transaction.atomic():
        wait_for_turn()
        alive = ManagementKey.objects.filter(revoked_at=None)
        ended = alive.filter(pk=key.pk).update(revoked_at=timezone.now())
        found = {key.pk}
        while found:
            made = ManagementKey.objects.filter(made_with__in=found)
            found = set(made.values_list("pk", flat=True))
            alive.filter(pk__in=found).update(revoked_at=timezone.now())
    key.refresh_from_db()
    return ended == 1


def recognize(text: str, *, address: str | None) -> ManagementKey:
    """Return the management key of that text, from somebody at that network address.

    Raises KeyRefused, and MustWait, without any look-up, where the address was wrong too often.
    """
    place, now = find_place(address), time.monotonic()
    wait = 0.0 if text in RIGHT_BEFORE else WRONG_KEYS.wait_seconds(place, now)
    if wait:
        raise MustWait(whole_seconds(wait))
    try:
        key = authenticate(text)
    except KeyRefused as error:
        if error.proves_nothing:
            WRONG_KEYS.note(place, now)
        raise
    RIGHT_BEFORE.add(text)
    return key


def authenticate(text: str) -> ManagementKey:
    """Return the management key of that text. Raises KeyRefused, `unknown` unless it proves it.

    What it may do is access.find_key_standing().
    """
    prefixes = {management_prefix(p) for p in (settings.KEY_PREFIX, *settings.OLD_KEY_PREFIXES)}
    try:
        public_id = keys.parse(text, prefixes).public_id
    except MalformedKey:
        raise KeyRefused("malformed", "This is not a management key of this service.") from None
    key = (
        ManagementKey.objects.filter(public_id=public_id)
        .select_related("made_by", "organization")
        .first()
    )
    if not _proves(key, text) or key is None:
        raise KeyRefused("unknown", "This management key does not exist.")
    if key.revoked_at is not None:
        raise KeyRefused("revoked", "This management key was revoked.")
    if key.expires_at is not None and key.expires_at <= timezone.now():
        raise KeyRefused("expired", "This management key has expired.")
    if not key.made_by.is_active:
        raise KeyRefused("maker_inactive", "Whoever made this management key is inactive.")
    return key


def management_prefix(prefix: str) -> str:
    """Return what management keys begin with where keys begin with `prefix`."""
    return f"{prefix[: keys.MAX_PREFIX_LENGTH - 1]}m"


def _proves(key: ManagementKey | None, text: str) -> bool:
    # An unknown key is compared too, so that it takes as long as a wrong secret.
    mac = bytes(key.mac) if key else secrets.token_bytes(32)
    version = key.pepper_version if key else max(settings.KEY_PEPPERS)
    pepper = settings.KEY_PEPPERS.get(version)
    return pepper is not None and keys.matches(mac, text, pepper) and key is not None
