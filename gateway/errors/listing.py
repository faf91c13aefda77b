"""Every code that an error of the gateway can carry, with its status. Pure.

Most codes are their class's own. Some errors are told apart within a class, where they are raised:
those stand in SAID, and tests/gateway/test_errors.py finds a new one that is missing here. The
server's own errors are in the list once the server is imported, as wherever anything is served.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from gateway.errors.tree import GatewayError


class Kind(NamedTuple):
    status: int
    code: str


SAID: dict[int, tuple[str, ...]] = {
    400: (
        "invalid_json",
        "missing_required_parameter",
        "duplicate_field",
        "number_out_of_range",
        "too_many_elements",
        "unsupported_for_model",
        "state_not_kept",
    ),
    403: ("organization_suspended", "project_archived", "address_not_allowed", "read_only_key"),
    404: ("not_found",),
}


def list_kinds() -> list[Kind]:
    """Return every kind of error, by status. Beside them a provider's own code may be passed on
    with 400, 404, 409, 413, 422 and 429."""
    of_classes = {Kind(kind.status, kind.code) for kind in _walk(GatewayError)}
    said = {Kind(status, code) for status, codes in SAID.items() for code in codes}
    return sorted(of_classes | said)


def _walk(kind: type[GatewayError]) -> Iterator[type[GatewayError]]:
    yield kind
    for each in kind.__subclasses__():
        yield from _walk(each)
