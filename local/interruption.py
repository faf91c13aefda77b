"""Ctrl-C and SIGTERM, noticed only where we wait.

The first one ends whatever the supervisor waits for by raising Stopped; nothing is interrupted
half-way. While it then stops, each further one hastens the stop and raises nothing.
"""

import signal
import time
from types import FrameType

_SLICE_SECONDS = 0.05
_asked = 0
_noticed = 0
_stopping = False


class Stopped(BaseException):
    """Somebody asked us to end. Not an Exception: no handler of errors may swallow it."""


def listen() -> None:
    """Take the signals that ask a program to end. Call it once, in the main thread."""
    signal.signal(signal.SIGINT, _note)
    signal.signal(signal.SIGTERM, _note)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # As nohup leaves it.
        signal.signal(signal.SIGHUP, _note)


def pause(seconds: float) -> None:
    """Sleep. Raises Stopped when we are asked to end and have not begun to."""
    deadline = time.monotonic() + seconds
    while True:
        if _asked and not _stopping:
            begin_stopping()
            raise Stopped
        left = deadline - time.monotonic()
        if left <= 0:
            return
        time.sleep(min(left, _SLICE_SECONDS))


def begin_stopping() -> None:
    """From here on signals hasten the stop, whoever asked for it."""
    global _stopping, _noticed
    _stopping = True
    _noticed = _asked


def take_hurry() -> bool:
    """True once for every signal that came after the stop began."""
    global _noticed
    if _stopping and _asked > _noticed:
        _noticed += 1
        return True
    return False


def _note(_number: int, _frame: FrameType | None) -> None:
    global _asked
    _asked += 1
