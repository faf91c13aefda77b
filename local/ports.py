"""Addresses on this machine: which are free, and whether we answer at ours."""

import errno
import socket
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from local.children import find_free_port
from local.errors import LocalError


def is_port_free(host: str, port: int) -> bool:
    """Raises LocalError when the address can never be ours."""
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise LocalError(f"HOST={host} is no address of this machine: {error}.") from error
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except PermissionError as error:
            raise LocalError(
                f"PORT={port} needs root's rights here; choose one above 1023."
            ) from error
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise LocalError(f"Cannot listen on HOST={host}: {error.strerror}.") from error
    return True


def choose_port(memory: Path) -> int:
    """The port of last time while it is free, so that what was declared stays true."""
    try:
        port = int(memory.read_text())
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
    except (OSError, ValueError, OverflowError):
        port = find_free_port()
        memory.write_text(f"{port}\n")
    return port


def ask_ready(host: str, port: int) -> str:
    """An empty string when /readyz answers 200, else what it said."""
    connection = HTTPConnection(host, port, timeout=5)
    try:
        connection.request("GET", "/readyz")
        response = connection.getresponse()
        body = response.read(500).decode(errors="replace")
        return "" if response.status == 200 else f"{response.status} {body}"
    except (OSError, HTTPException) as error:
        return str(error)
    finally:
        connection.close()
