"""Which calls the keyring lets through, which it refuses and what it says then."""

import time

import psycopg
import pytest
from django.conf import settings

from accounts import keys
from accounts.errors import REFUSALS, KeyRefused
from accounts.issuance import IssuedKey
from accounts.keyring import Keyring
from accounts.models import Project
from tests.accounts.conftest import FollowedKeyring

pytestmark = pytest.mark.django_db(transaction=True)
NOW = time.time()


async def test_a_key_is_recognised_and_described(
    keyring: Keyring, issued: IssuedKey, project: Project
) -> None:
    record = keyring.authenticate(issued.plaintext, now=NOW, address=None)
    assert (record.id, record.public_id, record.name) == (
        issued.key.pk,
        issued.key.public_id,
        "ci",
    )
    assert (record.organization_slug, record.project_slug) == ("acme", "default")
    assert (record.project, record.member, record.member_user) == (project.pk, None, None)
    assert (record.time_zone, record.hang_up) == ("Europe/Berlin", "close")
    assert record.made_at == pytest.approx(issued.key.made_at.timestamp())


async def test_a_record_shows_no_digest(keyring: Keyring, issued: IssuedKey) -> None:
    record = keyring.authenticate(issued.plaintext, now=NOW, address=None)
    assert "mac" not in repr(record)


async def test_text_that_is_no_key_is_refused(keyring: Keyring) -> None:
    assert _refusal(keyring, "") == "missing"
    for token in ("sk-proj-abc", "tg_" + "x" * 50, "tg_", "\0", "ключ"):
        assert _refusal(keyring, token) == "malformed"


async def test_an_unknown_key_and_a_wrong_secret_are_refused_alike(
    keyring: Keyring, issued: IssuedKey
) -> None:
    unknown = keys.make_key(settings.KEY_PREFIX)
    forged = keys.make_key(settings.KEY_PREFIX, public_id=issued.key.public_id)
    answers = set()
    for token in (unknown.text, forged.text):
        with pytest.raises(KeyRefused) as refused:
            keyring.authenticate(token, now=NOW, address=None)
        answers.add((refused.value.code, str(refused.value)))
    assert answers == {("unknown", REFUSALS["unknown"])}


async def test_no_refusal_repeats_any_part_of_the_key(keyring: Keyring, issued: IssuedKey) -> None:
    for token in (issued.plaintext[:-1] + "!", keys.make_key("tg").text, "tg_secretsecret"):
        with pytest.raises(KeyRefused) as refused:
            keyring.authenticate(token, now=NOW, address=None)
        assert not any(token[at : at + 6] in str(refused.value) for at in range(len(token) - 6))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ("UPDATE api_key SET status = 'disabled'", "disabled"),
        ("UPDATE api_key SET status = 'revoked', revoked_at = now()", "revoked"),
        ("UPDATE organization SET status = 'suspended'", "organization_suspended"),
        ("UPDATE project SET archived_at = now()", "project_archived"),
        ("UPDATE api_key SET expires_at = now() - interval '1 second'", "expired"),
        ("UPDATE api_key_secret SET ends_at = now() - interval '1 second'", "expired"),
        ("UPDATE api_key_secret SET mac = decode(repeat('00', 32), 'hex')", "unknown"),
        ("DELETE FROM api_key_secret", "unknown"),
    ],
)
async def test_a_change_in_sql_refuses_the_next_call(
    keyring: FollowedKeyring,
    issued: IssuedKey,
    aconn: psycopg.AsyncConnection,
    change: str,
    code: str,
) -> None:
    assert _refusal(keyring, issued.plaintext) is None
    await aconn.execute(change.encode())
    await keyring.catch_up()
    assert _refusal(keyring, issued.plaintext) == code


async def test_the_keys_of_a_member_who_left_are_refused_until_they_are_handed_over(
    keyring: FollowedKeyring, issued: IssuedKey, aconn: psycopg.AsyncConnection
) -> None:
    await aconn.execute(
        "UPDATE api_key SET owner_id = (SELECT id FROM membership WHERE role = 'member')"
    )
    await keyring.catch_up()
    assert _refusal(keyring, issued.plaintext) is None
    await aconn.execute("UPDATE membership SET left_at = now() WHERE role = 'member'")
    await keyring.catch_up()
    assert _refusal(keyring, issued.plaintext) == "member_left"
    await aconn.execute("UPDATE api_key SET owner_id = NULL")
    await keyring.catch_up()
    assert _refusal(keyring, issued.plaintext) is None


