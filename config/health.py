"""Is the server of this container ready: `python -I config/health.py`; exit code 0 where it is.

Asks /readyz on PORT, over loopback, with nothing but the standard library, because it is started
again and again. `... beat FILE` asks instead whether beat has lately written its schedule.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from http.client import HTTPConnection, HTTPException
from pathlib import Path

PORT = int(os.environ.get("PORT") or "8000")
TIMEOUT_SECONDS = 4.0
# Beat writes its schedule every three minutes.
WRITTEN_SECONDS = 400.0


def main(arguments: Sequence[str]) -> int:
    if arguments and arguments[0] == "beat":
        return 0 if is_written(Path(arguments[1])) else 1
    return 0 if is_ready(PORT) else 1


def is_ready(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def is_written(schedule: Path) -> bool:
    """Say whether a file of that name, with whatever suffix, was written lately."""
    files = schedule.parent.glob(f"{schedule.name}*")
    return any(time.time() - file.stat().st_mtime < WRITTEN_SECONDS for file in files)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
