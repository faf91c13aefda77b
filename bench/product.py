"""The whole of Tollgate for a benchmark, set up as anybody would: migrate, apply, serve.

Its servers are of its own, in a temporary folder, as durable as the product's. Every call passes
a key, three cost quotas (organization, project, key), the spool and the settlement.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import yaml
from cryptography.fernet import Fernet

from bench.machine import find_free_port, wait_until_listening
from local.postgres import Postgres
from local.valkey import Valkey

MODELS = ("bench-instant", "bench-chunks-100-10")
# Models by these names are served by the provider in Anthropic's protocol.
MESSAGES_PREFIX = "messages-"
ROOT = Path(__file__).parents[1]


class Product(NamedTuple):
    """`keys` are those that were declared, by name; `key` is the first of them."""

    url: str
    keys: dict[str, str]
    pid: int
    database_pid: int

    @property
    def key(self) -> str:
        return next(iter(self.keys.values()))


@contextlib.contextmanager
def serve_product(
    provider_url: str, organizations: Sequence[Mapping[str, object]] = ()
) -> Iterator[Product]:
    """Start everything, and end it. Without `organizations` there is one, with three quotas."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tollgate-bench-")))
        folder.chmod(0o711)
        postgres, valkey = Postgres(folder / "servers"), Valkey(folder / "servers")
        stack.callback(postgres.stop)
        stack.callback(valkey.stop)
        port = find_free_port()
        environment = compose_environment(folder, postgres.start(), valkey.start(), port)
        manage(environment, "migrate", "--verbosity", "0")
        declaration = folder / "bench.yaml"
        whole = compose_declaration(provider_url)
        if organizations:
            whole["organizations"] = list(organizations)
        declaration.write_text(yaml.safe_dump(whole))
        keys = read_keys(manage(environment, "apply", str(declaration)))
        process = subprocess.Popen(
            [sys.executable, "-m", "config.serve"], env=environment, cwd=ROOT
        )
        stack.callback(end, process)
        wait_until_listening(process, port)
        assert postgres.pid is not None
        yield Product(f"http://127.0.0.1:{port}", keys, process.pid, postgres.pid)


def read_keys(printed: str) -> dict[str, str]:
    """Return the keys that `apply` showed, by name."""
    shown = re.findall(r"^key (\S+) of \S+, shown this once: (\S+)$", printed, re.MULTILINE)
    return dict(shown)


def compose_environment(folder: Path, database: str, redis: str, port: int) -> dict[str, str]:
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "TOLLGATE_DATA": str(folder / "data"),
        "DATABASE_URL": database,
        "REDIS_URL": redis,
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "GATEWAY_WORKERS": "1",
        "LOG_LEVEL": "WARNING",
        "UPSTREAM_ALLOWED_NETWORKS": "127.0.0.0/8",
        "SECRET_KEY": secrets.token_urlsafe(48),
        "KEY_PEPPERS": f"1:{secrets.token_hex(32)}",
        "CREDENTIAL_KEYS": Fernet.generate_key().decode(),
    }


def compose_declaration(provider_url: str) -> dict[str, object]:
    """Quotas that are enforced at every scope and too large to run out."""
    quota = {"unit": "cost", "limit": "1000000.00", "window": "month"}
    price = {"input": "2.50", "cache_read": "1.25", "output": "10.00", "effective": "2026-01-01"}
    return {
        "providers": [
            {
                "name": "bench",
                "protocol": "openai",
                "base_url": f"{provider_url}/v1",
                "credential": "literal:sk-bench",
            },
            {
                "name": "messages",
                "protocol": "anthropic",
                "base_url": provider_url,
                "credential": "literal:sk-bench",
            },
        ],
        "models": [
            {
                "name": prefix + name,
                "context_window": 128_000,
                "max_output_tokens": 4_096,
                "routes": [{"provider": provider, "model": name}],
                "price": price,
            }
            for name in MODELS
            for prefix, provider in (("", "bench"), (MESSAGES_PREFIX, "messages"))
        ],
        "organizations": [
            {
                "slug": "bench",
                "name": "Bench",
                "quotas": [quota],
                "projects": [
                    {
                        "slug": "default",
                        "quotas": [quota],
                        "keys": [{"name": "load", "quotas": [quota]}],
                    }
                ],
            }
        ],
    }


def manage(environment: dict[str, str], *arguments: str) -> str:
    """Run `manage.py` and return what it printed."""
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        env=environment,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
