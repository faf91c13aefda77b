"""A provider's address that leads inside, in whatever spelling and whenever it does: no connection.

A server listens on the loopback addresses in all of these tests, and counts who comes.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import CommandError, call_command

from accounts.models import User
from gateway.credentials import seal
from gateway.models import Provider
from tests.api.asking import Api, key_api
from tests.calls.serving import Served, configure, in_django
from tests.calls.world import World, chat

pytestmark = pytest.mark.django_db(transaction=True)
Start = Callable[..., Awaitable[Served]]
INSIDE = (
    "http://127.0.0.1:{port}",
    "http://127.9.9.9:{port}",
    "http://localhost:{port}",
    "http://LOCALHOST.:{port}",
    "http://a.localhost:{port}",
    "http://[::1]:{port}",
    "http://[0:0:0:0:0:0:0:1]:{port}",
    "http://[::]:{port}",
    "http://[::ffff:127.0.0.1]:{port}",
    "http://[::ffff:7f00:1]:{port}",
    "http://[::127.0.0.1]:{port}",
    "http://[64:ff9b::7f00:1]:{port}",
    "http://[2002:7f00:1::]:{port}",
    "http://[fe80::1%25lo]:{port}",
    "http://0.0.0.0:{port}",
    "http://0:{port}",
    "http://127.1:{port}",
    "http://2130706433:{port}",
    "http://0x7f000001:{port}",
    "http://0x7f.0.0.1:{port}",
    "http://0177.0.0.1:{port}",
    "http://017700000001:{port}",
    "http://127.0.0.1.:{port}",
    "http://%31%32%37.0.0.1:{port}",
    "http://169.254.169.254",
    "http://[::ffff:a9fe:a9fe]",
    "http://2852039166",
    "http://0xa9fea9fe",
    "http://[fd00:ec2::254]",
    "http://10.0.0.1",
    "http://192.168.0.1",
    "http://172.16.0.1",
    "http://100.64.0.1",
)
BENT = (
    "http://good.example@127.0.0.1:{port}",
    "http://good.example:{port}@127.0.0.1:{port}",
    "http://127.0.0.1:{port}#@good.example",
    "http://127.0.0.1:{port}?@good.example",
    "http://good.example\\@127.0.0.1:{port}",
    "http://127.0.0.1:{port}\t.good.example",
    "http://①②⑦.⓪.⓪.①:{port}",
    "http://127。0。0。1:{port}",
    "file:///etc/passwd",
    "gopher://127.0.0.1:{port}",
    "//127.0.0.1:{port}",
    "unix:///run/secret",
)


@dataclass
class Inside:
    """A server that nobody may reach."""

    port: int = 0
    visits: list[object] = field(default_factory=list)

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.visits.append(writer.get_extra_info("peername"))
        writer.close()


@pytest.fixture
async def inside() -> AsyncIterator[Inside]:
    """It listens on 127.0.0.1 and, where the machine has IPv6, on ::1."""
    found = Inside()
    async with AsyncExitStack() as stack:
        server = await asyncio.start_server(found.accept, "127.0.0.1", 0)
        await stack.enter_async_context(server)
        found.port = server.sockets[0].getsockname()[1]
        if socket.has_ipv6 and Path("/proc/net/if_inet6").read_text().strip():
            other = await asyncio.start_server(found.accept, "::1", found.port)
            await stack.enter_async_context(other)
        yield found


@pytest.fixture
def start_allowing(start: Start, dsn: str, tmp_path: Path) -> Start:
    """Return a function that starts a gateway whose calls may also go to these networks."""

    async def start_one(*allowed: str) -> Served:
        networks = tuple(ipaddress.ip_network(each) for each in allowed)
        return await start(configure(dsn, tmp_path, upstream_allowed_networks=networks))

    return start_one


def add_targets(world: World, urls: list[str]) -> None:
    """A model for each address, written past every form, as SQL could."""
    for number, url in enumerate(urls):
        provider = world.add_provider(f"inside-{number}", url)
        world.add_model(f"inside-{number}", provider=provider)


async def test_no_spelling_of_an_inner_address_is_connected_to(
    world: World, start_allowing: Start, inside: Inside
) -> None:
    urls = [url.format(port=inside.port) for url in (*INSIDE, *BENT)]
    await in_django(add_targets, world, urls)
    served = await start_allowing()
    for number, url in enumerate(urls):
        answer = await served.post(chat(f"inside-{number}", max_tokens=10))
        assert answer.status_code in {502, 503}, url
        assert answer.json()["error"]["code"] in {"no_route", "upstream_error"}, url
        assert str(inside.port) not in answer.text
    assert inside.visits == []
    await served.settled()
    assert served.process.ledger.process.open_holds == 0


def answer_lookups(monkeypatch: pytest.MonkeyPatch, answers: dict[str, list[list[str]]]) -> None:
    """Give each name its lists of addresses, one a look-up; the last one stays."""
    loop = asyncio.get_running_loop()
    asked = loop.getaddrinfo

    async def getaddrinfo(host: Any, port: Any, **options: Any) -> Any:
        if host not in answers:
            return await asked(host, port, **options)
        found = answers[host].pop(0) if len(answers[host]) > 1 else answers[host][0]
        kind = socket.SOCK_STREAM
        return [
            (socket.AF_INET6 if ":" in each else socket.AF_INET, kind, 6, "", (each, port))
            for each in found
        ]

    monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)


async def test_a_name_that_leads_inside_is_not_connected_to(
    world: World,
    start_allowing: Start,
    inside: Inside,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = {
        "one.example": [["127.0.0.1"]],
        "mapped.example": [["::ffff:127.0.0.1"]],
        "six.example": [["::1"]],
        "meta.example": [["169.254.169.254"]],
        "several.example": [["10.0.0.1", "127.0.0.1", "::1"]],
    }
    await in_django(add_targets, world, [f"http://{name}:{inside.port}" for name in names])
    served = await start_allowing()
    answer_lookups(monkeypatch, names)
    for number in range(len(names)):
        answer = await served.post(chat(f"inside-{number}", max_tokens=10))
        assert answer.status_code == 502
        assert "127" not in answer.text
    assert inside.visits == []


async def test_a_name_that_changes_after_it_was_checked_is_not_followed_inside(
    world: World,
    start_allowing: Start,
    inside: Inside,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """127.0.0.2 is allowed here and stands for the outside; 127.0.0.1 is inside."""
    outside = Inside()
    server = await asyncio.start_server(outside.accept, "127.0.0.2", inside.port)
    async with server:
        await in_django(add_targets, world, [f"http://rebinding.example:{inside.port}"])
        served = await start_allowing("127.0.0.2/32")
        answer_lookups(monkeypatch, {"rebinding.example": [["127.0.0.2"], ["127.0.0.1"]]})
        await served.post(chat("inside-0", max_tokens=10))
        assert len(outside.visits) == 1
        # What was looked up is kept for seconds; with the connections it is forgotten.
        await served.process.upstream.close()
        answer = await served.post(chat("inside-0", max_tokens=10))
    assert answer.status_code == 502
    assert (len(outside.visits), inside.visits) == (1, [])


async def test_of_mixed_addresses_only_the_permitted_are_tried(
    world: World,
    start_allowing: Start,
    inside: Inside,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody listens on 127.0.0.2, so whoever tries the next address comes inside."""
    await in_django(add_targets, world, [f"http://mixed.example:{inside.port}"])
    served = await start_allowing("127.0.0.2/32")
    answer_lookups(monkeypatch, {"mixed.example": [["127.0.0.2", "127.0.0.1", "::1"]]})
    for _ in range(3):
        assert (await served.post(chat("inside-0", max_tokens=10))).status_code == 502
    assert inside.visits == []


