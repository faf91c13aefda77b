"""The product's settings with stand-in addresses and secrets, for tools that only read types."""

import os

os.environ.setdefault("DATABASE_URL", "postgres://nobody@127.0.0.1:1/nothing")
os.environ.setdefault("REDIS_URL", "redis://127.0.0.1:1/0")
os.environ.setdefault("SECRET_KEY", "not a secret: nothing is served with it")
os.environ.setdefault("KEY_PEPPERS", "1:" + "00" * 32)
os.environ.setdefault("CREDENTIAL_KEYS", "MDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDA=")

from config.settings import *  # noqa: F403
