"""How many files a process may open, which is how many connections it can have."""

from __future__ import annotations

import functools
import resource


def raise_file_limit() -> None:
    """Allow this process as many open files as the system lets it; for the start of a server."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
    if soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


@functools.cache
def count_allowed_connections() -> int:
    """Half of the files this process may open, because a call needs a second one upstream."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(64, min(soft, 65_536) // 2 - 64)
