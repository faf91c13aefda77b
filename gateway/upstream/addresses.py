"""Where calls may go: public addresses, and the networks that the operator allows.

Pure but for the resolver at the end, which keeps only permitted addresses of a name. A connection
is made to an address that passed `is_permitted`, never to a name that is resolved once more. The
tables follow IANA's registries of special-purpose addresses.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable
from urllib.parse import SplitResult, urlsplit

import aiohttp
from aiohttp.abc import ResolveResult

from gateway.upstream.errors import UpstreamForbidden

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_SPECIAL_V4 = tuple(
    ipaddress.IPv4Network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",  # Carrier-grade NAT.
        "127.0.0.0/8",
        "169.254.0.0/16",  # Link-local, among them the clouds' metadata services.
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",  # Multicast.
        "240.0.0.0/4",  # Reserved, and broadcast.
    )
)
# Outside 2000::/3 lie loopback, mapped IPv4, NAT64, unique local, link-local and multicast.
_GLOBAL_V6 = ipaddress.IPv6Network("2000::/3")
_SPECIAL_V6 = tuple(
    ipaddress.IPv6Network(network)
    for network in (
        "2001::/23",  # Protocol assignments, among them Teredo, which embeds IPv4.
        "2001:db8::/32",
        "2002::/16",  # 6to4 embeds IPv4.
        "2620:4f:8000::/48",
        "3fff::/20",
    )
)
_HOST = re.compile(r"[a-z0-9._-]+")
_NUMERIC_HOST = re.compile(r"(0x[0-9a-f]*|[0-9]+)(\.(0x[0-9a-f]*|[0-9]+))*\.?", re.IGNORECASE)


def check_base_url(url: str, allowed_networks: Iterable[Network]) -> None:
    """Raise ValueError, naming what is wrong, unless calls may be sent under this URL.

    Looks nothing up: what a name resolves to is judged again at every connection.
    """
    allowed = tuple(allowed_networks)
    host = _check_parts(url)
    literal = read_literal(host)
    if literal is None:
        local = host.rstrip(".").lower()
        if local == "localhost" or local.endswith(".localhost"):
            literal = ipaddress.ip_address("127.0.0.1")
        else:
            return
    if not is_permitted(literal, allowed):
        raise ValueError(
            f"base_url {url!r}: {literal} is not a public address; "
            "add its network to UPSTREAM_ALLOWED_NETWORKS if calls may go there."
        )


def _check_parts(url: str) -> str:
    """Check everything but the address, and return the host."""
    if not url.isascii() or re.search(r"[\x00-\x20\x7f\\]", url):
        raise ValueError(
            f"base_url {url!r} holds a space, backslash, control or non-ASCII character."
        )
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"}:
        raise ValueError(f"base_url {url!r} must begin with http:// or https://.")
    if parts.username is not None or parts.password is not None:
        raise ValueError("base_url must not hold a user name or password.")
    if parts.query or parts.fragment or url.endswith(("?", "#")):
        raise ValueError(f"base_url {url!r} must end at its path, without ? or #.")
    _check_port(parts, url)
    host = parts.hostname
    if not host:
        raise ValueError(f"base_url {url!r} names no host.")
    if ":" not in host and not _HOST.fullmatch(host):
        # Such as %31: libraries disagree about whether that is an address, and which.
        raise ValueError(f"base_url {url!r}: a host is letters, digits, dots, '-' and '_'.")
    return host


def _check_port(parts: SplitResult, url: str) -> None:
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        raise ValueError(f"base_url {url!r}: the port must be between 1 and 65535.")


def read_literal(host: str) -> Address | None:
    """Read an address in any spelling that a resolver would take; None for a name.

    Raises ValueError for numeric IPv4 that is not the plain four numbers, because libraries
    disagree about what 0177.1 or 2130706433 means.
    """
    if ":" in host:
        return ipaddress.ip_address(host.partition("%")[0])
    if not _NUMERIC_HOST.fullmatch(host):
        return None
    try:
        return ipaddress.IPv4Address(host)
    except ValueError:
        raise ValueError(
            f"host {host!r} is an address in an unusual spelling; write it as four numbers."
        ) from None


def is_permitted(address: Address, allowed_networks: Iterable[Network]) -> bool:
    """Say whether calls may go to this address."""
    inner = getattr(address, "ipv4_mapped", None) or address
    if any(inner in network or address in network for network in allowed_networks):
        return True
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _SPECIAL_V4)
    return address in _GLOBAL_V6 and not any(address in network for network in _SPECIAL_V6)


def refuse_unless_permitted(host: str, allowed_networks: Iterable[Network]) -> None:
    """Raise UpstreamForbidden unless `host`, a numeric address, may be connected to."""
    if not is_permitted(ipaddress.ip_address(host.partition("%")[0]), allowed_networks):
        raise UpstreamForbidden(f"{host} is not in UPSTREAM_ALLOWED_NETWORKS")


class CheckedResolver(aiohttp.ThreadedResolver):
    """Resolves names and keeps only the addresses that calls may go to."""

    def __init__(self, allowed_networks: Iterable[Network]) -> None:
        super().__init__()
        self._allowed_networks = tuple(allowed_networks)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await super().resolve(host, port, family)
        kept = [result for result in found if self._permits(result["host"])]
        if not kept:
            seen = ", ".join(sorted({result["host"] for result in found}))
            raise UpstreamForbidden(f"{host} is {seen}: not in UPSTREAM_ALLOWED_NETWORKS")
        return kept

    def _permits(self, host: str) -> bool:
        address = ipaddress.ip_address(host.partition("%")[0])
        return is_permitted(address, self._allowed_networks)
