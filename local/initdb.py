"""Making a PostgreSQL data folder.

A data folder is either whole or absent: it is filled aside, under another name, and then renamed,
so an initdb that was killed leaves nothing that counts.
"""

import ctypes
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from local.errors import ServerError
from local.owner import Owner

CLEAN_ENV = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
_CLONE_NEWUSER = 0x10000000
_PR_SET_DUMPABLE = 4


def initialize(
    folder: Path, *, programs: Path, owner: Owner, user: str, password: str, durable: bool
) -> None:
    """Make `folder` the data folder of a new server whose superuser is `user`."""
    aside = folder.with_name(folder.name + ".new")
    if aside.exists():
        shutil.rmtree(aside)
    owner.make_folder(aside)
    with tempfile.NamedTemporaryFile("w", dir=folder.parent) as password_file:
        password_file.write(password)
        password_file.flush()
        owner.give(Path(password_file.name))
        command = [
            str(programs / "initdb"),
            f"--pgdata={aside}",
            f"--username={user}",
            f"--pwfile={password_file.name}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--no-instructions",
        ]
        _run(command if durable else [*command, "--no-sync"], owner)
    aside.rename(folder)


def _run(command: list[str], owner: Owner) -> None:
    try:
        done = subprocess.run(  # type: ignore[call-overload]
            command,
            cwd="/",
            env=CLEAN_ENV,
            capture_output=True,
            text=True,
            check=False,
            start_new_session=True,
            preexec_fn=_lend_a_name(owner.uid),
            **owner.popen_arguments(),
        )
    except OSError as error:
        raise ServerError(f"Cannot start {command[0]}: {error.strerror}.") from error
    if done.returncode != 0:
        reason = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
        raise ServerError(f"PostgreSQL could not make its data folder: {reason}.")


def _lend_a_name(uid: int) -> Callable[[], None] | None:
    """For a user id without an account, as in some containers: pass for `nobody` in initdb.

    initdb insists on looking its user up. In a user namespace of its own the same user has an id
    that can be looked up. Where the kernel forbids this, initdb says what it misses.
    """
    if sys.platform != "linux" or _has_account(uid):
        return None
    libc = ctypes.CDLL(None)

    def enter_namespace() -> None:
        # A process that has just changed its user may not write its own map before this.
        libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)
        if libc.unshare(_CLONE_NEWUSER) == 0:
            Path("/proc/self/uid_map").write_text(f"65534 {uid} 1")

    return enter_namespace


def _has_account(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True
