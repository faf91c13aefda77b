"""`python -m local` as a person runs it, in a folder and on a port of a test's own."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

from local.children import find_free_port, kill_group

REPOSITORY = Path(__file__).resolve().parents[2]
INHERITED = ("DATABASE_URL", "REDIS_URL", "SECRET_KEY", "KEY_PEPPERS", "CREDENTIAL_KEYS")


class Run:
    """One run: its process, and what it printed."""

    def __init__(self, data_dir: Path, **env: str) -> None:
        clean = {name: value for name, value in os.environ.items() if name not in INHERITED}
        self.data_dir = data_dir
        own = {"TOLLGATE_DATA": str(data_dir), "PORT": str(find_free_port())}
        self.env = {**clean, **own, **env}
        descriptor, name = tempfile.mkstemp(prefix="tollgate-output-")
        os.close(descriptor)
        self.output = Path(name)
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def port(self) -> int:
        return int(self.env["PORT"])

    def start(self) -> subprocess.Popen[bytes]:
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "local"],
                cwd=REPOSITORY,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self.process

    def wait_for(self, text: str, seconds: float = 60) -> str:
        """All output so far, once it holds `text`."""
        deadline = time.monotonic() + seconds
        assert self.process is not None
        while text not in (printed := self.output.read_text()):
            assert self.process.poll() is None, f"ended early: {printed}"
            assert time.monotonic() < deadline, f"no {text!r} within {seconds} s: {printed}"
            time.sleep(0.05)
        return printed

    def stop(self, number: signal.Signals = signal.SIGTERM, seconds: float = 40) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(timeout=seconds)

    def get(self, path: str) -> int:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        finally:
            connection.close()

    def manage(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=REPOSITORY,
            env={name: value for name, value in self.env.items() if name != "PORT"},
            capture_output=True,
            text=True,
            check=False,
        )

    def read_demo(self) -> dict[str, str]:
        lines = (self.data_dir / "demo.env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)

    def read_running(self) -> dict[str, str | int]:
        found: dict[str, str | int] = json.loads((self.data_dir / "run.json").read_text())
        return found


@contextmanager
def running(data_dir: Path, **env: str) -> Iterator[Run]:
    """A run that is ready; ended at the latest when the block is."""
    run = Run(data_dir, **env)
    process = run.start()
    try:
        run.wait_for("Tollgate is running")
        yield run
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(timeout=40)
            finally:
                kill_group(process)
        run.output.unlink()


def fail_to_run(data_dir: Path, **env: str) -> str:
    """What a run says that ends with exit code 1, as it should here."""
    run = Run(data_dir, **env)
    process = run.start()
    try:
        assert process.wait(timeout=60) == 1
        return run.output.read_text()
    finally:
        kill_group(process)
        run.output.unlink()


def list_processes_of(data_dir: Path) -> list[str]:
    """The command lines of all processes that work in or name `data_dir`. Linux only."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            environment = (entry / "environ").read_bytes() if entry.name.isdigit() else b""
            command = (entry / "cmdline").read_bytes() if entry.name.isdigit() else b""
            place = os.readlink(entry / "cwd") if entry.name.isdigit() else ""
        except OSError:
            continue
        wanted = str(data_dir).encode()
        if wanted in environment or wanted in command or place.startswith(str(data_dir)):
            found.append(command.replace(b"\0", b" ").decode(errors="replace"))
    return found
