"""Whose address counts: the peer's, or what a trusted proxy says of it."""

from ipaddress import ip_network

import pytest

from accounts.addresses import find_client

PROXIES = [ip_network("10.0.0.0/8"), ip_network("::1/128")]


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "client"),
    [
        ("192.0.2.1", [], "192.0.2.1"),
        ("192.0.2.1", ["203.0.113.9"], "192.0.2.1"),
        ("10.0.0.1", ["203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["198.51.100.1, 203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["198.51.100.1", "203.0.113.9, 10.0.0.2"], "203.0.113.9"),
        ("::ffff:10.0.0.1", ["::ffff:203.0.113.9"], "203.0.113.9"),
        ("::1", ["2001:DB8::1"], "2001:db8::1"),
        ("10.0.0.1", ["203.0.113.9, nonsense"], "10.0.0.1"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        (None, ["203.0.113.9"], None),
        ("", [], None),
        ("fe80::1%eth0", [], "fe80::1"),
    ],
)
def test_only_trusted_hops_are_believed(
    peer: str | None, forwarded_for: list[str], client: str | None
) -> None:
    assert find_client(peer, forwarded_for, PROXIES) == client
