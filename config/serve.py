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

import uvicorn

from gateway.server import GatewayProtocol

# What is served, by the word for it: everything, or /v1 and the probes without any page.
APPLICATIONS = {"everything": "config.asgi:application", "gateway": "config.asgi:gateway"}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m config.serve", description="Serve on PORT.")
    parser.add_argument("what", nargs="?", choices=APPLICATIONS, default="everything")
    what = parser.parse_args(arguments).what
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    from django.conf import settings

    signal.signal(signal.SIGTERM, _end_well)
    uvicorn.run(
        APPLICATIONS[what],
        host=settings.HOST,
        port=settings.PORT,
        workers=settings.GATEWAY_WORKERS,
        loop="uvloop",
        http=GatewayProtocol,
        ws="none",
        lifespan="on",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=True,
        timeout_keep_alive=75,
        backlog=4096,
    )


def _end_well(*_: object) -> None:
    """End with 0 where SIGTERM asked for it.

    uvicorn keeps the signal until calls are finished and settled, and then sends it on. Unheeded
    it would end the process with 143, which systemd and Kubernetes take for a failure.
    """
    sys.exit(0)


if __name__ == "__main__":
    main()
