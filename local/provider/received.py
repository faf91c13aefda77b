"""The provider's own books: which requests arrived, and how each of them ended.

Every request whose whole body arrived has one receipt. The list is bounded and
keeps the newest; the counters are not bounded. A test compares these books with
the gateway's usage events.
"""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from local.provider.connection import Request

KEPT_RECEIPTS = 50_000
_CALL_ID_HEADERS = (b"x-request-id", b"x-client-request-id", b"idempotency-key")


@dataclass(slots=True, kw_only=True)
class Receipt:
    """One request.

    `id` is the id of the answer (chatcmpl-..., msg_...), None when none was
    given; `request_id` the x-request-id that the provider gave, on every
    answer; `call_id` an id that the request itself carried. `chunks_sent`
    counts chunks of content, and `usage` is what had been handed to the socket.
    """

    request_id: str
    path: str
    at: float
    call_id: str | None
    bytes: int
    id: str | None = None
    model: str = ""
    stream: bool = False
    status: int | None = None
    chunks_sent: int = 0
    usage: Any = None
    client_gone: bool = False
    finished: bool = False


class Received:
    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.total = 0
        self.by_model: Counter[str] = Counter()
        self.redirects_followed = 0
        self.requests: deque[Receipt] = deque(maxlen=KEPT_RECEIPTS)

    def note(self, request: Request, request_id: str) -> Receipt:
        """Count a request whose body is complete."""
        receipt = Receipt(
            request_id=request_id,
            path=request.path.decode("latin-1"),
            at=time.time(),
            call_id=_find_call_id(request),
            bytes=len(request.body),
        )
        self.total += 1
        self.requests.append(receipt)
        return receipt

    def name_model(self, receipt: Receipt, model: str, *, stream: bool) -> None:
        receipt.model = model
        receipt.stream = stream
        self.by_model[model] += 1

    def snapshot(self) -> dict[str, Any]:
        """What GET /__received answers."""
        return {
            "total": self.total,
            "by_model": dict(self.by_model),
            "redirects_followed": self.redirects_followed,
            "requests": [asdict(receipt) for receipt in self.requests],
        }

    async def until(
        self, holds: Callable[["Received"], object], *, timeout_seconds: float = 5.0
    ) -> None:
        """Wait until `holds(self)`; for tests in the provider's own loop. Raises TimeoutError."""
        async with asyncio.timeout(timeout_seconds):
            # A test asks about any of the books, so there is no one event to wait for.
            while not holds(self):  # noqa: ASYNC110
                await asyncio.sleep(0.005)


def _find_call_id(request: Request) -> str | None:
    for name in _CALL_ID_HEADERS:
        value = request.headers.get(name)
        if value is not None:
            return value.decode("latin-1")
    return None
