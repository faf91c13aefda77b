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
from accounts.guessing import Guesses, find_place
from accounts.keyring import KeyRecord, Keyring
from billing.ledger.ledger import Ledger
from billing.ledger.recalls import CHANNEL
from billing.prices import PriceBook
from billing.quotas import QuotaBook
from billing.suspensions import SuspensionBook
from gateway.caller import Caller
from gateway.calls import Call
from gateway.circuits import Circuits
from gateway.endpoints.organization.office import Office
from gateway.errors import GatewayError, NotFresh, ShuttingDown, TooManyWrongKeys, refuse_key
from gateway.lanes import Lanes
from gateway.metrics import Meter
from gateway.refusals import Refusals
from gateway.repeats import Repeats
from gateway.reporting import Report, Reporter
from gateway.routing import Catalog
from gateway.tracing import Tracing, open_tracing
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
    metrics_allowed_networks: tuple[Network, ...] = ()
    logs_calls: bool = False
    otlp_endpoint: str = ""
    version: str = ""

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
            metrics_allowed_networks=settings.METRICS_ALLOWED_NETWORKS,
            logs_calls=settings.LOG_CALLS,
            otlp_endpoint=settings.OTEL_EXPORTER_OTLP_ENDPOINT,
            version=settings.VERSION,
        )


class GatewayProcess:
    """What the path of a call stands on. Belongs to one event loop."""

    def __init__(
        self,
        configuration: Configuration,
        *,
        upstream: Upstream | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        self.configuration = configuration
        self.keyring = Keyring(prefixes=configuration.key_prefixes, peppers=configuration.peppers)
        networks = configuration.upstream_allowed_networks
        self.catalog = Catalog(allowed_networks=networks)
        self.prices = PriceBook()
        self.quotas = QuotaBook()
        self.suspensions = SuspensionBook()
        self.circuits = Circuits()
        self.lanes = Lanes(self.catalog, self.prices, self.quotas, self.suspensions)
        self.ledger = Ledger(
            configuration.conninfo,
            redis_url=configuration.redis_url,
            spool_root=configuration.data_folder / "spool",
            spool_max_bytes=configuration.spool_max_bytes,
        )
        self.loops = self.ledger.loops
        self.repeats = Repeats(
            configuration.conninfo, process=lambda: self.ledger.process.id, loops=self.loops
        )
        self.upstream = upstream or Upstream(allowed_networks=networks)
        self.meter = Meter(logs_calls=configuration.logs_calls)
        self.tracing = tracing or open_tracing(configuration.otlp_endpoint)
        self.refusals = Refusals(key_prefixes=configuration.key_prefixes)
        self.office = Office()
        self.reporter = Reporter(configuration, self.refusals, self.report, loops=self.loops)
        self.is_closing = False
        # By network address: a hundred, and five more every three seconds.
        self._wrong_keys = Guesses(most=100, per_seconds=60)
        self._follower = Follower(
            configuration.conninfo,
            [
                self.keyring,
                self.catalog,
                self.prices,
                self.quotas,
                self.suspensions,
                self.lanes,
            ],
            freshness_seconds=configuration.freshness_seconds,
            notices={CHANNEL: self.ledger.hear},
        )
        self._following: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Settle what earlier processes left, load everything, begin. Raises without a database, or
        without tables in it."""
        await self.reporter.check_schema()
        await self.ledger.start()
        await self._follower.start()
        self._following = self.loops.start("follow the change log", self._follower.run)
        self.repeats.start()
        self.reporter.start()
        log.info("gateway process %s serves %d keys", self.ledger.process.id, len(self.keyring))

    async def stop(self) -> None:
        """Settle what is finished, give allowances back and let go. Calls have ended by now."""
        self.is_closing = True
        await self.repeats.close()
        await self.ledger.close(timeout_seconds=SETTLE_SECONDS)
        await self._follower.close()
        if self._following is not None:
            await self._following
        await self.upstream.close()
        await self.reporter.close()
        self.office.close()
        if self.tracing is not None:
            await self.tracing.close()

    def check(self, moment: float) -> None:
        """Raise what refuses every call at a moment of the monotonic clock, if anything does."""
        if self.is_closing:
            raise ShuttingDown
        if moment > self._follower.fresh_until:
            raise NotFresh

    def authenticate(self, caller: Caller, *, now: float) -> KeyRecord:
        """Return the key that this caller may use (`now` in Unix seconds), or raise what refuses
        it."""
        address = caller.address(self.configuration.trusted_proxies)
        try:
            key = self.keyring.authenticate(caller.token(), now=now, address=address)
        except KeyRefused as refused:
            if refused.proves_nothing:
                self._count_guess(address)
            raise refuse_key(refused.code, str(refused)) from None
        caller.key = key
        return key

    def _count_guess(self, address: str | None) -> None:
        """Raise TooManyWrongKeys where an address presented too many. Good keys never come here."""
        place, now = find_place(address), time.monotonic()
        wait = self._wrong_keys.wait_seconds(place, now)
        if wait:
            raise TooManyWrongKeys(wait) from None
        if self._wrong_keys.note(place, now):
            log.warning("many wrong API keys come from %s: it is told to wait", place)

    def note_call(self, call: Call) -> None:
        """Count a call that is over, and trace it where that is wanted."""
        self.meter.note_call(call)
        if self.tracing is not None:
            self.tracing.note_call(call)

    def note_refusal(self, caller: Caller, error: GatewayError) -> None:
        """Count an error, and keep a sample of it where it kept a call from being forwarded."""
        if self.meter.note_refusal(error):
            self.refusals.note(caller, error)

    @property
    def freshness_seconds_left(self) -> float:
        return self._follower.fresh_until - time.monotonic()

    @property
    def lease_seconds_left(self) -> float:
        return self.ledger.process.lease_ends - time.monotonic()

    def report(self) -> Report:
        """Return how this process is, for those who look after it."""
        process = self.ledger.process
        return Report(
            process=process.id,
            version=self.configuration.version,
            fresh_seconds=round(self.freshness_seconds_left, 1),
            queue=process.settler.depth,
            lag_seconds=round(process.settler.lag_seconds, 1),
            spool_bytes=process.spool.size_bytes,
            open_holds=process.open_holds,
            degraded=self.degraded(),
            failing_routes=self.circuits.list_failing(),
        )

    def degraded(self) -> list[str]:
        """Name what is wrong; docs/guides/operating.md says what to do about each."""
        return [name for name, holds in self.states().items() if holds]

    def states(self) -> dict[str, bool]:
        """Return everything that may be wrong, in stable words, and whether it is."""
        process = self.ledger.process
        return {
            "shutting_down": self.is_closing,
            "not_fresh": self.freshness_seconds_left < 0,
            "lease_lost": self.lease_seconds_left < 0,
            "spool_full": process.spool.is_full,
            "settlement_waits": process.settler.is_late,
            "draws_wait": process.draws.failing or process.allowances.is_late,
            "task_failing": self.loops.have_failed,
            "schema_behind": bool(self.reporter.missing_migrations),
            "redis_away": process.rates.is_away or self.reporter.redis_is_away,
        }
