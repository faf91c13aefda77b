"""The children's logs: kept in files, with their warnings repeated on the screen."""

import re
from pathlib import Path

LARGEST_LOG_BYTES = 10 * 2**20
_WORTH_TELLING = re.compile(rb"\b(WARNING|ERROR|CRITICAL)\b")


def make_room(log: Path) -> None:
    """Put a long log aside before its writer starts; one older generation is kept."""
    if log.exists() and log.stat().st_size > LARGEST_LOG_BYTES:
        log.replace(log.with_name(log.name + ".1"))


class Follower:
    """Reads what was added to a log since the last look."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._position = log.stat().st_size if log.exists() else 0
        self._rest = b""

    def read_warnings(self) -> list[str]:
        """The new whole lines that say WARNING or worse."""
        try:
            with self._log.open("rb") as file:
                file.seek(self._position)
                added = file.read(2**20)
        except FileNotFoundError:
            return []
        self._position += len(added)
        *lines, self._rest = (self._rest + added).split(b"\n")
        return [
            line.decode(errors="replace").rstrip() for line in lines if _WORTH_TELLING.search(line)
        ]
