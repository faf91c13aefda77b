"""The environment, read in this one place.

A variable that is missing or makes no sense ends the process with a sentence that names it.
Where DATABASE_URL is not set, the servers of a running `make run` are used: its supervisor keeps
their addresses in TOLLGATE_DATA/run.json and the generated secrets in TOLLGATE_DATA/demo.env.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import os
import sys
import tomllib
from collections.abc import Collection
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from accounts.keys import check_prefix

BASE_DIR = Path(__file__).resolve().parent.parent
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class BadSetting(SystemExit):
    """The process cannot start; the message says which variable is wrong and why."""


def text(name: str, default: str | None = None) -> str:
    value = os.environ.get(name, "").strip() or default
    if value is None:
        raise BadSetting(f"{name} is not set; docs/SETTINGS.md says what it must hold.")
    return value


def integer(name: str, default: int, *, least: int = 0, most: int = 2**31) -> int:
    value = text(name, str(default))
    try:
        number = int(value)
    except ValueError:
        raise BadSetting(f"{name}={value!r} is not a whole number.") from None
    if not least <= number <= most:
        raise BadSetting(f"{name}={number} is outside {least} to {most}.")
    return number


def boolean(name: str, *, default: bool) -> bool:
    value = text(name, "1" if default else "0").lower()
    if value not in {"0", "1", "true", "false"}:
        raise BadSetting(f"{name}={value!r} is neither 1 nor 0.")
    return value in {"1", "true"}


def choice(name: str, default: str, options: set[str]) -> str:
    value = text(name, default)
    if value not in options:
        raise BadSetting(f"{name}={value!r} is none of {', '.join(sorted(options))}.")
    return value


def address(name: str, default: str | None = None, *, schemes: Collection[str]) -> str:
    """Read a URL. What is wrong with it is said without quoting it: it may hold a password."""
    value = text(name, default)
    try:
        parts = urlsplit(value)
        fits = parts.scheme in schemes and bool(parts.hostname or parts.path.strip("/"))
        fits = fits and (parts.port is None or parts.port > 0)
    except ValueError:
        fits = False
    if not fits:
        shown = " or ".join(f"{scheme}://" for scheme in schemes)
        raise BadSetting(f"{name} is not an address that begins with {shown} and names a host.")
    return value


def email(name: str, default: str = "console:") -> dict[str, object]:
    """Read where letters go, as Django's EMAIL_* settings: `console:`, or smtp://, smtps:// (TLS
    from the start) or smtp+tls:// (STARTTLS) with user:password@host:port?from=address."""
    value = text(name, default)
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme == "console":
        return {"EMAIL_BACKEND": "django.core.mail.backends.console.EmailBackend"}
    if parts.scheme not in {"smtp", "smtps", "smtp+tls"} or not parts.hostname:
        raise BadSetting(
            f"{name} is neither console: nor an address that begins with smtp://, smtps:// or "
            "smtp+tls:// and names a host."
        )
    sender = parse_qs(parts.query).get("from", [f"tollgate@{parts.hostname}"])[0]
    return {
        "EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend",
        "EMAIL_HOST": parts.hostname,
        "EMAIL_PORT": port or {"smtp": 25, "smtps": 465, "smtp+tls": 587}[parts.scheme],
        "EMAIL_HOST_USER": unquote(parts.username or ""),
        "EMAIL_HOST_PASSWORD": unquote(parts.password or ""),
        "EMAIL_USE_SSL": parts.scheme == "smtps",
        "EMAIL_USE_TLS": parts.scheme == "smtp+tls",
        "EMAIL_TIMEOUT": 20,
        "DEFAULT_FROM_EMAIL": sender,
    }


def optional_address(name: str, *, schemes: Collection[str]) -> str:
    """Read a URL that may be missing; '' then."""
    return address(name, schemes=schemes) if os.environ.get(name, "").strip() else ""


def is_localhost(url: str) -> bool:
    return urlsplit(url).hostname in {"localhost", "127.0.0.1", "::1"}


def default_signup(public_url: str) -> str:
    """Return who may sign up where nobody says: everybody only where all are on this machine,
    because whoever gets in spends what the operator pays for."""
    return "open" if is_localhost(public_url) else "invited"


def oidc() -> list[dict[str, object]]:
    """Read OIDC_ISSUER, OIDC_CLIENT_ID, OIDC_CLIENT_SECRET and OIDC_NAME: the identity provider
    that people may log in with, as allauth's settings name it; nothing without an issuer."""
    issuer = optional_address("OIDC_ISSUER", schemes=("https", "http"))
    if not issuer:
        return []
    return [
        {
            "provider_id": "oidc",
            "name": text("OIDC_NAME", "single sign-on"),
            "client_id": text("OIDC_CLIENT_ID"),
            "secret": text("OIDC_CLIENT_SECRET"),
            "settings": {"server_url": issuer},
        }
    ]


