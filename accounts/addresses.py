"""Network addresses of callers. Pure.

A header can claim any address. Only hops inside TRUSTED_PROXIES are believed, from our own end of
the chain outwards; the first that is not trusted is the client.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


def find_client(
    peer: str | None, forwarded_for: Sequence[str], trusted: Sequence[Network]
) -> str | None:
    """Return the client's address in canonical form, or None when there is none to believe.

    `peer` is the other end of the socket; `forwarded_for` the values of every X-Forwarded-For
    header in their order. An entry that is no address ends the chain at the hop that wrote it.
    """
    client = parse_address(peer)
    hops = [hop for value in forwarded_for for hop in value.split(",")]
    while client is not None and hops and is_inside(client, trusted):
        claimed = parse_address(hops.pop().strip())
        if claimed is None:
            break
        client = claimed
    return None if client is None else str(client)


def parse_address(text: str | None) -> Address | None:
    """Read an address, without a zone; an IPv4 address in IPv6 clothes is the IPv4 address."""
    try:
        address = ip_address((text or "").partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def is_inside(address: Address, networks: Iterable[Network]) -> bool:
    """Say whether an address lies in one of the networks."""
    return any(address in network for network in networks)
