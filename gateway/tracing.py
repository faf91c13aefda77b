"""Which call is this: its id for every log line, and OpenTelemetry's spans where they are wanted.

Spans are made when a call has ended, from figures that were kept anyway: a call and its attempts,
with ids, names, counts and times and nothing of what was said. Without
OTEL_EXPORTER_OTLP_ENDPOINT there is no Tracing, and the path asks for it once, by `is None`.
"""

from __future__ import annotations

import asyncio
import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gateway.calls import Call, Ended

CALL_ID: ContextVar[str] = ContextVar("call_id", default="")

FLUSH_SECONDS = 3.0
_FAILED = frozenset({"upstream_failed", "upstream_timeout", "unknown"})


class TracingUnavailable(Exception):
    """Spans are asked for, but the packages that make them are not installed."""


class Tracing:
    """Hands spans of finished calls to OpenTelemetry, which sends them from a thread of its own."""

    def __init__(self, provider: Any) -> None:
        """`provider` is a TracerProvider of opentelemetry.sdk."""
        self._provider = provider
        self._tracer = provider.get_tracer("tollgate")

    def note_call(self, call: Call) -> None:
        """Make the spans of a call that has ended: one for it, one for each of its attempts."""
        # Spans are dated by the wall clock; ours are monotonic.
        offset = time.time() - time.monotonic()
        outcome = call.ended[-1].event.outcome if call.ended else "not_sent"
        attributes = {
            "tollgate.call_id": call.id,
            "tollgate.organization": call.key.organization,
            "tollgate.key": call.key.public_id,
            "tollgate.endpoint": call.endpoint,
            "tollgate.outcome": str(outcome),
            "gen_ai.request.model": call.model.name,
        }
        span = self._tracer.start_span(
            "call", start_time=_nanoseconds(call.started + offset), attributes=attributes
        )
        for ended in call.ended:
            self._note_attempt(span, ended, offset)
        self._end(span, str(outcome), time.time())

    async def close(self) -> None:
        """Send what is left, for some seconds at most."""
        closing = asyncio.to_thread(self._provider.shutdown)
        await asyncio.wait([asyncio.ensure_future(closing)], timeout=FLUSH_SECONDS)

    def _note_attempt(self, parent: Any, ended: Ended, offset: float) -> None:
        from opentelemetry.trace import SpanKind, set_span_in_context

        event = ended.event
        attributes = {
            "tollgate.attempt_id": event.id,
            "tollgate.outcome": str(event.outcome),
            "tollgate.usage_source": str(event.usage_source),
            "tollgate.cost_ticks": event.cost_ticks,
            "gen_ai.system": event.provider,
            "gen_ai.response.model": event.upstream_model,
            "gen_ai.usage.input_tokens": event.amount_in("input_tokens"),
            "gen_ai.usage.output_tokens": event.amount_in("output_tokens"),
        }
        if event.http_status is not None:
            attributes["http.response.status_code"] = event.http_status
        span = self._tracer.start_span(
            "attempt",
            context=set_span_in_context(parent),
            kind=SpanKind.CLIENT,
            start_time=_nanoseconds(ended.sent_at + offset),
            attributes=attributes,
        )
        if ended.head_at:
            span.add_event("first byte", timestamp=_nanoseconds(ended.head_at + offset))
        self._end(span, str(event.outcome), ended.ended_at + offset)

    def _end(self, span: Any, outcome: str, at: float) -> None:
        if outcome in _FAILED:
            from opentelemetry.trace import Status, StatusCode

            span.set_status(Status(StatusCode.ERROR, outcome))
        span.end(_nanoseconds(at))


def open_tracing(endpoint: str) -> Tracing | None:
    """Return what sends spans to an OTLP endpoint over HTTP, or None where none is set.

    Raises TracingUnavailable when the optional packages are missing.
    """
    if not endpoint:
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise TracingUnavailable(
            "OTEL_EXPORTER_OTLP_ENDPOINT is set, but the packages of the extra 'otel' are not "
            f"installed: {error}."
        ) from None
    provider = TracerProvider(resource=Resource.create({"service.name": "tollgate"}))
    exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return Tracing(provider)


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)