def default_log_format() -> str:
    """Return what suits whoever reads: a person at a terminal, or a collector of logs."""
    return "text" if sys.stderr.isatty() else "json"


def version() -> str:
    """Return the version of this project."""
    with (BASE_DIR / "pyproject.toml").open("rb") as file:
        found: str = tomllib.load(file)["project"]["version"]
    return found


def secret(name: str) -> str:
    value = text(name)
    if len(value) < 32:
        raise BadSetting(f"{name} is shorter than 32 characters.")
    return value


def key_prefix(name: str, default: str) -> str:
    return _check_prefix(name, text(name, default))


def key_prefixes(name: str) -> tuple[str, ...]:
    """Read a comma-separated list of prefixes of keys."""
    parts = (part.strip() for part in text(name, "").split(","))
    return tuple(_check_prefix(name, part) for part in parts if part)


def _check_prefix(name: str, prefix: str) -> str:
    try:
        check_prefix(prefix)
    except ValueError as error:
        raise BadSetting(f"{name}: {error}.") from None
    return prefix


def networks(name: str, default: str = "") -> tuple[Network, ...]:
    """Read a comma-separated list of networks in CIDR notation."""
    found = []
    for part in text(name, default).split(","):
        if not part.strip():
            continue
        try:
            found.append(ipaddress.ip_network(part.strip()))
        except ValueError as error:
            raise BadSetting(f"{name}: {part.strip()!r} is not a network: {error}.") from None
    return tuple(found)


def peppers(name: str) -> dict[int, bytes]:
    """Read `1:<hex>,2:<hex>`: the versioned secrets under which keys are digested."""
    found: dict[int, bytes] = {}
    for part in text(name).split(","):
        version, _, secret = part.strip().partition(":")
        try:
            found[int(version)] = bytes.fromhex(secret)
        except ValueError:
            raise BadSetting(
                f"{name} must be a list of version:hex, such as 1:{'ab' * 4}..., without spaces."
            ) from None
        if len(found[int(version)]) < 32:
            raise BadSetting(f"{name}: pepper {version} is shorter than 32 bytes (64 hex digits).")
    return found


def fernet_keys(name: str) -> list[str]:
    """Read a comma-separated list of Fernet keys, the newest first. Never prints one."""
    found = [part.strip() for part in text(name).split(",") if part.strip()]
    for number, key in enumerate(found, 1):
        try:
            size = len(base64.b64decode(key, altchars=b"-_", validate=True))
        except ValueError:
            size = 0
        if size != 32:
            raise BadSetting(
                f"{name}: key {number} of {len(found)} is not 32 bytes in URL-safe base64; "
                "docs/SETTINGS.md says how to make one."
            )
    if not found:
        raise BadSetting(f"{name} holds no key; docs/SETTINGS.md says how to make one.")
    return found


def data_folder() -> Path:
    """Return TOLLGATE_DATA: the spool and, with embedded servers, everything that is kept."""
    return Path(text("TOLLGATE_DATA", str(BASE_DIR / ".data"))).expanduser().resolve()


def adopt_running_servers() -> None:
    """Take over the addresses and secrets of a running `make run` where none are given.

    Variables that are set win. Ends the process when there is nothing to talk to.
    """
    if os.environ.get("DATABASE_URL"):
        return
    folder = data_folder()
    running = _read_running(folder / "run.json")
    if running is None:
        raise BadSetting(
            f"No servers are running for {folder}: start them with `make run`, or set "
            "DATABASE_URL and REDIS_URL."
        )
    for name in ("DATABASE_URL", "REDIS_URL", "HOST", "PORT", "UPSTREAM_ALLOWED_NETWORKS"):
        if running.get(name):
            os.environ.setdefault(name, str(running[name]))
    secrets = folder / "demo.env"
    if secrets.exists():
        for line in secrets.read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition("=")
            if name in {"SECRET_KEY", "KEY_PEPPERS", "CREDENTIAL_KEYS"}:
                os.environ.setdefault(name, value)


def _read_running(path: Path) -> dict[str, object] | None:
    try:
        found: dict[str, object] = json.loads(path.read_text(encoding="utf-8"))
        os.kill(int(str(found["pid"])), 0)
    except PermissionError:
        return None if not path.exists() else found
    except (OSError, ValueError, KeyError):
        return None
    return found
