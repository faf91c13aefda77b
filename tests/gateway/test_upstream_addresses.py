"""Where calls may go: what is refused when it is declared, and again when it is connected to."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.upstream import (
    Target,
    Timeouts,
    Upstream,
    UpstreamConnectError,
    UpstreamForbidden,
    check_base_url,
)
from gateway.upstream.addresses import CheckedResolver, is_permitted
from tests.gateway.sockets import answer_all, serve

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))
METADATA = ipaddress.ip_network("169.254.169.254/32")


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "127.0.0.1",
        "169.254.169.254",
        "172.31.255.255",
        "192.168.1.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:8.8.8.8",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::1",
        "2001:0:7f00:1::",
        "2001:db8::1",
        "2002:7f00:1::",
        "fc00::1",
        "fe80::1",
        "ff02::1",
    ],
)
def test_special_addresses_are_refused(address: str) -> None:
    assert not is_permitted(ipaddress.ip_address(address), ())


@pytest.mark.parametrize("address", ["8.8.8.8", "172.32.0.1", "2606:4700::1111", "2a00:1450::1"])
def test_public_addresses_are_permitted(address: str) -> None:
    assert is_permitted(ipaddress.ip_address(address), ())


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
def test_what_the_operator_allows_is_permitted(address: str) -> None:
    assert is_permitted(ipaddress.ip_address(address), LOOPBACK)
    assert not is_permitted(ipaddress.ip_address("10.0.0.1"), LOOPBACK)


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("ftp://example.com", "http:// or https://"),
        ("api.openai.com/v1", "http:// or https://"),
        ("https://", "no host"),
        ("https:///v1", "no host"),
        ("https://user:secret@example.com", "user name"),
        ("https://example.com/v1?a=b", "end at its path"),
        ("https://example.com/v1?", "end at its path"),
        ("https://example.com/#x", "end at its path"),
        ("https://example.com:0/", "port"),
        ("https://example.com:99999/", "port"),
        ("https://exa mple.com", "space"),
        ("https://example.com\\@evil.example", "backslash"),
        ("https://example.com/\r\nx: y", "control"),
        ("https://ex\u00e4mple.com", "non-ASCII"),
        ("http://127.0.0.1:9900", "UPSTREAM_ALLOWED_NETWORKS"),
        ("http://localhost:9900", "UPSTREAM_ALLOWED_NETWORKS"),
        ("http://a.localhost./", "UPSTREAM_ALLOWED_NETWORKS"),
        ("http://[::1]/", "UPSTREAM_ALLOWED_NETWORKS"),
        ("http://[fe80::1%25eth0]/", "UPSTREAM_ALLOWED_NETWORKS"),
        ("http://[::ffff:10.0.0.1]/", "UPSTREAM_ALLOWED_NETWORKS"),
        ("http://169.254.169.254/latest", "UPSTREAM_ALLOWED_NETWORKS"),
        ("http://2130706433/", "unusual spelling"),
        ("http://0x7f000001/", "unusual spelling"),
        ("http://017700000001/", "unusual spelling"),
        ("http://127.1/", "unusual spelling"),
        ("http://0x7f.0.0.1/", "unusual spelling"),
        ("http://127.0.0.1./", "unusual spelling"),
    ],
)
def test_a_bad_base_url_is_refused_with_its_reason(url: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        check_base_url(url, ())


@pytest.mark.parametrize(
    "url",
    [
        "https://api.openai.com/v1",
        "https://api.anthropic.com",
        "http://8.8.8.8:8000/v1",
        "http://vllm.internal:8000/v1",
        "http://localhost:9900/v1",
        "http://127.0.0.1:9900",
        "http://[::1]:9900",
    ],
)
def test_a_good_base_url_passes(url: str) -> None:
    check_base_url(url, LOOPBACK)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "017700000001",
        "127.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "0.0.0.0",
    ],
)
async def test_no_spelling_of_loopback_is_connected_to(host: str) -> None:
    async with serve(answer_all) as server:
        upstream = Upstream(allowed_networks=[METADATA])
        url = f"http://{host}:{server.port}/"
        with pytest.raises(UpstreamConnectError) as caught:
            await upstream.send(Target(url), body=b"{}", timeouts=Timeouts())
        await upstream.close()
        assert not caught.value.sent
        assert server.connections == 0


def answer_lookups(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> None:
    """Make the system's resolver give these addresses, one list a look-up."""
    lists = iter(answers)

    async def getaddrinfo(host: str, port: int, **options: Any) -> list[Any]:
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in next(lists)
        ]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)


async def test_a_name_keeps_only_its_permitted_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    answer_lookups(monkeypatch, ["10.0.0.1", "8.8.8.8", "127.0.0.1"])
    found = await CheckedResolver(()).resolve("provider.example", 443)
    assert [result["host"] for result in found] == ["8.8.8.8"]


async def test_a_name_is_judged_anew_at_every_lookup(monkeypatch: pytest.MonkeyPatch) -> None:
    answer_lookups(monkeypatch, ["8.8.8.8"], ["169.254.169.254"])
    resolver = CheckedResolver(LOOPBACK)
    assert await resolver.resolve("rebinding.example", 443)
    with pytest.raises(UpstreamForbidden, match=r"169\.254\.169\.254"):
        await resolver.resolve("rebinding.example", 443)


def make_certificate(folder: Path, name: str) -> ssl.SSLContext:
    """Return a server's context; its certificate is in `folder`/provider.pem."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = folder / "provider.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


async def call_tls(folder: Path, *, certified: str, trusted: bool) -> bytes:
    context = make_certificate(folder, certified)
    trust = ssl.create_default_context(cafile=str(folder / "provider.pem")) if trusted else None
    upstream = Upstream(allowed_networks=LOOPBACK, tls=trust)
    try:
        async with serve(answer_all, ssl=context) as server:
            for _ in range(2):
                answer = await upstream.send(
                    Target(f"https://localhost:{server.port}/"),
                    body=b"{}",
                    timeouts=Timeouts(),
                )
                body = await answer.read(100)
            assert server.connections == 1
    finally:
        await upstream.close()
    return body


async def test_tls_is_checked_against_the_name(tmp_path: Path) -> None:
    assert await call_tls(tmp_path, certified="localhost", trusted=True) == b"{}"
    with pytest.raises(UpstreamConnectError) as caught:
        await call_tls(tmp_path, certified="other.example", trusted=True)
    assert not caught.value.sent


async def test_an_unknown_certificate_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UpstreamConnectError):
        await call_tls(tmp_path, certified="localhost", trusted=False)
