"""`python -m bench`: the whole product side by side with a proxy that does nothing.

One provider, one load generator; the bare pass-through runs on the product's own server and
transport. Prints a table of medians and ratios. With --transports it compares instead what the
product's transport to providers was chosen from.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import importlib.util
import subprocess
import sys
from collections.abc import Iterator, Sequence

from bench.machine import describe, find_free_port, wait_until_listening
from bench.passthrough import TRANSPORTS
from bench.product import MESSAGES_PREFIX, MODELS, serve_product
from bench.rounds import CHUNKS, Sample, Side, Work, measure
from local.provider.running import start_as_process

INSTANT, CHUNKED = MODELS
AIM, LIMIT = 1.25, 1.4


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="counted rounds (default 5)")
    parser.add_argument("--seconds", type=float, default=3.0, help="of load, each (default 3)")
    parser.add_argument("--connections", type=int, default=32, help="at once (default 32)")
    parser.add_argument("--transports", action="store_true", help="compare transports instead")
    options = parser.parse_args()
    print(f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}, {describe()}")
    print(f"python {' '.join(sys.orig_argv[1:])}")
    try:
        if options.transports:
            compare_transports(options)
            return 0
        return compare_product(options)
    except RuntimeError as error:
        print(f"Nothing was measured: {error}", file=sys.stderr)
        return 1


def compare_product(options: argparse.Namespace) -> int:
    """Return 1 where the product costs more than LIMIT times the CPU of the pass-through."""
    with contextlib.ExitStack() as stack:
        provider = stack.enter_context(start_as_process())
        bare = stack.enter_context(serve_passthrough(provider.url, "gateway"))
        plain = stack.enter_context(serve_passthrough(provider.url, "aiohttp"))
        product = stack.enter_context(serve_product(provider.url))
        sides = [
            Side("bare pass-through", bare.url, bare.key, bare.pid),
            Side("bare over aiohttp's session", plain.url, plain.key, plain.pid),
            Side("Tollgate", product.url, product.key, product.pid, product.database_pid),
        ]
        whole = measure_calls(sides, options, connections=options.connections)
        print(f"\n{options.connections} connections at once, answers of one piece")
        print_calls(whole)
        print("\nOne call at a time")
        print_calls(measure_calls(sides, options, connections=1))
        streams = Work(50, options.seconds, CHUNKED, stream=True)
        print(f"\n{streams.connections} streams at once, {CHUNKS} chunks 10 ms apart")
        print_streams(measure(sides, streams, rounds=options.rounds))
        translating = [
            sides[0],
            sides[2],
            sides[2]._replace(name="Tollgate, messages from chat", path="/v1/messages"),
            sides[2]._replace(name="Tollgate, chat from messages", prefix=MESSAGES_PREFIX),
        ]
        print(f"\n{streams.connections} such streams at once, translated")
        print_streams(measure(translating, streams, rounds=options.rounds))
    ratio = whole["Tollgate"].ratio
    print(f"\nTollgate costs {ratio:.2f} times the CPU of the bare pass-through", end="; ")
    print(f"at most {LIMIT} is promised, {AIM} is the aim.")
    return int(ratio > LIMIT)


def compare_transports(options: argparse.Namespace) -> None:
    names = [
        name
        for name in TRANSPORTS
        if name != "pyreqwest" or importlib.util.find_spec("pyreqwest") is not None
    ]
    with contextlib.ExitStack() as stack:
        provider = stack.enter_context(start_as_process())
        sides = [stack.enter_context(serve_passthrough(provider.url, name)) for name in names]
        print(f"\n{options.connections} connections at once, answers of one piece")
        print_calls(measure_calls(sides, options, connections=options.connections))
        streams = Work(50, options.seconds, CHUNKED, stream=True)
        print(f"\n{streams.connections} streams at once, {CHUNKS} chunks 10 ms apart")
        print_streams(measure(sides, streams, rounds=options.rounds))


def measure_calls(
    sides: Sequence[Side], options: argparse.Namespace, *, connections: int
) -> dict[str, Sample]:
    """Measure in three times as many rounds of a third of the time: what disturbs a machine does so
    for seconds, and is to fall on both sides of a ratio or on neither."""
    work = Work(connections, options.seconds / 3, INSTANT)
    return measure(sides, work, rounds=3 * options.rounds)


@contextlib.contextmanager
def serve_passthrough(provider_url: str, transport: str) -> Iterator[Side]:
    """Run a bare pass-through over this transport in a process of its own."""
    port = find_free_port()
    command = [sys.executable, "-m", "bench.passthrough", provider_url]
    process = subprocess.Popen([*command, f"--port={port}", f"--transport={transport}"])
    try:
        wait_until_listening(process, port)
        yield Side(transport, f"http://127.0.0.1:{port}", "sk-bench", process.pid)
    finally:
        process.terminate()
        process.wait(30)


def print_calls(medians: dict[str, Sample]) -> None:
    rows = [("", "calls/s", "p50 ms", "CPU us a call", "ratio", "PostgreSQL us a call")]
    for name, sample in medians.items():
        ratio = f"{sample.ratio:.2f}"
        beside = f"{sample.beside_us:.0f}" if sample.beside_us else ""
        figures = (f"{sample.per_second:.0f}", f"{sample.p50_ms:.2f}", f"{sample.cpu_us:.0f}")
        rows.append((name, *figures, ratio, beside))
    print_table(rows)


def print_streams(medians: dict[str, Sample]) -> None:
    rows = [("", "streams/s", "p50 ms", "CPU us a chunk", "ratio")]
    for name, sample in medians.items():
        ratio = f"{sample.ratio:.2f}"
        chunk = f"{sample.cpu_us / CHUNKS:.1f}"
        rows.append((name, f"{sample.per_second:.1f}", f"{sample.p50_ms:.0f}", chunk, ratio))
    print_table(rows)


def print_table(rows: Sequence[Sequence[str]]) -> None:
    """Print a table that Markdown reads as one."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for number, row in enumerate(rows):
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        print(f"| {' | '.join(cells)} |")
        if number == 0:
            rules = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
            print(f"| {' | '.join(rules)} |")


if __name__ == "__main__":
    sys.exit(main())
