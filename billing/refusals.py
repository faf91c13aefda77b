"""Samples of the calls that were not forwarded: kept for some days, so that people can see why.

Written by gateway processes in batches (gateway/refusals.py), read by pages and the API, trimmed
by Celery. A row stands for `sampled` calls; nothing is ever computed from them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import msgspec
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import AsyncConnection

KEPT = timedelta(days=7)
TRIMMED_AT_ONCE = 20_000


class Sample(msgspec.Struct, kw_only=True):
    """One refusal and how many like it there were; the fields are the columns of its row."""

    call_id: str
    at: float
    organization: int | None
    project: int | None
    key: int | None
    model: str
    endpoint: str
    code: str
    http_status: int
    quota: int | None
    message: str
    sampled: int = 1


_INSERT = """
INSERT INTO refusal (call_id, at, organization, project, key, model, endpoint, code, http_status,
    quota, message, sampled)
SELECT call_id, to_timestamp(at), organization, project, key, model, endpoint, code, http_status,
    quota, message, sampled
FROM json_to_recordset(%s::json) AS r (call_id uuid, at float8, organization bigint,
    project bigint, key bigint, model text, endpoint text, code text, http_status smallint,
    quota bigint, message text, sampled int)
"""
_TRIM = """
DELETE FROM refusal WHERE id = ANY (ARRAY(
    SELECT id FROM refusal WHERE at < now() - make_interval(secs => %s) ORDER BY at LIMIT %s
))
"""


async def store_refusals(connection: AsyncConnection[Any], samples: Sequence[Sample]) -> None:
    """Write samples in one statement."""
    await connection.execute(_INSERT, [msgspec.json.encode(samples).decode()])


def trim_refusals(connection: BaseDatabaseWrapper) -> int:
    """Delete what is older than KEPT, in small transactions; return how many rows."""
    trimmed: int = 0
    while True:
        with connection.cursor() as cursor:
            cursor.execute(_TRIM, [KEPT.total_seconds(), TRIMMED_AT_ONCE])
            trimmed += int(cursor.rowcount)
            if cursor.rowcount < TRIMMED_AT_ONCE:
                return trimmed
