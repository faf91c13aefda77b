"""Make the secrets of a new installation: `python -m config.new_secrets > .env`, once.

Needs no settings and no server. What it prints is to be kept as the database's backups are: one is
of no use without the other.
"""

from __future__ import annotations

import base64
import os
import secrets


def make_secrets() -> dict[str, str]:
    """Return new values by the names of their variables; docs/SETTINGS.md says what each is."""
    return {
        "SECRET_KEY": secrets.token_urlsafe(48),
        "KEY_PEPPERS": f"1:{secrets.token_hex(32)}",
        "CREDENTIAL_KEYS": base64.urlsafe_b64encode(os.urandom(32)).decode(),
        "POSTGRES_PASSWORD": secrets.token_urlsafe(32),
    }


if __name__ == "__main__":
    for name, value in make_secrets().items():
        print(f"{name}={value}")
