"""Starts everything that one machine needs, in order, and ends it in the reverse order.

Servers first, then what needs them; a program that ends is started again; a server that cannot be
started again ends everything. Whatever happens, no child outlives `run`.
"""

import os
import signal
import sys
import time
from datetime import datetime

from config.env import BASE_DIR
from local.banner import compose_banner
from local.children import Child, end_children, read_tail, start_child, wait_until
from local.errors import LocalError, ServerError
from local.folder import DataFolder, read_assignments
from local.interruption import Stopped, begin_stopping, pause
from local.logs import Follower, make_room
from local.options import SECRETS, Options
from local.ports import ask_ready, choose_port, is_port_free
from local.postgres import Postgres
from local.service import Service
from local.valkey import Valkey

READY_SECONDS = 60.0
# Running calls may finish; what is left after that is killed.
GRACEFUL_END = ((signal.SIGTERM, 15.0),)
LOOPBACK_NETWORKS = "127.0.0.0/8,::1/128"
# A server that ends this often within a minute will not stay up.
MOST_ENDS_A_MINUTE = 5


class Supervisor:
    """One `make run`."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._folder = DataFolder(options.data_dir)
        # People read these logs, and their warnings are repeated on the screen.
        self._env = {"LOG_FORMAT": "text", **os.environ, "PYTHONUNBUFFERED": "1"}
        self._servers: list[Postgres | Valkey] = []
        self._services: list[Service] = []
        self._followers: dict[str, Follower] = {}
        self._short_lived: list[Child] = []
        self._ends: list[float] = []

    def run(self) -> None:
        """Run until somebody asks us to end. Raises LocalError when something cannot be run."""
        with self._folder.locked():
            try:
                self._check_port()
                self._start_servers()
                self._prepare_data()
                self._start_services()
                self._wait_ready()
                demo = read_assignments(self._folder.demo_env)
                print(compose_banner(self._options, demo), flush=True)
                self._watch()
            except Stopped:
                tell("Stopping; once more to hasten it.")
            finally:
                begin_stopping()
                self._stop()

    def _check_port(self) -> None:
        """A run that was killed leaves run.json, and programs that end within seconds."""
        seconds = 20.0 if self._folder.run_json.exists() else 0.0
        self._folder.forget_running()
        if not wait_until(lambda: is_port_free(self._options.host, self._options.port), seconds):
            raise LocalError(
                f"Port {self._options.port} on {self._options.host} is in use: end the program "
                "that uses it, or choose another one with PORT=8001 make run."
            )

    def _start_servers(self) -> None:
        options, env = self._options, self._env
        env |= {
            "TOLLGATE_DATA": str(options.data_dir),
            "HOST": options.host,
            "PORT": str(options.port),
        }
        if options.embedded_database:
            for name, value in self._folder.read_secrets().items():
                if name in SECRETS:
                    env.setdefault(name, value)
            env.setdefault("UPSTREAM_ALLOWED_NETWORKS", LOOPBACK_NETWORKS)
            env["DATABASE_URL"] = self._start_server(Postgres(options.data_dir))
        if not options.redis_url:
            env["REDIS_URL"] = self._start_server(Valkey(options.data_dir))

    def _start_server(self, server: Postgres | Valkey) -> str:
        make_room(self._folder.logs / f"{type(server).__name__.lower()}.log")
        self._servers.append(server)
        return server.start()

    def _prepare_data(self) -> None:
        """Bring the database to this version and, for ourselves, declare the demo."""
        command = [sys.executable, "-m", "local.preparation"]
        if self._options.demo:
            self._provider_port = choose_port(self._folder.path / "provider.port")
            command.append(f"http://127.0.0.1:{self._provider_port}")
            self._env["PROVIDER_URL"] = command[-1]
            port = str(self._provider_port)
            self._add_service("provider", "-m", "local.provider", "--port", port)
        self._write_running()
        self._run_to_end("preparation", command)

    def _run_to_end(self, name: str, command: list[str]) -> None:
        """Run a short program; what it said is the reason when it fails."""
        log = self._folder.logs / f"{name}.log"
        log.unlink(missing_ok=True)
        child = start_child(command, log=log, env=self._env, cwd=BASE_DIR)
        self._short_lived.append(child)
        while child.poll() is None:
            pause(0.02)
        if child.returncode != 0:
            raise LocalError(f"{read_tail(log, lines=1)} (all of it: {log})")

    def _start_services(self) -> None:
        self._add_service("web", "-m", "config.serve")
        schedule = self._folder.path / "celery"
        schedule.mkdir(exist_ok=True)
        self._add_service(
            "worker",
            *("-m", "celery", "-A", "config.celery", "worker", "--beat"),
            *("--schedule", str(schedule / "schedule")),
            *("--concurrency", "1", "--loglevel", "warning"),
            *("--without-gossip", "--without-mingle"),
        )

    def _add_service(self, name: str, *arguments: str) -> None:
        log = self._folder.logs / f"{name}.log"
        make_room(log)
        self._followers[name] = Follower(log)
        service = Service(
            name,
            [sys.executable, *arguments],
            env=self._env,
            cwd=BASE_DIR,
            log=log,
            report=tell,
        )
        self._services.append(service)
        service.start()

    def _wait_ready(self) -> None:
        web = next(service for service in self._services if service.name == "web")
        deadline = time.monotonic() + READY_SECONDS
        answer = "nothing"
        while time.monotonic() < deadline:
            if web.process is not None and web.process.poll() is not None:
                raise LocalError(
                    f"The web server ended at once; {web.log} says: {read_tail(web.log)}"
                )
            answer = ask_ready(self._options.reached_host, self._options.port)
            if answer == "":
                return
            pause(0.05)
        raise LocalError(
            f"The web server was not ready within {READY_SECONDS:g} seconds (/readyz answered "
            f"{answer}); see {web.log}."
        )

    def _watch(self) -> None:
        while True:
            for server in self._servers:
                if server.poll() is not None:
                    self._restart(server)
            for service in self._services:
                service.check()
            self._repeat_warnings()
            pause(0.2)

    def _restart(self, server: Postgres | Valkey) -> None:
        now = time.monotonic()
        self._ends = [at for at in self._ends if now - at < 60] + [now]
        name = type(server).__name__
        if len(self._ends) > MOST_ENDS_A_MINUTE:
            raise ServerError(
                f"{name} ended {len(self._ends)} times within a minute; see {server.log}."
            )
        tell(f"{name} ended with exit code {server.poll()}; starting it again.")
        server.start()

    def _repeat_warnings(self) -> None:
        for name, follower in self._followers.items():
            for line in follower.read_warnings():
                tell(f"{name}: {line}")

    def _write_running(self) -> None:
        names = ("DATABASE_URL", "REDIS_URL", "PORT", "HOST", "PROVIDER_URL")
        found = {name: self._env[name] for name in names if name in self._env}
        found["UPSTREAM_ALLOWED_NETWORKS"] = self._env.get("UPSTREAM_ALLOWED_NETWORKS", "")
        self._folder.write_running({"pid": os.getpid(), **found})

    def _stop(self) -> None:
        """Web and worker first, then the provider they call, then the servers."""
        running = {service.name: service.process for service in self._services if service.process}
        provider = running.pop("provider", None)
        end_children([*running.values(), *self._short_lived], GRACEFUL_END)
        if provider is not None:
            end_children([provider], GRACEFUL_END)
        for server in reversed(self._servers):
            server.stop()
        self._repeat_warnings()
        self._folder.forget_running()


def tell(line: str) -> None:
    """One line on the screen about what happens."""
    print(f"{datetime.now():%H:%M:%S} {line}", file=sys.stderr, flush=True)  # noqa: DTZ005
