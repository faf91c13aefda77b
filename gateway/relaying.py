"""From the provider's answer to the caller's, and from its usage to the attempt's end.

Bytes of an answer in the caller's own protocol pass as they are. The attempt is settled, in the
spool, before the caller is given the bytes that end the answer; a caller that hangs up decides
nothing about what was used.
"""

from __future__ import annotations

import logging
import time
from typing import Any

from billing.usage import Outcome, Usage, UsageSource
from gateway import errors
from gateway.caller import Caller, Headers
from gateway.calls import Attempt
from gateway.dialects import Dialect
from gateway.errors import UpstreamFailed
from gateway.protocols.form import Metered
from gateway.upstream import UpstreamAnswer, UpstreamError, UpstreamTimeout

log = logging.getLogger(__name__)

MAX_ANSWER_BYTES = 64 * 2**20
MAX_REFUSAL_BYTES = 64 * 2**10
SEEN_SECONDS = 2.0
DRAIN_SECONDS = 120.0

# A proxy in front of the model answered, or the model was too slow: it may have worked and billed.
MAYBE_BILLED = frozenset({408, 502, 504, *range(520, 531)})

# What of a provider's headers a caller may see.
_PASSED = ("openai-processing-ms", "openai-version")


async def relay(caller: Caller, attempt: Attempt, answer: UpstreamAnswer, dialect: Dialect) -> None:
    """Hand the answer to the caller and settle. Raises GatewayError for a refusal upstream."""
    if answer.status >= 300:
        await _refuse(attempt, answer)
    elif attempt.call.request.stream:
        await Stream(caller, attempt, answer, dialect).relay()
    else:
        await _relay_whole(caller, attempt, answer, dialect)


async def _refuse(attempt: Attempt, answer: UpstreamAnswer) -> None:
    """Settle what the provider refused, and raise it in the caller's words."""
    try:
        body = await answer.read(MAX_REFUSAL_BYTES)
    except UpstreamError:
        body = b""
    route = attempt.offer.route
    error = errors.read_refusal(
        answer.status,
        body,
        answer.headers,
        upstream_model=route.upstream_model,
        model=attempt.call.model.name,
        credential=route.credential.reveal(),
        now=time.time(),
    )
    if answer.status in MAYBE_BILLED:
        attempt.finish(error.outcome)
    else:
        attempt.finish_unbilled(error.outcome)
    log.warning(
        "call %s: %s answered %s: %s", attempt.call.id, route.provider, answer.status, error.detail
    )
    raise error


async def _relay_whole(
    caller: Caller, attempt: Attempt, answer: UpstreamAnswer, dialect: Dialect
) -> None:
    """Read the answer to its end whether or not the caller is still there, settle, hand it on."""
    try:
        body = await answer.read(MAX_ANSWER_BYTES)
    except UpstreamError as error:
        raise settle_broken(attempt, error) from None
    read = dialect.read_answer(body)
    if not read.is_answer:
        attempt.finish(Outcome.UPSTREAM_FAILED)
        log.warning("call %s: %s answered nonsense", attempt.call.id, attempt.offer.route.provider)
        raise UpstreamFailed
    report_fault(attempt, read.metered)
    attempt.finish(Outcome.ANSWERED, metered=read.metered, upstream_id=read.upstream_id)
    await caller.respond(200, _headers(caller, answer, b"application/json"), body)


def settle_broken(attempt: Attempt, error: UpstreamError) -> errors.UpstreamError:
    """Settle an answer that broke off before the caller saw any of it: at its hold."""
    log.warning("call %s at %s: %s", attempt.call.id, attempt.offer.route.provider, error)
    if isinstance(error, UpstreamTimeout):
        attempt.finish(Outcome.UPSTREAM_TIMEOUT)
        return errors.UpstreamTimeout()
    attempt.finish(Outcome.UPSTREAM_FAILED)
    return UpstreamFailed()


def report_fault(attempt: Attempt, metered: Metered) -> None:
    """Alert the operator to an answer whose usage is missing or makes no sense."""
    if metered.fault is not None:
        log.error(
            "call %s: the usage that %s reported cannot be used (%s); captured at its hold",
            attempt.call.id,
            attempt.offer.route.provider,
            metered.fault,
        )