async def test_expiry_is_exact(
    keyring: FollowedKeyring, issued: IssuedKey, aconn: psycopg.AsyncConnection
) -> None:
    await aconn.execute("UPDATE api_key SET expires_at = to_timestamp(2000000000)")
    await keyring.catch_up()
    keyring.authenticate(issued.plaintext, now=1999999999.999, address=None)
    with pytest.raises(KeyRefused, match="expired"):
        keyring.authenticate(issued.plaintext, now=2000000000.0, address=None)


async def test_a_key_can_be_held_to_networks(
    keyring: FollowedKeyring, issued: IssuedKey, aconn: psycopg.AsyncConnection
) -> None:
    await aconn.execute("UPDATE api_key SET networks = '{10.0.0.0/8,2001:db8::/32}'")
    await keyring.catch_up()
    for address in ("10.1.2.3", "::ffff:10.1.2.3", "2001:db8::1"):
        assert _refusal(keyring, issued.plaintext, address=address) is None
    for stranger in ("192.0.2.1", "2001:db9::1", "nonsense", None):
        assert _refusal(keyring, issued.plaintext, address=stranger) == "address_not_allowed"


async def test_renaming_an_organization_reaches_its_keys(
    keyring: FollowedKeyring, issued: IssuedKey, aconn: psycopg.AsyncConnection
) -> None:
    keyring.authenticate(issued.plaintext, now=NOW, address=None)
    await aconn.execute("UPDATE organization SET slug = 'emca', time_zone = 'UTC'")
    assert len(await keyring.catch_up()) == 1
    record = keyring.authenticate(issued.plaintext, now=NOW, address=None)
    assert (record.organization_slug, record.time_zone) == ("emca", "UTC")


async def test_a_key_made_later_and_a_key_deleted_are_followed(
    keyring: FollowedKeyring, issued: IssuedKey, aconn: psycopg.AsyncConnection
) -> None:
    await aconn.execute("DELETE FROM api_key_secret")
    await aconn.execute("DELETE FROM api_key")
    await keyring.catch_up()
    assert (len(keyring), _refusal(keyring, issued.plaintext)) == (0, "unknown")
    new = keys.make_key(settings.KEY_PREFIX)
    await aconn.execute(
        "WITH made AS (INSERT INTO api_key (public_id, organization_id, project_id, name, status,"
        " models, endpoints, networks, tags, made_at, changed_at, revoke_reason)"
        " SELECT %s, organization_id, id, 'new', 'active', '{}', '{}', '{}', '{}', now(), now(), ''"
        " FROM project RETURNING id) INSERT INTO api_key_secret (key_id, mac, pepper_version,"
        " made_at) SELECT id, %s, 1, now() FROM made",
        (new.public_id, keys.digest(new.text, settings.KEY_PEPPERS[1])),
    )
    await keyring.catch_up()
    assert _refusal(keyring, new.text) is None


async def test_a_key_under_a_pepper_that_is_gone_is_refused(
    issued: IssuedKey, aconn: psycopg.AsyncConnection, caplog: pytest.LogCaptureFixture
) -> None:
    ring = Keyring(prefixes=[settings.KEY_PREFIX], peppers={2: b"x" * 32})
    await ring.load(aconn)
    assert _refusal(ring, issued.plaintext) == "unknown"
    assert "KEY_PEPPERS lacks version 1" in caplog.text


async def test_keys_of_both_peppers_work_after_one_was_added(
    issued: IssuedKey, aconn: psycopg.AsyncConnection
) -> None:
    peppers = {**settings.KEY_PEPPERS, 2: b"x" * 32}
    ring = Keyring(prefixes=[settings.KEY_PREFIX], peppers=peppers)
    await ring.load(aconn)
    assert _refusal(ring, issued.plaintext) is None


def test_every_code_has_a_sentence() -> None:
    assert all(text.endswith(".") for text in REFUSALS.values())


def _refusal(ring: Keyring, token: str, address: str | None = None) -> str | None:
    try:
        ring.authenticate(token, now=time.time(), address=address)
    except KeyRefused as refused:
        return refused.code
    return None
