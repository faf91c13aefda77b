"""From the provider's answer to the caller's, and from its usage to the attempt's end.

Bytes of an answer in the caller's own protocol pass as they are. The attempt is settled, in the
spool, before the caller is given the bytes that end the answer; a caller that hangs up decides
nothing about what was used.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Sequence
from functools import partial

from multidict import istr

from billing.usage import Outcome, UsageSource
from gateway import errors
from gateway.beside import LARGE_BYTES, beside
from gateway.caller import Caller, Header
from gateway.calls import Attempt
from gateway.errors import UpstreamFailed
from gateway.passages import Translating
from gateway.protocols.conversation import Head, Untranslatable
from gateway.protocols.form import Answer, Metered
from gateway.sending import settle_broken
from gateway.upstream import UpstreamAnswer, UpstreamError, UpstreamTimeout

log = logging.getLogger(__name__)

MAX_ANSWER_BYTES = 64 * 2**20
SEEN_SECONDS = 2.0

# How long, and how many at once, answers are read on whose callers have left; how long for those
# of which only the usage is still to come; how long a provider may take to end an answer.
DRAIN_SECONDS = 120.0
MAX_DRAINING = 200
USAGE_SECONDS = 5.0
LEAVE_SECONDS = 1.0

_EVENTS = (b"content-type", b"text/event-stream; charset=utf-8")
# What of a provider's headers a caller may see.
_TOOK, _VERSION = istr("openai-processing-ms"), istr("openai-version")


def relay(caller: Caller, attempt: Attempt, answer: UpstreamAnswer) -> Awaitable[None]:
    """Hand the answer to the caller and settle. Raises GatewayError for one that is none."""
    if attempt.call.request.stream:
        return Stream(caller, attempt, answer).relay()
    return _relay_whole(caller, attempt, answer)


async def _relay_whole(caller: Caller, attempt: Attempt, answer: UpstreamAnswer) -> None:
    """Read the answer to its end whether or not the caller is still there, settle, hand it on."""
    try:
        body = answer.take_rest(MAX_ANSWER_BYTES)
        if body is None:
            body = await answer.read(MAX_ANSWER_BYTES)
    except UpstreamError as error:
        raise settle_broken(attempt, error) from None
    passage = attempt.offer.way.passage
    read = passage.read_answer(body)
    if not read.is_answer:
        raise _settle_nonsense(attempt)
    if read.metered.fault is not None:
        report_fault(attempt, read.metered.fault)
    told = body
    if isinstance(passage, Translating):
        told = await _tell(passage, body, read, attempt)
    attempt.finish(Outcome.ANSWERED, metered=read.metered, upstream_id=read.upstream_id)
    if caller.keep is not None:
        await caller.keep(told)
    more = _find_more_headers(attempt, answer)
    if not caller.respond_when(attempt.when_recorded, more, told):
        attempt.record()
        await caller.respond_json(told, more)


async def _tell(passage: Translating, body: bytes, read: Answer, attempt: Attempt) -> bytes:
    """Return the answer in the caller's dialect."""
    tell = partial(passage.tell, body, read, write_head(attempt), attempt.offer.names)
    try:
        return tell() if len(body) < LARGE_BYTES else await beside(tell)
    except Untranslatable as error:
        raise _settle_nonsense(attempt, read, str(error)) from None


def write_head(attempt: Attempt) -> Head:
    """Return what an answer bears that is told in another dialect."""
    call = attempt.call
    return Head(call_id=call.id, model=call.model.name, created=int(call.at), request=call.request)


def _settle_nonsense(
    attempt: Attempt, read: Answer | None = None, why: str = ""
) -> errors.UpstreamError:
    """Settle a 200 that the caller cannot be told: at what it used, if it said that much."""
    provider = attempt.offer.route.provider
    log.warning("call %s: %s answered nonsense: %s", attempt.call.id, provider, why or "no answer")
    if read is None:
        attempt.finish(Outcome.UPSTREAM_FAILED)
    else:
        attempt.finish(Outcome.UPSTREAM_FAILED, metered=read.metered, upstream_id=read.upstream_id)
    return UpstreamFailed()


def report_fault(attempt: Attempt, fault: str) -> None:
    """Alert the operator to an answer whose usage is missing or makes no sense."""
    log.error(
        "call %s: the usage that %s reported cannot be used (%s); captured at its hold",
        attempt.call.id,
        attempt.offer.route.provider,
        fault,
    )


