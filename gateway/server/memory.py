"""What the garbage collector of a serving process looks at."""

from __future__ import annotations

import gc


def leave_loaded_alone() -> None:
    """Keep the collector off what is loaded, and let it look at what calls leave less often.

    For the end of a process's start. Everything on the path of a call ends by its last reference;
    a finished call waits some 50 ms for its settlement, and with the usual thresholds most of the
    collector's work is to look at such calls, 15 % of a call's CPU time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