class Stream:
    """One streamed answer on its way through."""

    def __init__(
        self, caller: Caller, attempt: Attempt, answer: UpstreamAnswer, dialect: Dialect
    ) -> None:
        request, route = attempt.call.request, attempt.offer.route
        self._caller = caller
        self._attempt = attempt
        self._answer = answer
        self._is_gone = False
        self._drains_until = 0.0
        self._stream = dialect.open_stream(
            call_id=caller.call_id,
            wants_usage=request.wants_usage,
            answers=request.answers,
            upstream_model=route.upstream_model,
            model=attempt.call.model.name,
            credential=route.credential.reveal(),
        )

    async def relay(self) -> None:
        """Hand on what arrives until the end; then settle, then hand on the end."""
        await self._caller.start(
            200, _headers(self._caller, self._answer, b"text/event-stream; charset=utf-8")
        )
        self._caller.when_gone(self._note_gone)
        try:
            await self._pass_on()
        except UpstreamError as error:
            self._break_off(error)
        finally:
            self._caller.stop_watching()
        self._settle()
        await self._answer.release()
        if not self._is_gone:
            await self._caller.write(self._stream.ending, more=False)

    async def _pass_on(self) -> None:
        stream, caller = self._stream, self._caller
        next_note = time.monotonic() + SEEN_SECONDS
        async for data in self._answer:
            passed = stream.feed(data)
            if stream.ended:
                await self._flush(passed)
                return
            if passed and not self._is_gone:
                await caller.write(passed, more=True)
            now = time.monotonic()
            if now >= next_note:
                next_note = now + SEEN_SECONDS
                self._attempt.see(stream.metered)
                if self._is_gone and now > self._drains_until:
                    self._answer.abort()
        stream.close()
        await self._flush(b"")

    async def _flush(self, passed: bytes) -> None:
        if passed and not self._is_gone:
            await self._caller.write(passed, more=True)

    def _note_gone(self) -> None:
        """The caller hung up: read on to the usage if its organization wants that, else stop."""
        self._is_gone = True
        if self._attempt.call.key.hang_up == "drain":
            self._drains_until = time.monotonic() + DRAIN_SECONDS
        else:
            self._answer.abort()

    def _break_off(self, error: UpstreamError) -> None:
        """The provider's stream broke, or was closed because the caller is gone."""
        if not self._is_gone:
            log.warning(
                "call %s at %s: %s",
                self._attempt.call.id,
                self._attempt.offer.route.provider,
                error,
            )
        told = errors.UpstreamTimeout() if isinstance(error, UpstreamTimeout) else UpstreamFailed()
        self._stream.close(told)

    def _settle(self) -> None:
        stream, attempt = self._stream, self._attempt
        outcome = self._outcome()
        metered: Metered = stream.metered
        source = UsageSource.REPORTED if outcome is Outcome.ANSWERED else UsageSource.PARTIAL
        if metered.usage is None:
            metered, source = self._estimate(metered), UsageSource.ESTIMATED
        attempt.finish(outcome, metered=metered, source=source, upstream_id=stream.upstream_id)

    def _outcome(self) -> Outcome:
        if self._stream.is_complete:
            return Outcome.ANSWERED
        return Outcome.CLIENT_CANCELLED if self._is_gone else Outcome.ANSWERED_PARTIAL

    def _estimate(self, metered: Metered) -> Metered:
        """Bound what was used by what was seen: the whole input, and a token for each byte of
        output. Where output may have been hidden nothing bounds it but the hold."""
        stream, attempt = self._stream, self._attempt
        if stream.is_complete:
            report_fault(attempt, metered)
            return metered
        bound = attempt.offer.bound
        if self._may_hide_output():
            return metered
        output = min(stream.output_bytes, bound.output_tokens)
        usage = Usage(uncached_input=bound.input_tokens, output=output)
        return Metered(usage=usage, fault=None)

    def _may_hide_output(self) -> bool:
        """Say whether the provider may have reasoned without showing it."""
        attempt = self._attempt
        return (
            self._stream.has_reasoned
            or attempt.call.request.asks_reasoning
            or not attempt.offer.route.cap_bounds_reasoning
        )


def _headers(caller: Caller, answer: UpstreamAnswer, content_type: bytes) -> Headers:
    headers: Headers = [(b"content-type", content_type), *caller.identity()]
    upstream: Any = answer.headers
    for name in _PASSED:
        value = upstream.get(name)
        if value is not None:
            headers.append((name.encode(), value.encode("latin-1")))
    return headers
