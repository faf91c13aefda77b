"""An embedded, real PostgreSQL 18: data folder, start, stop.

It listens on 127.0.0.1 only, with a generated password, and is a direct child of ours. Making a
data folder is in initdb.py.
"""

import os
import secrets
import signal
import time
from pathlib import Path

import psycopg

from local.binaries import POSTGRES_MAJOR, find_postgres
from local.children import Child, end_child, find_free_port, read_tail, start_child
from local.errors import ServerError
from local.initdb import CLEAN_ENV, initialize
from local.interruption import pause
from local.orphans import end_orphan
from local.owner import find_home, find_owner, make_data_dir

USER = "tollgate"
DATABASE = "tollgate"
FAST_SHUTDOWN = ((signal.SIGINT, 15.0), (signal.SIGQUIT, 5.0))
# What a crash loses is of no interest to a test.
FORGETFUL_SETTINGS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "logging_collector": "off",
}


class Postgres:
    """One server over one data folder. Port and password last as long as this object."""

    def __init__(self, data_dir: Path, *, durable: bool = True) -> None:
        self.data_dir = data_dir.resolve()
        self._durable = durable
        self.port = 0
        self._password = ""
        self._process: Child | None = None

    def start(self, *, timeout_seconds: float = 120) -> str:
        """Start the server, make the database if it is missing, and return DATABASE_URL.

        Raises ServerError. Recovery after a crash may use much of the time.
        """
        make_data_dir(self.data_dir)
        self._owner = find_owner(self.data_dir)
        self.folder = find_home(self.data_dir, self._owner) / "postgres"
        self.log = self.data_dir / "logs" / "postgres.log"
        self.log.parent.mkdir(mode=0o700, exist_ok=True)
        self._programs = find_postgres(self._owner)
        if self.folder.exists():
            self._check_folder()
        else:
            self._initialize()
        end_orphan(self.folder / "postmaster.pid", self.folder, program="postgres")
        self._password = self._password_file.read_text().strip()
        self._bring_up(time.monotonic() + timeout_seconds)
        return self.url

    def stop(self) -> None:
        """Roll back what is open, write everything down and end; harmless when not running."""
        if self._process is not None:
            end_child(self._process, FAST_SHUTDOWN)
            self._process = None

    def poll(self) -> int | None:
        """The exit code of a server that has ended, None while it runs."""
        return self._process.poll() if self._process else 0

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def url(self) -> str:
        return f"postgres://{USER}:{self._password}@127.0.0.1:{self.port}/{DATABASE}"

    @property
    def _password_file(self) -> Path:
        return self.data_dir / "postgres.password"

    def _check_folder(self) -> None:
        try:
            version = (self.folder / "PG_VERSION").read_text().strip()
        except OSError as error:
            raise ServerError(
                f"{self.folder} is not a PostgreSQL data folder that this user can read "
                f"({error.strerror}); move it away or set TOLLGATE_DATA to another folder."
            ) from error
        if version != str(POSTGRES_MAJOR):
            raise ServerError(
                f"{self.folder} was written by PostgreSQL {version}, but this Tollgate brings "
                f"PostgreSQL {POSTGRES_MAJOR}: run the Tollgate that wrote it, "
                "or set TOLLGATE_DATA to another folder."
            )
        if not self._password_file.exists():
            raise ServerError(
                f"{self._password_file}, the password of the database in {self.folder}, is "
                "missing: put it back, or move that folder away to begin with an empty one."
            )

    def _initialize(self) -> None:
        descriptor = os.open(self._password_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        password = secrets.token_hex(24)
        with os.fdopen(descriptor, "w") as file:
            file.write(password + "\n")
        initialize(
            self.folder,
            programs=self._programs,
            owner=self._owner,
            user=USER,
            password=password,
            durable=self._durable,
        )

    def _bring_up(self, deadline: float) -> None:
        """Start until it answers; wait for the remains of a killed server to go away."""
        while True:
            self._launch()
            if self._wait_ready(deadline):
                return
            tail = read_tail(self.log)
            self.stop()
            remains = "pre-existing shared memory block" in tail
            if not remains or time.monotonic() > deadline:
                raise ServerError(f"PostgreSQL did not come up; {self.log} ends with: {tail}")
            pause(0.2)

    def _launch(self) -> None:
        self.port = self.port or find_free_port()
        settings = {**SETTINGS, "port": str(self.port)}
        if not self._durable:
            settings |= FORGETFUL_SETTINGS
        command: list[str | Path] = [self._programs / "postgres", "-D", self.folder]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        self._process = start_child(
            command,
            log=self.log,
            env=CLEAN_ENV,
            cwd=Path("/"),
            owner=self._owner,
            # Nobody is left who would wait for a last checkpoint, which took longer than half a
            # minute on a busy disk; the next start recovers in a moment.
            death_signal=signal.SIGQUIT,
        )

    def _wait_ready(self, deadline: float) -> bool:
        """True once the database can be used; False when the server ended or time is up."""
        while self.poll() is None and time.monotonic() < deadline:
            try:
                self._make_database()
            except psycopg.OperationalError:
                pause(0.03)
            else:
                return True
        return False

    def _make_database(self) -> None:
        admin_url = self.url.removesuffix(f"/{DATABASE}") + "/postgres"
        with psycopg.connect(
            admin_url, autocommit=True, connect_timeout=5, sslmode="disable"
        ) as connection:
            query = "SELECT 1 FROM pg_database WHERE datname = %s"
            if connection.execute(query, [DATABASE]).fetchone() is None:
                connection.execute(f"CREATE DATABASE {DATABASE}")
