"""`manage.py backup` and `restore`, run as people run them, between real databases."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from cryptography.fernet import Fernet

from accounts import keys
from gateway.backup import archive, contents
from tests.places import Place, make_place

DECLARATION = """
providers:
  - name: openai
    protocol: openai
    base_url: "https://api.openai.com/v1"
    credential: "literal:sk-canary-4711"
models:
  - name: gpt-4o
    context_window: 128000
    max_output_tokens: 16384
    routes: [{provider: openai, model: gpt-4o}]
    price: {input: "2.50", output: "10.00", effective: 2026-01-01}
organizations:
  - slug: acme
    name: Acme
    quotas: [{unit: cost, limit: "100.00", window: month}]
    projects: [{slug: default, keys: [{name: ci}]}]
"""


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Place, Place]]:
    """One installation with something in it, and an empty one with secrets of its own."""
    folder = tmp_path_factory.mktemp("places")
    with make_place("before", folder) as before, make_place("after", folder) as after:
        _fill(before)
        yield before, after


def _fill(place: Place) -> None:
    assert place.manage("migrate", "--verbosity", "0").returncode == 0
    file = place.folder / "declared.yaml"
    file.write_text(DECLARATION)
    applied = place.manage("apply", file)
    assert applied.returncode == 0, applied.stderr
    (place.folder / "key").write_text(re.findall(r"once: (\S+)", applied.stdout)[0])
    (place.folder / "passphrase").write_text("correct horse battery\n")


def test_a_backup_is_restored_with_all_that_was_there(places: tuple[Place, Place]) -> None:
    before, after = places
    file, sealed = before.folder / "all.backup", before.folder / "passphrase"
    made = before.manage("backup", file, "--passphrase-file", sealed)
    assert made.returncode == 0, made.stderr
    assert made.stderr == ""
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    secrets_file = before.folder / "restored.env"
    arguments = ("restore", file, "--passphrase-file", sealed, "--secrets-to", secrets_file)
    done = after.manage(*arguments)
    assert done.returncode == 0, done.stderr
    assert "KEY_PEPPERS lacks what the backup was made with" in done.stderr
    assert "CREDENTIAL_KEYS lacks" in done.stderr
    assert after.contents() == before.contents()

    assert stat.S_IMODE(secrets_file.stat().st_mode) == 0o600
    lines = secrets_file.read_text().splitlines()
    assert dict(line.split("=", 1) for line in lines) == before.secrets
    # The file of a try that was refused stood in the way of the next one.
    assert "holds" in after.manage(*arguments).stderr
    secrets_file.write_text("KEY_PEPPERS=1:of-something-else\n")
    assert "restored.env cannot be written: File exists" in after.manage(*arguments).stderr

    after.secrets = before.secrets
    _prove_that_it_works(after)


def _prove_that_it_works(place: Place) -> None:
    """The key's digest and the credential are of use under the secrets that came along."""
    text = (place.folder / "key").read_text()
    pepper = bytes.fromhex(place.secrets["KEY_PEPPERS"].partition(":")[2])
    assert place.rows("SELECT mac FROM api_key_secret") == [(keys.digest(text, pepper),)]
    sealed = place.rows("SELECT sealed FROM credential")[0][0]
    assert Fernet(place.secrets["CREDENTIAL_KEYS"]).decrypt(sealed) == b"sk-canary-4711"
    issued = place.manage("issue_key", "--project", "acme/default", "--name", "x", "--plain")
    assert issued.returncode == 0, issued.stderr
    for command in (("check_ledger",), ("check", "--database", "default"), ("migrate", "--check")):
        checked = place.manage(*command)
        assert checked.returncode == 0, f"{command}: {checked.stdout}{checked.stderr}"


@pytest.mark.slow
def test_a_backup_that_is_not_sealed_says_so(places: tuple[Place, Place]) -> None:
    before, _ = places
    file = before.folder / "plain.backup"
    assert before.manage("backup", file).returncode != 0, "one of the two has to be chosen"
    made = before.manage("backup", file, "--not-sealed", "--without-secrets")
    assert made.returncode == 0, made.stderr
    assert "is NOT encrypted" in made.stderr
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert not [
        secret for secret in before.secrets.values() if secret.encode() in file.read_bytes()
    ]
    looked = before.manage("restore", file, "--look")
    assert re.fullmatch(
        r"A backup of version \S+, made at \S+, without secrets\.\n", looked.stdout
    ), looked.stderr


@pytest.mark.slow
def test_what_is_there_is_not_lost_by_accident(places: tuple[Place, Place]) -> None:
    before, _ = places
    file = before.folder / "again.backup"
    assert before.manage("backup", file, "--not-sealed").returncode == 0
    kept = before.contents()
    refused = before.manage("restore", file)
    assert refused.returncode == 1
    assert "--replace" in refused.stderr
    alive = _register_process(before)
    refused = before.manage("restore", file, "--replace")
    assert "1 gateway processes are alive in this database" in refused.stderr
    with psycopg.connect(before.url) as connection:
        connection.execute("DELETE FROM gateway_process WHERE id = %s", [alive])
    file.write_bytes(file.read_bytes()[:-10])
    refused = before.manage("restore", file, "--replace")
    assert refused.returncode == 1
    assert "is cut off or damaged" in refused.stderr
    assert before.contents() == kept


