"""Serve everything on one port: `python -m config.serve`; or calls alone: `... gateway`.

HOST, PORT and GATEWAY_WORKERS say where and with how many processes. Each process is a gateway
of its own with its own allowances and spool; uvicorn restarts one that dies.
"""

from __future__ import annotations

import argparse
import os
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


if __name__ == "__main__":
    main()
