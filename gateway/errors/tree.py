"""Every refusal and failure that a caller can meet, as one tree. Pure: no Django, no HTTP client.

    GatewayError            status, stable code, public message
      BadRequest            400  a field of the request cannot be accepted
        UnboundedFeature    400  a part of it has no declared bound, under a strict quota
        HoldExceedsLimit    400  it could cost more than the whole quota
      NotAuthenticated      401  no key, or one that may not call
      PermissionDenied      403  a good key that may not do this
      ModelNotFound         404
      UnknownEndpoint       404
        EndpointNotOffered  404  one that vendors have, and that cannot be metered yet
      EndpointUnsupported   404  no provider of this model has it
      MethodNotAllowed      405
      RequestTimeout        408  the request's body came too slowly
      RepeatRunning, RepeatOver, RepeatDiffers   409, 409, 422  see repeats.py
      TooLarge              413
      EncodedBody           415  the request's body is compressed
      TooManyWrongKeys      429  a wrong key, after many from the same network address
      QuotaRefused          429  a budget is spent: waiting does not help soon
        RateLimited         429  too much for this minute: waiting helps
      Unavailable           503  this gateway cannot take the call now (unavailable.py)
        NotFresh, SpoolFull, ShuttingDown, LedgerAway, NoRoute, PriceUnknown, RouteSuspended,
        TooManyPages
      UpstreamError         the provider's fault (upstream.py)
        UpstreamRefused, UpstreamFailed, UpstreamUnreachable, UpstreamTimeout

What only management keys meet is in lookups.py.
A message holds nothing of a key, of a credential or of the operator's account. What only the
operator may read stands in `detail`, which is never rendered.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime

from gateway.errors.quota import QuotaExplanation, explain, explain_hold


class GatewayError(Exception):
    """`should_retry` tells the vendors' clients what to do: they obey `x-should-retry`."""

    status = 500
    code = "internal_error"
    should_retry: bool | None = None
    # Support needs the call's id most where the caller cannot fix it alone.
    names_call = False
    # What Anthropic's callers are told in place of `status`, where they know another one.
    anthropic_status: int | None = None
    # OpenAI's `error.type`, where the status does not decide it.
    openai_type: str | None = None

    def __init__(
        self,
        message: str = "The gateway made a mistake.",
        *,
        field: str | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.retry_after_seconds = retry_after_seconds
        self.allow: tuple[str, ...] = ()
        self.explanation: QuotaExplanation | None = None


class BadRequest(GatewayError):
    """`field` names what has to be changed, as a path: `messages[2].role`."""

    status = 400
    code = "invalid_value"

    def __init__(self, message: str, field: str | None = None, code: str | None = None) -> None:
        super().__init__(message, field=field)
        if code is not None:
            self.code = code


class UnboundedFeature(BadRequest):
    """Under a strict quota nothing is forwarded whose cost has no known upper bound."""

    code = "unbounded_feature"

    def __init__(self, field: str, what: str) -> None:
        super().__init__(
            f"A quota of this key holds the most that a call can cost, and '{field}' ({what}) has "
            "no upper bound declared for this model. Leave it out, or ask the operator to declare "
            "one.",
            field,
        )


class HoldExceedsLimit(BadRequest):
    """The most that the call can cost is more than the whole quota allows.

    `largest_cap` is the largest output cap that would fit, None where not even the shortest
    answer would.
    """

    code = "hold_exceeds_limit"
    names_call = True

    def __init__(
        self, explanation: QuotaExplanation, *, cap_field: str, largest_cap: int | None
    ) -> None:
        super().__init__(explain_hold(explanation, cap_field, largest_cap), cap_field)
        self.explanation = explanation
        self.largest_cap = largest_cap


class NotAuthenticated(GatewayError):
    status = 401
    code = "invalid_api_key"


class PermissionDenied(GatewayError):
    status = 403
    code = "permission_denied"

    def __init__(self, message: str, code: str | None = None) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code


class ModelNotFound(GatewayError):
    """Also a model that the key may not use: that looks like one that does not exist."""

    status = 404
    code = "model_not_found"

    def __init__(self, model: str) -> None:
        super().__init__(
            f"The model '{model[:200]}' does not exist or you do not have access to it.",
            field="model",
        )


class ModelRetired(ModelNotFound):
    """A model whose last day is over, and nothing answers in its place."""

    def __init__(self, model: str, retired_at: float) -> None:
        super().__init__(model)
        day = datetime.fromtimestamp(retired_at, UTC)
        self.message = f"The model '{model[:200]}' was retired on {day:%Y-%m-%d}."


class UnknownEndpoint(GatewayError):
    status = 404
    code = "unknown_url"

    def __init__(self, method: str, path: str) -> None:
        super().__init__(f"Unknown request URL: {method[:20]} {path[:200]}.")


class EndpointNotOffered(UnknownEndpoint):
    """An endpoint of a vendor's API: nothing is passed on that cannot be metered."""

    code = "endpoint_not_offered"

    def __init__(self, method: str, path: str, what: str) -> None:
        super().__init__(method, path)
        self.message = f"{what} are not offered here, because they cannot be metered yet."


class EndpointUnsupported(GatewayError):
    """The model exists, but not at this endpoint: waiting does not help, another endpoint does."""

    status = 404
    code = "endpoint_unsupported"

    def __init__(self, model: str, endpoint: str) -> None:
        super().__init__(
            f"The model '{model[:200]}' cannot be called for {endpoint}.", field="model"
        )


class MethodNotAllowed(GatewayError):
    status = 405
    code = "method_not_allowed"

    def __init__(self, allow: tuple[str, ...]) -> None:
        super().__init__(f"This URL takes {', '.join(allow)} only.")
        self.allow = allow


class RequestTimeout(GatewayError):
    status = 408
    code = "request_timeout"

    def __init__(self) -> None:
        super().__init__("The request did not arrive whole in time.")


class TooLarge(GatewayError):
    status = 413
    code = "request_too_large"

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"The request body is larger than {limit_bytes} bytes.")