def declare(file: Path, url: str) -> None:
    provider = {"name": "p", "protocol": "openai", "base_url": url, "credential": "literal:abc"}
    file.write_text(yaml.safe_dump({"providers": [provider]}, allow_unicode=True))
    call_command("apply", str(file))


def test_no_declaration_takes_such_an_address(db: None, tmp_path: Path, settings: Any) -> None:
    settings.UPSTREAM_ALLOWED_NETWORKS = ()
    for url in (*INSIDE, *BENT):
        with pytest.raises(CommandError, match="base_url"):
            declare(tmp_path / "p.yaml", url.format(port=8001))
    assert not Provider.objects.exists()


def test_no_form_takes_such_an_address(db: None, client: Any, settings: Any) -> None:
    settings.UPSTREAM_ALLOWED_NETWORKS = ()
    client.force_login(User.objects.create_superuser("operator@example.org", "a password"))
    for url in (*INSIDE, *BENT):
        form = {"name": "p", "protocol": "openai", "base_url": url.format(port=8001)}
        answer = client.post("/admin/gateway/provider/add/", form | {"enabled": "on"})
        assert answer.status_code == 200, url
        assert "base_url" in answer.context["adminform"].form.errors, url
    assert not Provider.objects.exists()


@pytest.fixture
def program(db: None) -> Api:
    """The API in the hands of an operator's program."""
    return key_api(User.objects.create_superuser("canary@example.org", "a password"), None)


