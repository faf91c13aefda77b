"""What a management key can meet below /v1/organization, besides the errors of the tree. Pure.

NotFound    404
Conflict    409  it contradicts what is there already
OfficeBusy  503
"""

from __future__ import annotations

from gateway.errors.tree import GatewayError
from gateway.errors.unavailable import Unavailable


class NotFound(GatewayError):
    """Also what may not be seen: that looks like what does not exist."""

    status = 404
    code = "not_found"

    def __init__(self, what: str, name: str) -> None:
        super().__init__(f"There is no {what} '{name[:100]}'.")


class Conflict(GatewayError):
    """`code` says what it contradicts."""

    status = 409
    code = "conflict"

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


class OfficeBusy(Unavailable):
    """What is read from the database for management keys waits its turn, up to a number."""

    code = "office_busy"
    sentence = "Too much is being looked up at once, or the database is slow. Try again shortly."
