"""Starting and ending child processes, so that none outlives its parent.

Every child leads a session of its own: the terminal's Ctrl-C reaches only us, and we decide the
order in which they end. On Linux the kernel also signals a child whose parent was killed.
"""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from local.errors import ServerError
from local.interruption import pause, take_hurry
from local.owner import Owner

Child = subprocess.Popen[bytes]
Step = tuple[signal.Signals, float]

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def start_child(
    argv: Sequence[str | Path],
    *,
    log: Path,
    env: Mapping[str, str],
    cwd: Path,
    owner: Owner | None = None,
    death_signal: signal.Signals = signal.SIGTERM,
    stdin_text: str | None = None,
) -> Child:
    """Start a program whose output is appended to `log`.

    Call it from the main thread only: Linux sends `death_signal` when the thread ends.
    """
    try:
        with log.open("ab") as output:
            process: Child = subprocess.Popen(  # type: ignore[call-overload]
                [str(part) for part in argv],
                stdin=subprocess.DEVNULL if stdin_text is None else subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env=dict(env),
                start_new_session=True,
                preexec_fn=_die_with_parent(death_signal),  # noqa: PLW1509
                **(owner.popen_arguments() if owner else {}),
            )
    except OSError as error:
        raise ServerError(f"Cannot start {argv[0]}: {error.strerror}.") from error
    if stdin_text is not None and process.stdin is not None:
        with contextlib.suppress(BrokenPipeError), process.stdin as stdin:
            stdin.write(stdin_text.encode())
    return process


def end_child(process: Child, steps: Sequence[Step]) -> None:
    end_children([process], steps)


def end_children(processes: Sequence[Child], steps: Sequence[Step]) -> None:
    """Send each step's signal to all and wait its seconds; at last kill the groups they lead.

    A person in a hurry moves on to the next step at once.
    """
    for number, seconds in steps:
        running = [process for process in processes if process.poll() is None]
        if not running:
            break
        for process in running:
            process.send_signal(number)
        _wait_ended(running, seconds)
    for process in processes:
        kill_group(process)


def _wait_ended(processes: Sequence[Child], seconds: float) -> None:
    wait_until(lambda: take_hurry() or all(each.poll() is not None for each in processes), seconds)


def kill_group(process: Child) -> None:
    """Kill whatever is left of the group that `process` leads."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass
    process.wait()


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Poll `condition` until it holds; False when `seconds` passed before it did."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        pause(0.02)
    return True


def find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def read_tail(log: Path, *, lines: int = 8) -> str:
    """The last lines of a log on one line, for an error message."""
    try:
        text = log.read_text(errors="replace")
    except FileNotFoundError:
        return "its log is empty"
    return " | ".join(line.strip() for line in text.splitlines()[-lines:]) or "its log is empty"


def _die_with_parent(death_signal: signal.Signals) -> Callable[[], None] | None:
    if _LIBC is None:
        return None
    parent = os.getpid()
    libc = _LIBC

    def arrange() -> None:
        # Runs in the child after it changed its user, which would have cleared the setting.
        libc.prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return arrange
