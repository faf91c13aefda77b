"""What a caller is told where the provider is at fault; `outcome` is what the event says. Pure."""

from __future__ import annotations

from billing.usage import Outcome
from gateway.errors.tree import GatewayError


class UpstreamError(GatewayError):
    """`upstream_status` and `detail` are for the operator's log; `detail` is bounded text."""

    status = 502
    code = "upstream_error"
    names_call = True
    outcome = Outcome.UPSTREAM_FAILED
    sentence = "The model provider could not answer this call."

    def __init__(
        self,
        message: str | None = None,
        *,
        status: int | None = None,
        code: str | None = None,
        field: str | None = None,
        retry_after_seconds: float | None = None,
        should_retry: bool | None = None,
        upstream_status: int | None = None,
        detail: str = "",
    ) -> None:
        super().__init__(
            message or self.sentence, field=field, retry_after_seconds=retry_after_seconds
        )
        self.status = status or self.status
        self.code = code or self.code
        self.should_retry = should_retry
        self.upstream_status = upstream_status
        self.detail = detail


class UpstreamRefused(UpstreamError):
    """The provider answered 4xx: nothing was billed."""

    outcome = Outcome.UPSTREAM_REFUSED
    sentence = "The model provider did not accept this call."


class UpstreamFailed(UpstreamError):
    """The provider answered 5xx or nonsense, or dropped the connection."""


class UpstreamUnreachable(UpstreamFailed):
    """No connection was made, so no byte of the request left."""

    sentence = "The model provider cannot be reached now."


class UpstreamTimeout(UpstreamError):
    status = 504
    code = "upstream_timeout"
    outcome = Outcome.UPSTREAM_TIMEOUT
    sentence = "The model provider did not answer in time."
