"""Servers that a killed supervisor left running: found by their folder and ended.

A number in a pid file proves nothing, because numbers are given anew; only a process that works
in the server's own folder is ended.
"""

import contextlib
import os
import signal
import subprocess
from pathlib import Path

from local.children import wait_until
from local.errors import ServerError

_PROC = Path("/proc")
_CAN_SEE = (_PROC / "self" / "cwd").exists()


def end_orphan(pid_file: Path, folder: Path, *, program: str, seconds: float = 20) -> None:
    """End the server that a killed supervisor left running in `folder`, if there is one.

    A pid file that names nobody, or a process of another program, is removed afterwards: a
    server would take a number that was given anew for a server that still runs.
    """
    try:
        pid = int(pid_file.read_text().split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return
    for number in (signal.SIGINT, signal.SIGKILL):
        if not _runs_in(pid, folder, program):
            break
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        wait_until(lambda: not _runs_in(pid, folder, program), seconds)
    wait_until(lambda: not _has_processes(folder, program), seconds)
    if _runs_in(pid, folder, program) or _has_processes(folder, program):
        raise ServerError(f"A server (process {pid}) still works in {folder}; end it first.")
    if _CAN_SEE:  # Elsewhere nobody can tell whether a child of the server is left.
        pid_file.unlink(missing_ok=True)


def _runs_in(pid: int, folder: Path, program: str) -> bool:
    """Is `pid` a live `program` working in `folder`?"""
    if _CAN_SEE:
        return _is_at_work(_PROC / str(pid), folder, program)
    found = subprocess.run(
        ["ps", "-p", str(pid), "-o", "command="], capture_output=True, text=True, check=False
    )
    return program in found.stdout


def _has_processes(folder: Path, program: str) -> bool:
    """Does any part of `program` work in `folder`? PostgreSQL's children do, like their parent."""
    return any(_is_at_work(entry, folder, program) for entry in _PROC.glob("[0-9]*"))


def _is_at_work(entry: Path, folder: Path, program: str) -> bool:
    try:
        return (entry / "cwd").samefile(folder) and program.encode() in (
            entry / "cmdline"
        ).read_bytes()
    except OSError:
        return False
