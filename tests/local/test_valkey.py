"""The embedded Valkey: what it is, what it keeps, and what it leaves behind."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from local.children import wait_until
from local.errors import ServerError
from local.valkey import Valkey


@pytest.fixture
def server(data_dir: Path) -> Iterator[Valkey]:
    valkey = Valkey(data_dir)
    yield valkey
    valkey.stop()


def test_it_is_valkey_9_on_the_loopback_address_with_a_password(server: Valkey) -> None:
    with redis.Redis.from_url(server.start()) as client:
        assert str(client.info("server")["valkey_version"]).startswith("9.")
        assert client.config_get("bind")["bind"] == "127.0.0.1"
    stranger = redis.Redis(port=server.port, password="wrong")
    with pytest.raises(redis.AuthenticationError), stranger:
        stranger.ping()


def test_the_password_is_in_no_process_list(server: Valkey) -> None:
    password = server.start().split("@")[0].rpartition(":")[2]
    assert password not in Path(f"/proc/{server.pid}/cmdline").read_text()


def test_a_restart_keeps_what_was_written(server: Valkey) -> None:
    with redis.Redis.from_url(server.start()) as client:
        client.set("number", 7)
    server.stop()
    with redis.Redis.from_url(server.start()) as client:
        assert client.get("number") == b"7"


def test_it_starts_again_after_a_kill(server: Valkey) -> None:
    url = server.start()
    os.kill(server.pid or 0, signal.SIGKILL)
    assert wait_until(lambda: server.poll() is not None, 10)
    assert server.start() == url


def test_a_server_left_running_is_ended_before_the_next_start(data_dir: Path) -> None:
    orphan, server = Valkey(data_dir), Valkey(data_dir)
    orphan.start()
    try:
        server.start()
        assert wait_until(lambda: orphan.poll() is not None, 5)
    finally:
        server.stop()
        orphan.stop()


def test_a_server_that_does_not_come_up_is_told_with_the_end_of_its_log(
    server: Valkey, data_dir: Path
) -> None:
    server.start()
    server.stop()
    for file in (server.folder / "appendonlydir").glob("*.rdb"):
        file.write_bytes(b"REDIS9999 nonsense")
    with pytest.raises(ServerError, match=r"Valkey did not come up; .*valkey\.log ends with"):
        server.start()
    assert server.poll() is not None
