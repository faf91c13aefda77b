"""`python -m local.provider --port N`: serve until SIGINT or SIGTERM.

It prints one line with its address when it listens. Port 0 takes a free one.
"""

import argparse
import asyncio
import os
import signal
import sys

import uvloop

from local.provider.running import ANNOUNCEMENT
from local.provider.server import DEFAULT_PACE_SECONDS, DemoProvider


def main() -> int:
    options = _read_options()
    try:
        uvloop.run(_serve(options))
    except OSError as error:
        where = f"{options.host}:{options.port}"
        print(f"The demo provider cannot listen on {where}: {error.strerror}.", file=sys.stderr)
        return 1
    return 0


def _read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m local.provider", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="0 takes a free port")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument(
        "--pace-ms",
        type=float,
        default=DEFAULT_PACE_SECONDS * 1000,
        help="milliseconds between two chunks of a stream",
    )
    parser.add_argument(
        "--until-input-closes",
        action="store_true",
        help="end when standard input is closed, as it is when the parent process ends",
    )
    return parser.parse_args()


async def _serve(options: argparse.Namespace) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    if options.until_input_closes:
        _watch_input(loop, ended)
    provider = DemoProvider(
        host=options.host, port=options.port, pace_seconds=options.pace_ms / 1000
    )
    async with provider:
        print(f"{ANNOUNCEMENT}{provider.url}", flush=True)
        await ended.wait()


def _watch_input(loop: asyncio.AbstractEventLoop, ended: asyncio.Event) -> None:
    """Standard input is a pipe that nobody writes to: readable means closed."""

    def read() -> None:
        if not os.read(sys.stdin.fileno(), 4096):
            loop.remove_reader(sys.stdin.fileno())
            ended.set()

    loop.add_reader(sys.stdin.fileno(), read)


if __name__ == "__main__":
    sys.exit(main())