def test_the_api_takes_no_such_address_and_names_the_field(program: Api, settings: Any) -> None:
    settings.UPSTREAM_ALLOWED_NETWORKS = ()
    good = {"name": "good", "protocol": "openai", "base_url": "https://api.openai.com/v1"}
    assert program.post("providers", good).status == 201
    for url in (*INSIDE, *BENT):
        inner = {"base_url": url.format(port=8001)}
        for answer in (
            program.post("providers", {**good, "name": "p", **inner}),
            program.patch("providers/good", inner),
        ):
            assert (answer.status, answer.error["field"]) == (400, "base_url"), url
    assert [each.base_url for each in Provider.objects.all()] == [good["base_url"]]


def test_a_provider_that_is_tried_by_api_is_not_followed_inside(
    program: Api, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a redirect, by a name that changes, or by a row that no form had a look at."""
    settings.UPSTREAM_ALLOWED_NETWORKS = (ipaddress.ip_network("127.0.0.2/32"),)
    with listening("127.0.0.1") as inner, redirecting("127.0.0.2", inner.port) as outer:
        # Looked up once for each connection: allowed the first time, and inside from then on.
        answers = {"rebinding.example": [["127.0.0.2"], ["127.0.0.1"]]}
        answer_plain_lookups(monkeypatch, answers)
        for name, url in (
            ("redirect", f"http://127.0.0.2:{outer.port}"),
            ("rebinding", f"http://rebinding.example:{outer.port}"),
        ):
            fields = {"name": name, "protocol": "openai", "base_url": url, "credential": "abc"}
            assert program.post("providers", fields).status == 201
        Provider.objects.create(
            name="inside", protocol="openai", base_url=f"http://127.0.0.1:{inner.port}"
        ).credentials.create(sealed=seal("abc"), source="test")
        for name, visits in (("redirect", 1), ("rebinding", 2), ("rebinding", 2), ("inside", 2)):
            told = program.post(f"providers/{name}/test", {"upstream_model": "x"}).body
            assert told["works"] is False
            assert told["trouble"]
            assert outer.visits == visits
    assert inner.visits == 0


class Listener(threading.Thread):
    """Counts who connects, and says `answer` to each."""

    def __init__(self, address: str, answer: bytes, port: int) -> None:
        super().__init__(daemon=True)
        self.visits = 0
        self._answer = answer
        self._socket = socket.create_server((address, port))
        self.port: int = self._socket.getsockname()[1]

    def run(self) -> None:
        with suppress(OSError):  # It was closed.
            while True:
                peer, _ = self._socket.accept()
                self.visits += 1
                with peer:
                    peer.recv(65_536)
                    peer.sendall(self._answer)

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self.join()


@contextmanager
def listening(address: str, answer: bytes = b"", port: int = 0) -> Iterator[Listener]:
    listener = Listener(address, answer, port)
    listener.start()
    yield listener
    listener.close()


def redirecting(address: str, port: int) -> AbstractContextManager[Listener]:
    """One that sends everybody to the same port inside."""
    head = f"HTTP/1.1 307 Go on\r\nlocation: http://127.0.0.1:{port}/\r\ncontent-length: 0\r\n"
    return listening(address, f"{head}connection: close\r\n\r\n".encode(), port)


def answer_plain_lookups(
    monkeypatch: pytest.MonkeyPatch, answers: dict[str, list[list[str]]]
) -> None:
    """As answer_lookups(), for a loop that is not there yet."""
    asked = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *rest: Any, **options: Any) -> Any:
        if host not in answers:
            return asked(host, port, *rest, **options)
        found = answers[host].pop(0) if len(answers[host]) > 1 else answers[host][0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in found]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
