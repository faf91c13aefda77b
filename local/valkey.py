"""An embedded, real Valkey 9 (it speaks the Redis protocol): start and stop.

It listens on 127.0.0.1 only, with a password that is generated at each start and handed over on
standard input, so that no process list shows it.
"""

import secrets
import signal
import time
from pathlib import Path

import redis

from local.binaries import find_valkey
from local.children import Child, end_child, find_free_port, read_tail, start_child
from local.errors import ServerError
from local.initdb import CLEAN_ENV
from local.interruption import pause
from local.orphans import end_orphan
from local.owner import find_home, find_owner, make_data_dir

GRACEFUL_SHUTDOWN = ((signal.SIGTERM, 10.0),)


class Valkey:
    """One server over one folder. Port and password last as long as this object."""

    def __init__(self, data_dir: Path, *, durable: bool = True) -> None:
        self.data_dir = data_dir.resolve()
        self._durable = durable
        self.port = 0
        self._password = secrets.token_hex(24)
        self._process: Child | None = None

    def start(self, *, timeout_seconds: float = 30) -> str:
        """Start the server and return REDIS_URL. Raises ServerError."""
        make_data_dir(self.data_dir)
        self._owner = find_owner(self.data_dir)
        self.folder = find_home(self.data_dir, self._owner) / "valkey"
        self.log = self.data_dir / "logs" / "valkey.log"
        self.log.parent.mkdir(mode=0o700, exist_ok=True)
        self._owner.make_folder(self.folder)
        end_orphan(self.folder / "valkey.pid", self.folder, program="valkey-server")
        self.port = self.port or find_free_port()
        self._process = start_child(
            [find_valkey(self._owner), "-"],
            log=self.log,
            env=CLEAN_ENV,
            cwd=Path("/"),
            owner=self._owner,
            stdin_text=self._write_config(),
        )
        self._wait_ready(time.monotonic() + timeout_seconds)
        return self.url

    def stop(self) -> None:
        """Save what is to be kept and end; harmless when not running."""
        if self._process is not None:
            end_child(self._process, GRACEFUL_SHUTDOWN)
            self._process = None

    def poll(self) -> int | None:
        """The exit code of a server that has ended, None while it runs."""
        return self._process.poll() if self._process else 0

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def url(self) -> str:
        return f"redis://:{self._password}@127.0.0.1:{self.port}/0"

    def _write_config(self) -> str:
        folder = str(self.folder).replace("\\", "\\\\").replace('"', '\\"')
        return "\n".join(
            [
                "bind 127.0.0.1",
                f"port {self.port}",
                f"requirepass {self._password}",
                "daemonize no",
                f'dir "{folder}"',
                f'pidfile "{folder}/valkey.pid"',
                'save ""',
                f"appendonly {'yes' if self._durable else 'no'}",
                "loglevel notice",
                # Counters and queues must not vanish silently when memory runs short.
                "maxmemory-policy noeviction",
                "",
            ]
        )

    def _wait_ready(self, deadline: float) -> None:
        with redis.Redis.from_url(self.url, socket_timeout=2) as client:
            while self.poll() is None and time.monotonic() < deadline:
                try:
                    client.ping()
                except redis.RedisError:  # Not listening yet, or still loading its file.
                    pause(0.02)
                else:
                    return
        tail = read_tail(self.log)
        self.stop()
        raise ServerError(f"Valkey did not come up; {self.log} ends with: {tail}")
