"""A server that refuses every call as the gateway would: with the error that the address names."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from billing.usage import new_id
from gateway import errors
from gateway.asgi import refuse
from gateway.caller import Caller

# One of the gateway's own errors for each status that it answers with.
ERRORS: dict[int, errors.GatewayError] = {
    400: errors.BadRequest("'n' is too large.", "n"),
    401: errors.NotAuthenticated("This API key is wrong."),
    403: errors.PermissionDenied("This API key may not be used for that."),
    404: errors.ModelNotFound("nothing"),
    405: errors.MethodNotAllowed(("GET",)),
    408: errors.RequestTimeout(),
    409: errors.RepeatOver("0199aaaa"),
    413: errors.TooLarge(1024),
    415: errors.EncodedBody(),
    422: errors.RepeatDiffers(),
    429: errors.TooManyWrongKeys(3.0),
    500: errors.GatewayError(),
    502: errors.UpstreamFailed(),
    503: errors.SpoolFull(),
    504: errors.UpstreamTimeout(),
}


async def _answer(scope: Any, receive: Any, send: Any) -> None:
    _, status, path = scope["path"].split("/", 2)
    below: Any = {**scope, "path": f"/{path}"}
    await refuse(Caller(below, receive, send, call_id=new_id()), ERRORS[int(status)])


@contextmanager
def run_refusing() -> Iterator[str]:
    """Serve on a free port; give the address, below which stand the statuses."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(_answer, lifespan="off", log_config=None))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
