"""The only socket to a provider.

`exchange` is what the forwarder uses, `answer` one request on its way and back, `target` writes
heads, `transport` puts them on connections, `addresses` says where calls may go, `errors` what can
go wrong. Nothing here knows of keys, models or money.
"""

from gateway.upstream.addresses import check_base_url
from gateway.upstream.answer import Timeouts, UpstreamAnswer
from gateway.upstream.errors import (
    TimeoutKind,
    UpstreamAborted,
    UpstreamConnectError,
    UpstreamError,
    UpstreamForbidden,
    UpstreamProtocolError,
    UpstreamReadError,
    UpstreamTimeout,
    UpstreamTooLarge,
    UpstreamWithheld,
)
from gateway.upstream.exchange import Upstream
from gateway.upstream.target import Target

__all__ = [
    "Target",
    "TimeoutKind",
    "Timeouts",
    "Upstream",
    "UpstreamAborted",
    "UpstreamAnswer",
    "UpstreamConnectError",
    "UpstreamError",
    "UpstreamForbidden",
    "UpstreamProtocolError",
    "UpstreamReadError",
    "UpstreamTimeout",
    "UpstreamTooLarge",
    "UpstreamWithheld",
    "check_base_url",
]
