"""The file of a backup: read back as it was written, or refused."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.backup import BackupError, archive

PASSPHRASE = "correct horse battery"
CONTENTS = [b"head", b"x" * (archive.CHUNK_BYTES + 5), b"", b"tail" * 100_000]


def make(path: Path, passphrase: str | None = PASSPHRASE) -> bytes:
    archive.write(path, CONTENTS, passphrase=passphrase)
    return path.read_bytes()


def read(path: Path, passphrase: str | None = PASSPHRASE) -> bytes:
    return b"".join(archive.read(path, passphrase=passphrase))


@pytest.mark.parametrize("passphrase", [None, PASSPHRASE])
def test_what_was_written_is_read(tmp_path: Path, passphrase: str | None) -> None:
    file = tmp_path / "backup"
    size = archive.write(file, CONTENTS, passphrase=passphrase)
    assert size == file.stat().st_size
    assert read(file, passphrase) == b"".join(CONTENTS)
    assert archive.is_sealed(file) == (passphrase is not None)


@pytest.mark.parametrize("contents", [[], [b""], [b"x" * archive.CHUNK_BYTES]])
def test_the_edges_of_chunks_are_kept(tmp_path: Path, contents: list[bytes]) -> None:
    archive.write(tmp_path / "backup", contents, passphrase=None)
    assert read(tmp_path / "backup", None) == b"".join(contents)


def test_only_its_owner_can_read_it(tmp_path: Path) -> None:
    make(tmp_path / "backup")
    assert stat.S_IMODE((tmp_path / "backup").stat().st_mode) == 0o600


def test_a_sealed_file_shows_nothing_of_its_contents(tmp_path: Path) -> None:
    assert b"tailtail" not in make(tmp_path / "sealed")
    assert b"tailtail" in make(tmp_path / "plain", None)


def test_another_passphrase_or_none_opens_nothing(tmp_path: Path) -> None:
    make(tmp_path / "backup")
    with pytest.raises(BackupError, match="passphrase is another one"):
        read(tmp_path / "backup", "correct horse batterz")
    with pytest.raises(BackupError, match="is sealed"):
        read(tmp_path / "backup", None)


@pytest.mark.parametrize("passphrase", [None, PASSPHRASE])
def test_no_byte_can_be_changed_and_no_end_cut_off(tmp_path: Path, passphrase: str | None) -> None:
    whole, file = make(tmp_path / "backup", passphrase), tmp_path / "changed"
    damaged = [whole[:-1], whole[: len(whole) // 2], whole + b"x", whole[:40]]
    # Where the first line, the salt, the frames, the contents and the end lie.
    for at in (0, 20, 33, 50, 60, len(whole) // 2, len(whole) - 1):
        damaged.append(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    for content in damaged:
        file.write_bytes(content)
        with pytest.raises(BackupError):
            read(file, passphrase)


def test_chunks_cannot_change_places(tmp_path: Path) -> None:
    archive.write(tmp_path / "backup", [b"a" * archive.CHUNK_BYTES * 3], passphrase=PASSPHRASE)
    whole = (tmp_path / "backup").read_bytes()
    start, size = len(archive.SEALED) + 16, 5 + archive.CHUNK_BYTES + 16
    first, second = whole[start : start + size], whole[start + size : start + 2 * size]
    swapped = whole[:start] + second + first + whole[start + 2 * size :]
    (tmp_path / "swapped").write_bytes(swapped)
    with pytest.raises(BackupError):
        read(tmp_path / "swapped")


def test_a_file_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "backup").write_text("precious")
    with pytest.raises(BackupError, match="is there already"):
        make(tmp_path / "backup")
    assert (tmp_path / "backup").read_text() == "precious"


def test_a_backup_that_fails_leaves_no_file(tmp_path: Path) -> None:
    def fail() -> Iterator[bytes]:
        yield b"x"
        raise BackupError("pg_dump failed")

    with pytest.raises(BackupError, match="pg_dump failed"):
        archive.write(tmp_path / "backup", fail(), passphrase=None)
    assert not (tmp_path / "backup").exists()


def test_a_short_passphrase_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="shorter than 12"):
        make(tmp_path / "backup", "short")
    assert not (tmp_path / "backup").exists()


def test_something_else_is_no_backup(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("PGDMP")
    with pytest.raises(BackupError, match="is no backup"):
        read(tmp_path / "other")
