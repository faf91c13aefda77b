"""A pytest plugin: the real PostgreSQL and Valkey that all tests share.

It starts them while pytest loads its plugins, because Django's settings read the environment right
after; worker processes of pytest-xdist inherit it and start nothing. Servers named in DATABASE_URL
or REDIS_URL are used instead of our own.
"""

import atexit
import os
import secrets
import shutil
import tempfile
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from local.owner import find_owner
from local.postgres import Postgres
from local.valkey import Valkey

_started: list[Postgres | Valkey] = []
_folders: list[Path] = []


def start_missing_servers() -> None:
    """Start what the environment does not name, and put its address there."""
    if not {"DATABASE_URL", "REDIS_URL"} <= os.environ.keys():
        atexit.register(stop_servers)
        folder = make_reachable_folder()
        _folders.append(folder)
        os.environ.setdefault("TOLLGATE_DATA", str(folder))
        if "DATABASE_URL" not in os.environ:
            _started.append(Postgres(folder, durable=False))
            os.environ["DATABASE_URL"] = _started[-1].start()
        if "REDIS_URL" not in os.environ:
            _started.append(Valkey(folder, durable=False))
            os.environ["REDIS_URL"] = _started[-1].start()
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    if worker:  # Each has a test database of its own in PostgreSQL, and so it has here.
        number = 1 + int(worker.removeprefix("gw")) % 15
        os.environ["REDIS_URL"] = f"{os.environ['REDIS_URL'].rpartition('/')[0]}/{number}"
    os.environ.setdefault("SECRET_KEY", secrets.token_urlsafe(48))
    os.environ.setdefault("KEY_PEPPERS", f"1:{secrets.token_hex(32)}")
    os.environ.setdefault("CREDENTIAL_KEYS", Fernet.generate_key().decode())


def stop_servers() -> None:
    """End the servers we started and remove every trace of them; harmless when repeated."""
    while _started:
        _started.pop().stop()
    while _folders:
        shutil.rmtree(_folders.pop(), ignore_errors=True)


def make_reachable_folder() -> Path:
    """A temporary folder that the servers' account can enter even when root runs the tests."""
    for parent in (tempfile.gettempdir(), "/tmp", "/var/tmp"):
        folder = Path(tempfile.mkdtemp(prefix="tollgate-tests-", dir=parent)).resolve()
        if os.geteuid() == 0:
            folder.chmod(0o711)
        if find_owner(folder).can_enter(folder):
            return folder
        folder.rmdir()
    raise pytest.UsageError("No temporary folder is reachable by the servers: set TMPDIR.")


@pytest.hookimpl(trylast=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: a third of the time a test waits, for a server or a clock."""
    return 1 + (os.cpu_count() or 1)


def pytest_unconfigure() -> None:
    stop_servers()


start_missing_servers()
