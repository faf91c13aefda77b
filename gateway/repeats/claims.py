"""Claims of Idempotency-Keys: made before a call, settled by how it ended.

running -> answered (its whole answer is kept) | over (it was charged, and no answer is kept) |
gone (it failed: the repeat is a call like any other). A running one whose process is dead stays
what it is until it is a day old: whether it was charged is not known here, so nobody is charged
again.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable

from django.db.backends.base.base import BaseDatabaseWrapper

from accounts.keyring import KeyRecord
from billing.ledger.loops import Loops
from gateway.caller import IDEMPOTENCY_KEY, Caller
from gateway.errors import BadRequest, RepeatDiffers, RepeatOver, RepeatRunning, RepeatsAway
from gateway.repeats.jobs import DatabaseAway, Jobs
from gateway.repeats.sealing import open_answer, seal_answer

LONGEST_NAME = 255
LARGEST_ANSWER_BYTES = 2**20
MOST_KEPT_BYTES = 64 * 2**20  # While the database is away.
CLOSE_SECONDS = 2.0
FORGOTTEN_AT_ONCE = 1_000

# A key that is a day old is as good as new. Two who claim at once meet at the unique constraint;
# the second then sees nothing of the first within its own snapshot, and asks once more.
_CLAIM = """
WITH claimed AS (
    INSERT INTO repeatable_call AS c (organization, key, name, request, call_id, process)
    VALUES (%s, %s, %s, %s, %s, %s)
    ON CONFLICT (key, name) DO UPDATE SET request = excluded.request,
        call_id = excluded.call_id, process = excluded.process, state = 'running',
        answer = NULL, made_at = now()
    WHERE c.made_at < now() - interval '24 hours'
    RETURNING c.request, c.state, c.call_id, c.answer
)
SELECT true, request, state, call_id::text, answer FROM claimed
UNION ALL
SELECT false, c.request, CASE WHEN c.state = 'running' AND NOT EXISTS (
        SELECT 1 FROM gateway_process p WHERE p.id = c.process
            AND p.ended_at IS NULL AND p.lease_until > clock_timestamp()
    ) THEN 'over' ELSE c.state END, c.call_id::text, c.answer
FROM repeatable_call c WHERE c.key = %s AND c.name = %s AND NOT EXISTS (SELECT 1 FROM claimed)
"""
_OURS = "WHERE key = %s AND name = %s AND call_id = %s AND state = 'running'"
_KEEP = f"UPDATE repeatable_call SET state = 'answered', answer = %s {_OURS}"  # noqa: S608
_END = f"UPDATE repeatable_call SET state = 'over' {_OURS}"  # noqa: S608
_LET_GO = f"DELETE FROM repeatable_call {_OURS}"  # noqa: S608
_FORGET = """
DELETE FROM repeatable_call WHERE id = ANY (ARRAY(
    SELECT id FROM repeatable_call WHERE made_at < now() - interval '24 hours' LIMIT %s
))
"""


class Claim:
    """One call's claim of its Idempotency-Key."""

    def __init__(self, jobs: Jobs, *, key: int, name: bytes, call_id: str) -> None:
        self._jobs = jobs
        self._call_id = call_id
        self._place = (key, name, call_id)
        self._is_settled = False

    async def keep(self, body: bytes) -> None:
        """Keep the whole answer, before the caller gets it. Waits a moment for the database; where
        that is away it is kept later, and a repeat until then finds the call running."""
        if len(body) > LARGEST_ANSWER_BYTES or self._jobs.kept_bytes > MOST_KEPT_BYTES:
            return
        self._is_settled = True
        sealed = await seal_answer(self._call_id, body)
        await self._jobs.do(_KEEP, [sealed, *self._place], waits=True)

    def end(self, *, is_told: bool) -> None:
        """The call is over. Unless its answer is kept: it was told, all or some of it, or it
        failed and the caller may try again."""
        if not self._is_settled:
            self._is_settled = True
            self._jobs.do_later(_END if is_told else _LET_GO, self._place)


