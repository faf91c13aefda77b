"""What the system says about processes and sockets: children, open connections, who stopped.

Linux only, because it reads /proc. Signals go to ids that the caller names, never to a name.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PROC = Path("/proc")
LISTEN = "0A"


def list_children(pid: int) -> list[int]:
    """The direct children of a process, the oldest first."""
    return sorted(each for each in list_processes() if _read_parent(each) == pid)


def list_processes() -> list[int]:
    return [int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit()]


def list_processes_with(text: bytes) -> dict[int, str]:
    """Processes whose environment or command line holds `text`, with their command lines."""
    found = {}
    for pid in list_processes():
        try:
            command = (PROC / str(pid) / "cmdline").read_bytes()
            environment = (PROC / str(pid) / "environ").read_bytes()
        except OSError:  # It has ended, or is somebody else's.
            continue
        if command and (text in command or text in environment) and pid != os.getpid():
            found[pid] = command.replace(b"\0", b" ").decode(errors="replace").strip()
    return found


def count_sockets(pid: int) -> int:
    """How many sockets a process holds: the one with the most has the most callers."""
    return len(_list_sockets(pid))


def read_command(pid: int) -> str:
    """The command line; empty for a process that has ended."""
    try:
        return (PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def find_holder(server_port: int, client_port: int, pids: list[int]) -> int | None:
    """The one of `pids` that holds the server's end of a connection over 127.0.0.1.

    None while it waits to be accepted, and when the server is none of them.
    """
    inode = _find_socket(server_port, client_port)
    return next((pid for pid in pids if inode and inode in _list_sockets(pid)), None)


@contextmanager
def stopped(pid: int) -> Iterator[list[int]]:
    """Stop a process with its children, as a hung machine does; they go on after the block."""
    os.kill(pid, signal.SIGSTOP)  # First, so that it starts no more of them.
    family = [pid, *list_children(pid)]
    try:
        for each in family[1:]:
            _signal(each, signal.SIGSTOP)
        yield family
    finally:
        for each in reversed(family):
            _signal(each, signal.SIGCONT)


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _read_parent(pid: int) -> int:
    try:
        fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return int(fields[1])


def _find_socket(server_port: int, client_port: int) -> str:
    """The inode of the server's end, as /proc lists connections; empty where there is none."""
    ends = (f"0100007F:{server_port:04X}", f"0100007F:{client_port:04X}")
    for line in (PROC / "net" / "tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if (fields[1], fields[2]) == ends and fields[3] != LISTEN:
            return fields[9]
    return ""


def _list_sockets(pid: int) -> set[str]:
    found = set()
    with suppress(OSError):
        for entry in (PROC / str(pid) / "fd").iterdir():
            with suppress(OSError):
                target = os.readlink(entry)
                if target.startswith("socket:["):
                    found.add(target[8:-1])
    return found