class EncodedBody(GatewayError):
    """Nothing is inflated here: a few bytes could become a disk full of them."""

    status = 415
    code = "unsupported_content_encoding"

    def __init__(self) -> None:
        super().__init__("Send the request body as it is, without content-encoding.")


class TooManyWrongKeys(GatewayError):
    """Said in place of 401 where too many wrong keys came from a network address."""

    status = 429
    code = "too_many_wrong_keys"
    should_retry = False
    openai_type = "requests"

    def __init__(self, retry_after_seconds: float) -> None:
        super().__init__(
            "This API key is wrong, and too many wrong ones came from your network address.",
            retry_after_seconds=retry_after_seconds,
        )


class QuotaRefused(GatewayError):
    """A budget has no room left. The clients' own retries would only repeat the refusal."""

    status = 429
    code = "insufficient_quota"
    openai_type: str | None = "insufficient_quota"
    should_retry: bool | None = False
    names_call = True

    def __init__(
        self, explanation: QuotaExplanation, *, retry_after_seconds: float | None = None
    ) -> None:
        super().__init__(explain(explanation), retry_after_seconds=retry_after_seconds)
        self.explanation: QuotaExplanation = explanation


class RateLimited(QuotaRefused):
    """A window so short, or a number of calls at once, that waiting is the remedy."""

    code = "rate_limit_exceeded"
    should_retry = None

    def __init__(
        self, explanation: QuotaExplanation, *, retry_after_seconds: float | None = None
    ) -> None:
        super().__init__(explanation, retry_after_seconds=retry_after_seconds or 1.0)
        self.openai_type = "tokens" if explanation.unit.endswith("_tokens") else "requests"


# A key that is not good, or no longer, is 401; a good key in the wrong surroundings is 403.
_FORBIDDEN_REFUSALS = frozenset(
    {"organization_suspended", "project_archived", "address_not_allowed"}
)


def refuse_key(code: str, message: str) -> GatewayError:
    """Map what accounts.errors.KeyRefused says; `message` is one of its own sentences."""
    if code in _FORBIDDEN_REFUSALS:
        return PermissionDenied(message, code)
    return NotAuthenticated(message)


def refuse_for_quota(explanation: QuotaExplanation, *, now: float) -> QuotaRefused:
    """Choose between a spent budget and a rate; `now` is unix seconds.

    Minutes and calls at once heal by waiting, so they carry retry-after. Longer windows do not
    within any client's patience: there a retry would only repeat the refusal.
    """
    resets_at = explanation.resets_at
    wait_seconds = None if resets_at is None else max(1, math.ceil(resets_at - now))
    if explanation.window in {"minute", "none"}:
        return RateLimited(explanation, retry_after_seconds=wait_seconds)
    return QuotaRefused(explanation, retry_after_seconds=wait_seconds)
