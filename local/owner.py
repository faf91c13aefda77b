"""Whose process and whose files an embedded server's are.

PostgreSQL refuses to run as root. Root therefore runs the servers as an unprivileged account that
exists on every machine, in a place this account can reach, and no permission of any folder that
we did not make is ever changed.
"""

import hashlib
import os
import pwd
import secrets
import subprocess
from dataclasses import dataclass
from pathlib import Path

from local.errors import ServerError

# Where root keeps what cannot live in the data folder because only root can reach it.
SYSTEM_FOLDER = Path("/var/lib/tollgate")
NOTE_NAME = "servers.location"


@dataclass(frozen=True)
class Owner:
    """The account an embedded server runs as."""

    uid: int
    gid: int

    @property
    def switched(self) -> bool:
        """True when a process has to change its user to become this owner."""
        return self.uid != os.geteuid()

    def popen_arguments(self) -> dict[str, object]:
        if not self.switched:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def can_enter(self, folder: Path) -> bool:
        """Try it as that account: mode bits alone would miss ACLs and mount options."""
        if not self.switched:
            return os.access(folder, os.X_OK)
        command = ["/bin/sh", "-c", 'cd "$1"', "sh", str(folder)]
        try:
            done = subprocess.run(  # type: ignore[call-overload]
                command, cwd="/", capture_output=True, check=False, **self.popen_arguments()
            )
        except OSError as error:
            raise ServerError(
                f"Root cannot run a program as user id {self.uid} here ({error}); "
                "start Tollgate as an ordinary user, or set DATABASE_URL and REDIS_URL."
            ) from error
        return bool(done.returncode == 0)

    def make_folder(self, folder: Path) -> None:
        """Make `folder` if it is missing, for this owner only. Parents have to exist."""
        if not folder.exists():
            folder.mkdir(mode=0o700)
            self.give(folder)

    def give(self, path: Path) -> None:
        if self.switched:
            os.chown(path, self.uid, self.gid)


def find_owner(data_dir: Path) -> Owner:
    """The account for the servers whose data folder is `data_dir`.

    A data folder that an ordinary user has filled stays this user's when root starts it.
    """
    if os.geteuid() != 0:
        return Owner(os.geteuid(), os.getegid())
    for name in ("postgres", "valkey"):
        if (data_dir / name).is_dir():
            status = (data_dir / name).stat()
            if status.st_uid != 0:
                return Owner(status.st_uid, status.st_gid)
    try:
        account = pwd.getpwnam("nobody")
    except KeyError as error:
        raise ServerError(
            "This machine has no user `nobody` to run the embedded servers as; start Tollgate "
            "as an ordinary user, or set DATABASE_URL and REDIS_URL."
        ) from error
    return Owner(account.pw_uid, account.pw_gid)


def make_data_dir(data_dir: Path) -> None:
    """Make the data folder if it is missing.

    Root's may be passed through, so that the servers' account reaches its own folder within.
    """
    if not data_dir.exists():
        data_dir.mkdir(parents=True)
        data_dir.chmod(0o711 if os.geteuid() == 0 else 0o700)


def find_home(data_dir: Path, owner: Owner) -> Path:
    """The folder that holds the servers' own folders: `data_dir` where `owner` reaches it.

    Elsewhere it is a folder below SYSTEM_FOLDER, and a note in `data_dir` says which. Its name
    comes from the path and from a token in the note: a removed data folder is a new start, and
    a copied one never shares its servers with the original.
    """
    if owner.can_enter(data_dir):
        return data_dir
    home = SYSTEM_FOLDER / _name_home(data_dir)
    if not home.is_dir():
        make_system_folder(home)
        (home / "origin").write_text(f"{data_dir}\n")
    if not owner.can_enter(home):
        raise ServerError(
            f"User id {owner.uid}, which runs the embedded servers, can reach neither "
            f"{data_dir} nor {home}; set TOLLGATE_DATA to a folder it can reach."
        )
    (data_dir / NOTE_NAME).write_text(
        f"token: {_read_token(data_dir)}\n"
        f"The data of PostgreSQL and Valkey is in {home}\n"
        f"because user id {owner.uid}, which runs them for root, cannot enter this folder.\n"
    )
    return home


def make_system_folder(folder: Path) -> None:
    """Make a folder below SYSTEM_FOLDER that everybody may pass through."""
    try:
        for each in (SYSTEM_FOLDER, folder):
            if not each.exists():
                each.mkdir(parents=True)
                each.chmod(0o755)
    except OSError as error:
        raise ServerError(
            f"Cannot make {folder} for the embedded servers ({error.strerror}); "
            "set TOLLGATE_DATA to a folder that every user can pass through."
        ) from error


def _name_home(data_dir: Path) -> str:
    note = data_dir / NOTE_NAME
    if not note.exists():
        note.write_text(f"token: {secrets.token_hex(8)}\n")
    marked = f"{data_dir.resolve()}\n{_read_token(data_dir)}"
    return hashlib.sha256(marked.encode()).hexdigest()[:16]


def _read_token(data_dir: Path) -> str:
    first_line = (data_dir / NOTE_NAME).read_text().partition("\n")[0]
    return first_line.removeprefix("token: ").strip()
