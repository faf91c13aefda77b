"""Serve everything on one port: `python -m config.serve`.

HOST, PORT and GATEWAY_WORKERS say where and with how many processes. Each process is a gateway
of its own with its own allowances and spool; uvicorn restarts one that dies.
"""

from __future__ import annotations

import os

import uvicorn

from gateway.server import GatewayProtocol


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    from django.conf import settings

    uvicorn.run(
        "config.asgi:application",
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
