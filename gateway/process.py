"""One gateway process: everything it holds in memory, and its beginning and end.

Keys, routes, prices and quotas are kept true by the change log; the ledger has a lease. Both go
stale when the database is away, and then calls are refused here, before anything else is looked
at: a key that cannot be checked is not a bad key.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from accounts.addresses import Network
from accounts.changes import Follower
from accounts.connections import conninfo_of
from accounts.errors import KeyRefused
from accounts.keyring import KeyRecord, Keyring
from billing.ledger.draws import RECALL_CHANNEL
from billing.ledger.ledger import Ledger
from billing.prices import PriceBook
from billing.quotas import QuotaBook
from gateway.caller import Caller
from gateway.errors import NotFresh, ShuttingDown, refuse_key
from gateway.routing import Catalog
from gateway.upstream import Upstream

log = logging.getLogger(__name__)

SETTLE_SECONDS = 15.0


class Configuration(msgspec.Struct, frozen=True, kw_only=True):
    """What a gateway process is told from outside; see docs/SETTINGS.md."""

    conninfo: str
    redis_url: str
    data_folder: Path
    key_prefixes: Sequence[str]
    peppers: Mapping[int, bytes]
    freshness_seconds: int
    trusted_proxies: tuple[Network, ...]
    upstream_allowed_networks: tuple[Network, ...]
    max_body_bytes: int
    spool_max_bytes: int

    @classmethod
    def from_settings(cls) -> Configuration:
        from django.conf import settings
        from django.db import connection

        return cls(
            conninfo=conninfo_of(connection.settings_dict),
            redis_url=settings.REDIS_URL,
            data_folder=settings.TOLLGATE_DATA,
            key_prefixes=(settings.KEY_PREFIX, *settings.OLD_KEY_PREFIXES),
            peppers=settings.KEY_PEPPERS,
            freshness_seconds=settings.FRESHNESS_SECONDS,
            trusted_proxies=settings.TRUSTED_PROXIES,
            upstream_allowed_networks=settings.UPSTREAM_ALLOWED_NETWORKS,
            max_body_bytes=settings.MAX_BODY_BYTES,
            spool_max_bytes=settings.SPOOL_MAX_BYTES,
        )


class GatewayProcess:
    """What the path of a call stands on. Belongs to one event loop."""

    def __init__(self, configuration: Configuration, *, upstream: Upstream | None = None) -> None:
        self.configuration = configuration
        self.keyring = Keyring(prefixes=configuration.key_prefixes, peppers=configuration.peppers)
        networks = configuration.upstream_allowed_networks
        self.catalog = Catalog(allowed_networks=networks)
        self.prices = PriceBook()
        self.quotas = QuotaBook()
        self.ledger = Ledger(
            configuration.conninfo,
            redis_url=configuration.redis_url,
            spool_root=configuration.data_folder / "spool",
            spool_max_bytes=configuration.spool_max_bytes,
        )
        self.upstream = upstream or Upstream(allowed_networks=networks)
        self.is_closing = False
        self._follower = Follower(
            configuration.conninfo,
            [self.keyring, self.catalog, self.prices, self.quotas],
            freshness_seconds=configuration.freshness_seconds,
            notices={RECALL_CHANNEL: self.ledger.take_recall},
        )
        self._following: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Settle what earlier processes left, load everything, begin. Raises without a database."""
        await self.ledger.start()
        await self._follower.start()
        self._following = asyncio.create_task(self._follower.run(), name="follow the change log")
        log.info("gateway process %s serves %d keys", self.ledger.process.id, len(self.keyring))

    async def stop(self) -> None:
        """Settle what is finished, give allowances back and let go. Calls have ended by now."""
        self.is_closing = True
        await self.ledger.close(timeout_seconds=SETTLE_SECONDS)
        await self._follower.close()
        if self._following is not None:
            await self._following
        await self.upstream.close()

    def check(self) -> None:
        """Raise what refuses every call now, if anything does."""
        if self.is_closing:
            raise ShuttingDown
        if time.monotonic() > self._follower.fresh_until:
            raise NotFresh

    def authenticate(self, caller: Caller) -> KeyRecord:
        """Return the key that this caller may use, or raise what refuses it."""
        address = caller.address(self.configuration.trusted_proxies)
        try:
            return self.keyring.authenticate(caller.token(), now=time.time(), address=address)
        except KeyRefused as refused:
            raise refuse_key(refused.code, str(refused)) from None

    def degraded(self) -> list[str]:
        """Name what is wrong, in stable words; an empty list when nothing is."""
        process = self.ledger.process
        now = time.monotonic()
        states = {
            "shutting_down": self.is_closing,
            "not_fresh": now > self._follower.fresh_until,
            "lease_lost": now > process.lease_ends,
            "spool_full": process.spool.is_full,
            "settlement_waits": process.settler.failing_since is not None,
        }
        return [name for name, holds in states.items() if holds]
