"""What is counted in Redis, for people: requests and tokens of this minute, and calls at once.

Read alone; gateways decide by billing/ledger/rates.py. What a process has drawn and not used yet
counts as used here. Without Redis nothing is known, and a page waits a tenth of a second for it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache

from django.conf import settings
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from billing.ledger.rates import ANSWER_SECONDS, write_key
from billing.ledger.windows import period
from billing.models import Quota, QuotaWindow

log = logging.getLogger(__name__)


def is_counted_in_redis(quota: Quota) -> bool:
    return quota.unit == Quota.Unit.CONCURRENCY or quota.window == Quota.Window.MINUTE


def find_counted(quotas: Sequence[Quota], *, at: datetime) -> dict[int, QuotaWindow]:
    """Return the window that each of these quotas is in, with what is `drawn` of it, by the
    quota's id; nothing where Redis is away. Such windows are in no table."""
    windows = [_make_window(quota, at) for quota in quotas]
    if not windows:
        return {}
    try:
        with _connect(settings.REDIS_URL).pipeline(transaction=False) as pipeline:
            for window in windows:
                _ask(pipeline, window)
            answers = pipeline.execute()
    except (RedisError, OSError) as error:
        log.warning("Redis is away; pages do not know what was used this minute: %r", error)
        return {}
    for window, answer in zip(windows, answers, strict=True):
        window.drawn = _read(answer, now_ms=at.timestamp() * 1000)
    return {window.quota_id: window for window in windows}


def _make_window(quota: Quota, at: datetime) -> QuotaWindow:
    starts_at, ends_at = period(quota.window, at, "UTC")
    nothing = {"posted": 0, "overrun": 0, "drawn": 0}  # Of rows the database says so by itself.
    return QuotaWindow(
        quota=quota, starts_at=starts_at, ends_at=ends_at, limit=quota.limit, **nothing
    )


def _ask(pipeline: Redis, window: QuotaWindow) -> None:
    quota = window.quota
    is_concurrency = quota.unit == Quota.Unit.CONCURRENCY
    starts_at = None if is_concurrency else window.starts_at
    key = write_key(organization=quota.organization, quota=quota.pk, starts_at=starts_at)
    if is_concurrency:
        pipeline.hvals(key)
    else:
        pipeline.get(key)


def _read(answer: object, *, now_ms: float) -> int:
    """Read the count of a period, or the counts of processes with the time until which each is
    good: `amount:ends`."""
    if not isinstance(answer, list):
        return int(answer) if isinstance(answer, bytes) else 0
    found = (field.split(b":") for field in answer)
    return sum(int(amount) for amount, ends in found if int(ends) > now_ms)


@lru_cache(maxsize=2)
def _connect(url: str) -> Redis:
    return Redis.from_url(
        url,
        socket_timeout=ANSWER_SECONDS,
        socket_connect_timeout=ANSWER_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )
