"""What `make run` reads from the environment, checked before anything is started."""

import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path

from config import env

# The providers that are declared when their usual variable holds a key.
REAL_KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "XAI_API_KEY")
SECRETS = ("SECRET_KEY", "KEY_PEPPERS", "CREDENTIAL_KEYS")


@dataclass(frozen=True)
class Options:
    """An empty address means that the embedded server is to be started."""

    host: str
    port: int
    public_url: str
    data_dir: Path
    database_url: str
    redis_url: str

    @property
    def embedded_database(self) -> bool:
        return not self.database_url

    @property
    def demo(self) -> bool:
        """A demo login and key exist only in our own database, for this machine's own people."""
        return self.embedded_database and is_loopback(self.host)

    @property
    def reached_host(self) -> str:
        """The host under which we reach ourselves."""
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)


def read_options() -> Options:
    """Read the environment. A bad value ends the process with a sentence that names it."""
    port = env.integer("PORT", 8000, least=1, most=65535)
    env.integer("GATEWAY_WORKERS", 1, least=1, most=256)
    database_url = env.text("DATABASE_URL", "")
    if database_url:
        for name in SECRETS:
            env.text(name)
    return Options(
        host=env.text("HOST", "127.0.0.1"),
        port=port,
        public_url=env.text("PUBLIC_URL", f"http://localhost:{port}").rstrip("/"),
        data_dir=env.data_folder(),
        database_url=database_url,
        redis_url=env.text("REDIS_URL", ""),
    )


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def list_real_keys() -> list[str]:
    """The names of the variables that hold a real provider's key."""
    return [name for name in REAL_KEYS if os.environ.get(name, "").strip()]