class Repeats:
    """Makes the claims of one gateway process, from start() to close()."""

    def __init__(self, conninfo: str, *, process: Callable[[], str], loops: Loops) -> None:
        """`process` returns the id of the gateway process, which may change."""
        self._jobs = Jobs(conninfo, loops=loops)
        self._process = process

    def start(self) -> None:
        self._jobs.start()

    async def close(self) -> None:
        await self._jobs.close(timeout_seconds=CLOSE_SECONDS)

    async def once(
        self, caller: Caller, key: KeyRecord, body: bytes, carry_out: Callable[[], Awaitable[None]]
    ) -> None:
        """Carry a call out if its Idempotency-Key is new; else answer it as the first one was.

        Raises what says that it cannot be: GatewayErrors of errors/repeats.py.
        """
        name = read_name(caller)
        claim = Claim(self._jobs, key=key.id, name=name, call_id=caller.call_id)
        request = await digest(caller.path, body)
        first = await self._claim(caller, key, name, request, claim)
        if first is not None:
            await _answer_again(caller, *first)
            return
        caller.keep = claim.keep
        try:
            await carry_out()
        finally:
            claim.end(is_told=caller.started)

    async def _claim(
        self, caller: Caller, key: KeyRecord, name: bytes, request: bytes, claim: Claim
    ) -> tuple[str, bytes] | None:
        """Return None where the key is ours now, or the first call's id and its sealed answer."""
        values = [
            *(key.organization, key.id, name, request, caller.call_id, self._process()),
            *(key.id, name),
        ]
        rows: list[tuple[bool, bytes, str, str, bytes | None]] = []
        try:
            for _ in range(3):
                rows = rows or await self._jobs.ask(
                    _CLAIM, values, undo=lambda: claim.end(is_told=False)
                )
        except DatabaseAway:
            raise RepeatsAway from None
        if not rows:
            raise RepeatsAway  # Another call lets go of it again and again.
        is_ours, first_request, state, first_call, answer = rows[0]
        if is_ours:
            return None
        if bytes(first_request) != request:
            raise RepeatDiffers
        if state == "running":
            raise RepeatRunning(first_call)
        if answer is None:
            raise RepeatOver(first_call)
        return first_call, bytes(answer)


def read_name(caller: Caller) -> bytes:
    """Return the digest of the caller's Idempotency-Key. Raises BadRequest."""
    values = caller.header_values(IDEMPOTENCY_KEY)
    text = values[0].strip()
    if len(values) > 1 or not 0 < len(text) <= LONGEST_NAME:
        raise BadRequest(
            f"One Idempotency-Key of 1 to {LONGEST_NAME} characters can be given.",
            "Idempotency-Key",
        )
    return hashlib.sha256(text).digest()


async def digest(path: str, body: bytes) -> bytes:
    """Return the digest of what was asked: another body, or another endpoint, is another call."""
    text = path.encode() + b"\n" + body
    if len(text) <= LARGEST_ANSWER_BYTES:
        return hashlib.sha256(text).digest()
    return (await asyncio.to_thread(hashlib.sha256, text)).digest()


async def _answer_again(caller: Caller, first_call: str, sealed: bytes) -> None:
    body = await open_answer(first_call, sealed)
    if body is None:
        raise RepeatOver(first_call)
    headers = [
        (b"content-type", b"application/json"),
        (b"idempotent-replayed", b"true"),
        (b"original-request", first_call.encode()),
        *caller.identity(),
    ]
    await caller.respond(200, headers, body)


def forget_old_calls(connection: BaseDatabaseWrapper) -> int:
    """Delete what is older than a day, in small transactions; return how many rows."""
    forgotten: int = 0
    while True:
        with connection.cursor() as cursor:
            cursor.execute(_FORGET, [FORGOTTEN_AT_ONCE])
            forgotten += int(cursor.rowcount)
            if cursor.rowcount < FORGOTTEN_AT_ONCE:
                return forgotten
