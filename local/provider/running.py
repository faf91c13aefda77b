"""The demo provider outside the caller's loop: in a thread, or in a process of its own.

Both give a `RunningProvider`, which speaks with it over HTTP alone. A process
ends when its parent does, however that ended: it watches a pipe.
"""

import asyncio
import json
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import uvloop

from local.provider.server import DEFAULT_PACE_SECONDS, DemoProvider

ANNOUNCEMENT = "Demo provider on "
START_TIMEOUT_SECONDS = 20.0
STOP_TIMEOUT_SECONDS = 10.0


class RunningProvider:
    """A provider that runs elsewhere; leaving the `with` block stops it."""

    def __init__(self, url: str, *, stop: Callable[[], None], pid: int | None = None) -> None:
        self.url = url
        self.pid = pid
        self._stop = stop

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._stop()

    def received(self) -> dict[str, Any]:
        """Its books: what GET /__received answers."""
        return self._ask("GET")

    def reset_received(self) -> None:
        self._ask("DELETE")

    def _ask(self, method: str) -> dict[str, Any]:
        request = urllib.request.Request(f"{self.url}/__received", method=method)
        with urllib.request.urlopen(request, timeout=10) as response:
            answer: dict[str, Any] = json.load(response)
        return answer


def start_in_thread(
    *, port: int = 0, pace_seconds: float = DEFAULT_PACE_SECONDS
) -> RunningProvider:
    """Start a provider in a thread with a loop of its own. Raises what its start raised."""
    loop = uvloop.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="demo-provider", daemon=True)
    thread.start()
    provider = DemoProvider(port=port, pace_seconds=pace_seconds)

    def stop() -> None:
        asyncio.run_coroutine_threadsafe(provider.stop(), loop).result(STOP_TIMEOUT_SECONDS)
        end_loop()

    def end_loop() -> None:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(STOP_TIMEOUT_SECONDS)
        loop.close()

    try:
        asyncio.run_coroutine_threadsafe(provider.start(), loop).result(START_TIMEOUT_SECONDS)
    except BaseException:
        end_loop()
        raise
    return RunningProvider(provider.url, stop=stop)


def start_as_process(
    *, port: int = 0, pace_seconds: float = DEFAULT_PACE_SECONDS
) -> RunningProvider:
    """Start `python -m local.provider` and wait until it listens.

    Raises RuntimeError when it ends instead.
    """
    command = [sys.executable, "-m", "local.provider", "--port", str(port)]
    command += ["--pace-ms", str(pace_seconds * 1000), "--until-input-closes"]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line.startswith(ANNOUNCEMENT):
        raise RuntimeError(f"The demo provider ended with exit code {process.wait()}.")
    url = line.removeprefix(ANNOUNCEMENT).strip()
    return RunningProvider(url, stop=lambda: _end_process(process), pid=process.pid)


def _end_process(process: "subprocess.Popen[str]") -> None:
    process.terminate()
    try:
        process.communicate(timeout=STOP_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
