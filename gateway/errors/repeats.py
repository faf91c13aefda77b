"""What a call with an Idempotency-Key can meet that others cannot: the tree's branch of repeats."""

from __future__ import annotations

from gateway.errors.tree import GatewayError
from gateway.errors.unavailable import Unavailable


class RepeatDiffers(GatewayError):
    """The same Idempotency-Key came with another request before."""

    status = 422
    code = "idempotency_key_reused"

    def __init__(self) -> None:
        super().__init__(
            "This Idempotency-Key came with another request before. Each call needs one of its "
            "own; a repeat has to be the same to the byte.",
            field="Idempotency-Key",
        )


class RepeatRunning(GatewayError):
    """The first call is under way. A little later its answer is there."""

    status = 409
    code = "idempotency_call_running"

    def __init__(self, first_call: str) -> None:
        super().__init__(
            f"The call with this Idempotency-Key is still running, as call {first_call}.",
            field="Idempotency-Key",
            retry_after_seconds=1.0,
        )


class RepeatOver(GatewayError):
    """The first call is over and was charged, and its answer cannot be given again."""

    status = 409
    code = "idempotency_answer_not_kept"
    should_retry = False

    def __init__(self, first_call: str) -> None:
        super().__init__(
            f"The call with this Idempotency-Key is over, as call {first_call}, and its answer is "
            "not kept: it was streamed, or larger than 1 MiB, or was lost. Use another "
            "Idempotency-Key to call again.",
            field="Idempotency-Key",
        )


class RepeatsAway(Unavailable):
    """Whether a call is a repeat cannot be known, so it is not made."""

    code = "idempotency_away"
    sentence = "The gateway cannot look up Idempotency-Keys now. Try again shortly."
