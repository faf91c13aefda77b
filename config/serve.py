"""Serve everything on one port: `python -m config.serve`; or calls alone: `... gateway`.

HOST, PORT and GATEWAY_WORKERS say where and with how many processes. Each process is a gateway
of its own with its own allowances and spool; uvicorn restarts one that dies.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from gateway.server import GatewayProtocol

# What is served, by the word for it: everything, or /v1 and the probes without any page.
APPLICATIONS = {"everything": "config.asgi:application", "gateway": "config.asgi:gateway"}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m config.serve", description="Serve on PORT.")
    parser.add_argument("what", nargs="?", choices=APPLICATIONS, default="everything")
    what = parser.parse_args(arguments).what
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    from django.conf import settings
    from django.utils.log import configure_logging

    # Of several processes the first only watches the others, and sets nothing up but this.
    configure_logging(settings.LOGGING_CONFIG, settings.LOGGING)
    signal.signal(signal.SIGTERM, _end_well)
    options: dict[str, Any] = {
        "host": settings.HOST,
        "port": settings.PORT,
        "workers": settings.GATEWAY_WORKERS,
        "loop": "uvloop",
        "http": GatewayProtocol,
        "ws": "none",
        "lifespan": "on",
        "interface": "asgi3",
        "log_config": None,
        "access_log": False,
        "proxy_headers": False,
        "server_header": False,
        "date_header": True,
        "timeout_keep_alive": 75,
        "backlog": 4096,
    }
    if settings.GATEWAY_WORKERS == 1:
        uvicorn.run(APPLICATIONS[what], **options)
    else:
        _run_several(uvicorn.Config(APPLICATIONS[what], **options))


def _run_several(config: uvicorn.Config) -> None:
    """Serve with several processes. Where they cannot start it is a failure, as with one."""
    several = Multiprocess(config, [config.bind_socket()])
    several.run()
    if STARTUP_FAILURE in [process.exitcode for process in several.processes]:
        sys.exit(STARTUP_FAILURE)


def _end_well(*_: object) -> None:
    """End with 0 where SIGTERM asked for it.

    uvicorn keeps the signal until calls are finished and settled, and then sends it on. Unheeded
    it would end the process with 143, which systemd and Kubernetes take for a failure.
    """
    sys.exit(0)


if __name__ == "__main__":
    main()