class Stream:
    """One streamed answer on its way through. The caller's answer begins with its first bytes, so
    that nonsense and silence can still be told by a status."""

    draining = 0  # Streams of this process that are read on without a caller.

    def __init__(self, caller: Caller, attempt: Attempt, answer: UpstreamAnswer) -> None:
        request, offer = attempt.call.request, attempt.offer
        route = offer.route
        self._caller = caller
        self._attempt = attempt
        self._answer = answer
        self._ending: asyncio.TimerHandle | None = None
        self._stream = offer.way.passage.open_stream(
            write_head(attempt),
            offer.names,
            wants_usage=request.wants_usage,
            answers=request.answers,
            upstream_model=route.upstream_model,
            model=attempt.call.model.name,
            credential=route.credential.reveal(),
        )

    async def relay(self) -> None:
        """Hand on what arrives until the end; then settle, then hand on the end."""
        self._caller.when_gone(self._note_gone)
        try:
            await self._pass_on()
        except UpstreamError as error:
            self._break_off(error)
        except BaseException:
            self._answer.abort()
            raise
        finally:
            self._caller.stop_watching()
            self._stop_draining()
        self._settle()
        self._attempt.record()
        await self._tell_end()
        await self._leave()

    async def _pass_on(self) -> None:
        stream = self._stream
        next_note = time.monotonic() + SEEN_SECONDS
        async for data in self._answer:
            await self._hand_on(stream.feed(data))
            if stream.ended:
                return
            if stream.upstream_id and time.monotonic() >= next_note:
                next_note = math.inf
                self._attempt.see(stream.upstream_id)
        stream.close()

    async def _hand_on(self, passed: bytes, *, more: bool = True) -> None:
        """Give bytes to the caller, if it is still there."""
        if self._caller.is_gone or not passed:
            return
        if not self._caller.started:
            beside = _find_more_headers(self._attempt, self._answer)
            await self._caller.start(200, [_EVENTS, *self._caller.identity(), *beside])
        await self._caller.write(passed, more=more)

    async def _tell_end(self) -> None:
        """Hand on the end. Raises the error of a stream of which the caller has seen nothing."""
        error = self._stream.error
        if error is not None and not self._caller.started and not self._caller.is_gone:
            await self._answer.release()
            raise error
        await self._hand_on(self._stream.ending, more=False)

    async def _leave(self) -> None:
        """Let the provider end its answer, so that the connection can be used again."""
        timer = asyncio.get_running_loop().call_later(LEAVE_SECONDS, self._answer.abort)
        try:
            async for _ in self._answer:
                break  # It says more than its end: this connection is not to be trusted.
        except UpstreamError:
            return
        finally:
            timer.cancel()
        await self._answer.release()

    def _note_gone(self) -> None:
        """The caller hung up: end the provider's answer now, or when its usage should have come.

        An answer that has finished is followed by its usage at once, and many callers do not wait
        for that. One that is under way is read on only for organizations that drain.
        """
        drains = self._attempt.call.key.hang_up == "drain" and Stream.draining < MAX_DRAINING
        if not drains and not self._stream.has_finished:
            self._answer.abort()
            return
        Stream.draining += 1
        seconds = DRAIN_SECONDS if drains else USAGE_SECONDS
        self._ending = asyncio.get_running_loop().call_later(seconds, self._answer.abort)

    def _stop_draining(self) -> None:
        if self._ending is not None:
            self._ending.cancel()
            self._ending = None
            Stream.draining -= 1

    def _break_off(self, error: UpstreamError) -> None:
        """The provider's stream broke, or was closed because the caller is gone."""
        if not self._caller.is_gone:
            attempt = self._attempt
            log.warning("call %s at %s: %s", attempt.call.id, attempt.offer.route.provider, error)
        told = errors.UpstreamTimeout() if isinstance(error, UpstreamTimeout) else UpstreamFailed()
        self._stream.close(told)

    def _settle(self) -> None:
        stream, attempt = self._stream, self._attempt
        metered: Metered = stream.metered
        outcome = self._outcome()
        is_broken = outcome in {Outcome.CLIENT_CANCELLED, Outcome.ANSWERED_PARTIAL}
        if is_broken and metered.usage is None:
            attempt.finish_seen(
                outcome,
                output_bytes=stream.output_bytes,
                has_reasoned=stream.has_reasoned,
                input_usage=stream.input_usage,
                upstream_id=stream.upstream_id,
            )
            return
        if stream.is_complete and metered.fault is not None:
            report_fault(attempt, metered.fault)
        source = UsageSource.REPORTED if stream.is_complete else UsageSource.PARTIAL
        attempt.finish(outcome, metered=metered, source=source, upstream_id=stream.upstream_id)

    def _outcome(self) -> Outcome:
        """Say how it ended. A stream of which nothing could be read is no partial answer."""
        stream = self._stream
        if stream.is_complete:
            return Outcome.ANSWERED
        if self._caller.is_gone:
            return Outcome.CLIENT_CANCELLED
        if stream.error is None or stream.upstream_id or stream.output_bytes:
            return Outcome.ANSWERED_PARTIAL
        return stream.error.outcome


def _find_more_headers(attempt: Attempt, answer: UpstreamAnswer) -> Sequence[Header]:
    """Return what is said of the model, and what of the provider's headers a caller may see."""
    more, headers = attempt.call.lane.notices, answer.headers
    if _TOOK in headers or _VERSION in headers:
        found = [(name, headers.get(name)) for name in (_TOOK, _VERSION)]
        return [*more, *((name.encode(), _write(value)) for name, value in found if value)]
    return more


def _write(value: str) -> bytes:
    return value.encode("utf-8", "surrogateescape")
