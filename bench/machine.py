"""What the machine says: CPU time of processes, a free port, and what it is itself."""

from __future__ import annotations

import os
import platform
import socket
import subprocess
import sys
import time
from pathlib import Path

PROC = Path("/proc")


def read_cpu_seconds(pid: int) -> float:
    """User and system time so far of the process and of all that came of it.

    A child that has ended counts with the parent that waited for it.
    """
    return sum(_read_one(each) for each in list_descendants(pid))


def _read_one(pid: int) -> float:
    if not PROC.exists():
        return _ask_ps(pid)
    try:
        fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return 0.0
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def _ask_ps(pid: int) -> float:
    command = ["ps", "-o", "time=", "-p", str(pid)]
    text = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True).stdout
    seconds = 0.0
    for part in text.strip().replace("-", ":").split(":"):
        seconds = seconds * 60 + float(part or 0)
    return seconds


def list_descendants(pid: int) -> list[int]:
    """The process and all that came of it: a database server is many."""
    text = subprocess.check_output(["ps", "-A", "-o", "pid=,ppid="], text=True)
    pairs = [tuple(map(int, line.split())) for line in text.splitlines()]
    found = [pid]
    for parent in found:
        found += [child for child, its_parent in pairs if its_parent == parent]
    return found


def find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def wait_until_listening(process: subprocess.Popen[bytes], port: int, seconds: float = 60) -> None:
    """Return once the port takes connections. Raises RuntimeError when the process ends first."""
    ends_at = time.monotonic() + seconds
    while time.monotonic() < ends_at:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with exit code {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"{process.args!r} does not listen on {port} after {seconds:.0f} s")


def describe() -> str:
    """Processor, number of cores, system and Python, on one line."""
    model = platform.processor() or platform.machine()
    if (PROC / "cpuinfo").exists():
        for line in (PROC / "cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    python = ".".join(map(str, sys.version_info[:3]))
    return f"{model}, {os.cpu_count()} cores, {platform.system()}, Python {python}"