def _register_process(place: Place) -> str:
    with psycopg.connect(place.url) as connection:
        row = connection.execute(
            "INSERT INTO gateway_process (id, host, started_at, lease_until)"
            " VALUES (gen_random_uuid(), 'a', now(), now() + interval '1 minute') RETURNING id"
        ).fetchone()
        assert row is not None
        return str(row[0])


@pytest.mark.slow
def test_a_database_is_replaced_where_that_is_wanted(places: tuple[Place, Place]) -> None:
    before, _ = places
    file = before.folder / "replaced.backup"
    assert before.manage("backup", file, "--not-sealed").returncode == 0
    kept = before.contents()
    with psycopg.connect(before.url) as connection:
        connection.execute("UPDATE organization SET name = 'Something else'")
        connection.execute("CREATE TABLE stray (id int)")
    done = before.manage("restore", file, "--replace")
    assert (done.returncode, done.stderr) == (0, "")
    assert before.contents() == kept


@pytest.mark.slow
def test_what_was_there_stays_where_a_restore_fails(places: tuple[Place, Place]) -> None:
    """It was gone: the database was emptied first."""
    before, _ = places
    file, bad = before.folder / "good.backup", before.folder / "bad.backup"
    assert before.manage("backup", file, "--not-sealed").returncode == 0
    head, database = contents.split(archive.read(file, passphrase=None))
    # Whole and proven, but for what only pg_restore can see.
    archive.write(bad, contents.join(head, [b"".join(database)[:-2000]]), passphrase=None)
    kept = before.contents()
    refused = before.manage("restore", bad, "--replace")
    assert refused.returncode == 1
    assert "pg_restore failed" in refused.stderr
    assert before.contents() == kept
    assert before.rows("SELECT 1 FROM pg_namespace WHERE nspname = 'before_restore'") == []


@pytest.mark.slow
def test_a_restore_that_was_killed_is_undone_by_the_next(
    places: tuple[Place, Place],
) -> None:
    before, _ = places
    file = before.folder / "killed.backup"
    assert before.manage("backup", file, "--not-sealed").returncode == 0
    kept = before.contents()
    set_aside = "ALTER SCHEMA public RENAME TO before_restore; CREATE SCHEMA public"
    with psycopg.connect(before.url) as connection:
        connection.execute(set_aside)
    undone = before.manage("restore", file)
    assert "--replace" in undone.stderr
    assert before.contents() == kept
    with psycopg.connect(before.url) as connection:
        connection.execute(f"{set_aside}; CREATE TABLE restored (id int)")
    # Which of the two is right nobody but a person can say.
    refused = before.manage("restore", file, "--replace")
    assert "The schema before_restore holds what was there" in refused.stderr
    with psycopg.connect(before.url) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
    undone = before.manage("restore", file)
    assert "--replace" in undone.stderr
    assert before.contents() == kept


@pytest.mark.slow
def test_a_backup_of_a_newer_version_is_refused(places: tuple[Place, Place]) -> None:
    before, _ = places
    file = before.folder / "newer.backup"
    with psycopg.connect(before.url) as connection:
        connection.execute(
            "INSERT INTO django_migrations (app, name, applied)"
            " VALUES ('billing', '9999_from_the_future', now())"
        )
    assert before.manage("backup", file, "--not-sealed").returncode == 0
    with psycopg.connect(before.url) as connection:
        connection.execute("DELETE FROM django_migrations WHERE name = '9999_from_the_future'")
    refused = before.manage("restore", file, "--replace")
    assert refused.returncode == 1
    assert "does not know billing.9999_from_the_future" in refused.stderr


def test_passwords_stand_in_no_argument(places: tuple[Place, Place], tmp_path: Path) -> None:
    before, _ = places
    password = str(urlsplit(before.url).password)
    program = tmp_path / "pg_dump"
    # In front of the real one on PATH, and as new as any: it only tells how it was called.
    program.write_text(
        f'#!/bin/sh\n[ "$1" = --version ] && echo "pg_dump (PostgreSQL) 99.0" && exit 0\n'
        f'echo "$@" > {tmp_path}/arguments\n'
    )
    (tmp_path / "pg_restore").write_text("#!/bin/sh\n")
    for each in ("pg_dump", "pg_restore"):
        (tmp_path / each).chmod(0o755)
    path = os.environ["PATH"]
    os.environ["PATH"] = f"{tmp_path}:{path}"
    try:
        made = before.manage("backup", tmp_path / "x.backup", "--not-sealed")
    finally:
        os.environ["PATH"] = path
    assert made.returncode == 0, made.stderr
    called = (tmp_path / "arguments").read_text()
    assert before.name in called
    assert password not in called
