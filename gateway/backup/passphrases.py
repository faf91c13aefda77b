"""Where a passphrase comes from: a file, so that no process list and no history has it."""

from __future__ import annotations

from argparse import ArgumentParser, _MutuallyExclusiveGroup
from pathlib import Path

from gateway.backup.archive import BackupError


def add_passphrase_argument(parser: ArgumentParser | _MutuallyExclusiveGroup) -> None:
    parser.add_argument(
        "--passphrase-file",
        metavar="FILE",
        type=Path,
        help="A file whose first line is the passphrase.",
    )


def read_passphrase(path: Path | None) -> str | None:
    """Return the first line of a file, None without one. Raises BackupError for an empty line."""
    if path is None:
        return None
    try:
        first = path.read_text(encoding="utf-8").partition("\n")[0].strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BackupError(f"{path} cannot be read as a passphrase: {error}.") from None
    if not first:
        raise BackupError(f"The first line of {path} is empty.")
    return first
