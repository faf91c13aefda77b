"""What a gateway says when it cannot take a call now. Pure."""

from __future__ import annotations

from gateway.errors.tree import GatewayError


class Unavailable(GatewayError):
    """Nothing is wrong with the request; a retry a little later may well pass."""

    status = 503
    code = "unavailable"
    names_call = True
    sentence = "The gateway cannot take calls now."

    def __init__(self, *, retry_after_seconds: float = 1.0) -> None:
        super().__init__(self.sentence, retry_after_seconds=retry_after_seconds)


class NotFresh(Unavailable):
    code = "not_fresh"
    sentence = "The gateway cannot check keys and quotas now. Try again shortly."


class SpoolFull(Unavailable):
    code = "spool_full"
    sentence = "The gateway cannot record new calls now. Try again shortly."


class ShuttingDown(Unavailable):
    code = "shutting_down"
    sentence = "This gateway process is shutting down. Try again."


class LedgerAway(Unavailable):
    code = "ledger_away"
    sentence = "The gateway cannot draw on the quotas of this key now. Try again shortly."


class NoRoute(Unavailable):
    code = "no_route"
    sentence = "No provider of this model is available now. Try again shortly."


class PriceUnknown(Unavailable):
    """A cost quota cannot be held to without a price, and retries do not bring one."""

    code = "price_unknown"
    should_retry = False
    sentence = "This model has no price yet, so a cost quota cannot be kept. Ask the operator."


class RouteSuspended(Unavailable):
    """Every route of the model has cost more than its bound, and nobody has acknowledged it."""

    code = "route_suspended"
    should_retry = False
    sentence = (
        "A call of this model cost more than was thought possible, so a strict quota cannot be "
        "kept until the operator has looked at it. Ask the operator."
    )


class TooManyPages(Unavailable):
    """Pages wait for their turn, up to a number; calls do not wait with them."""

    code = "too_many_pages"
    sentence = "Too many pages are asked for at once. Try again shortly."
