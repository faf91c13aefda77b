"""Installations in databases of their own at the tests' server, each with secrets of its own."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
from cryptography.fernet import Fernet
from psycopg.sql import SQL, Identifier

from tests.house.tracked import ROOT


class Place:
    """A database of the tests' server and the environment of an installation that uses it."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        self.url = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}").geturl()
        self.secrets = {
            "SECRET_KEY": secrets.token_urlsafe(48),
            "KEY_PEPPERS": f"1:{secrets.token_hex(32)}",
            "CREDENTIAL_KEYS": Fernet.generate_key().decode(),
        }

    @property
    def env(self) -> dict[str, str]:
        own = {"DATABASE_URL": self.url, "TOLLGATE_DATA": str(self.folder), **self.secrets}
        return {**os.environ, **own}

    def manage(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "manage.py", *map(str, arguments)],
            cwd=ROOT,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def rows(self, query: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url) as connection:
            return connection.execute(query).fetchall()

    def contents(self) -> dict[str, list[tuple[Any, ...]]]:
        """Return every row of every table."""
        tables = self.rows(
            "SELECT c.relname FROM pg_class c WHERE c.relkind IN ('r', 'p')"
            " AND c.relnamespace = 'public'::regnamespace ORDER BY 1"
        )
        return {
            name: sorted(self.rows(SQL("SELECT t::text FROM {} t").format(Identifier(name))))
            for (name,) in tables
        }


@contextmanager
def make_place(name: str, folder: Path) -> Iterator[Place]:
    """An empty database, dropped after the block with whoever is still connected to it."""
    place = Place(f"{name}_{secrets.token_hex(4)}", folder)
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as server:
        server.execute(SQL("CREATE DATABASE {}").format(Identifier(place.name)))
        try:
            yield place
        finally:
            server.execute(SQL("DROP DATABASE {} (FORCE)").format(Identifier(place.name)))
