"""The data folder: who may use it, and the small files in it.

One supervisor at a time holds its lock. Every file here appears whole or not at all, and files
with secrets are readable by their owner only.
"""

import fcntl
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from cryptography.fernet import Fernet

from local.errors import LocalError
from local.owner import make_data_dir


class DataFolder:
    """TOLLGATE_DATA of one supervisor."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.logs = path / "logs"
        self.demo_env = path / "demo.env"
        self.run_json = path / "run.json"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for as long as we run. Raises LocalError when another one does."""
        try:
            make_data_dir(self.path)
            self.logs.mkdir(mode=0o700, exist_ok=True)
            lock = (self.path / "lock").open("a+")
        except OSError as error:
            raise LocalError(
                f"Cannot use the data folder {self.path} ({error.strerror}); "
                "set TOLLGATE_DATA to a folder that you can write to."
            ) from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise LocalError(
                    f"The data folder {self.path} is in use by another Tollgate"
                    f"{_describe_holder(self.run_json)}; stop that one, or set TOLLGATE_DATA "
                    "(and PORT) to run a second."
                ) from error
            yield

    def write_running(self, facts: Mapping[str, object]) -> None:
        """Tell other commands where our servers are."""
        write_private(self.run_json, json.dumps(facts, indent=1) + "\n")

    def forget_running(self) -> None:
        self.run_json.unlink(missing_ok=True)

    def read_secrets(self) -> dict[str, str]:
        """The generated secrets, made at the first start.

        Raises LocalError when the database is there and its secrets are not: new ones could not
        read it.
        """
        found = read_assignments(self.demo_env)
        if "SECRET_KEY" not in found:
            if (self.path / "postgres.password").exists():
                raise LocalError(
                    f"{self.demo_env}, which holds the secrets of the database in {self.path}, "
                    "is missing: put it back, or move the whole folder away to begin anew."
                )
            found = {
                "SECRET_KEY": secrets.token_urlsafe(48),
                "KEY_PEPPERS": f"1:{secrets.token_hex(32)}",
                "CREDENTIAL_KEYS": Fernet.generate_key().decode(),
            }
            self.add_assignments(found)
        return found

    def add_assignments(self, values: Mapping[str, str]) -> None:
        """Add `NAME=value` lines to demo.env."""
        merged = {**read_assignments(self.demo_env), **values}
        text = "".join(f"{name}={value}\n" for name, value in merged.items())
        write_private(self.demo_env, text)


def read_assignments(path: Path) -> dict[str, str]:
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise LocalError(f"Cannot read {path} ({error.strerror}); run as its owner.") from error
    return dict(line.split("=", 1) for line in lines if "=" in line)


def write_private(path: Path, text: str) -> None:
    """Replace a file as a whole; only its owner can read it."""
    aside = path.with_name(path.name + ".new")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)


def _describe_holder(run_json: Path) -> str:
    try:
        return f" (process {json.loads(run_json.read_text())['pid']})"
    except (OSError, ValueError, KeyError):
        return ""
