"""How fast facts are settled and folded: `python -m bench.fold [--events N] [--rounds N]`.

Starts a PostgreSQL of its own, as durable as the product's, in a temporary folder. One worker
does everything: it settles batches as a gateway does (read, insert, drop what is there already,
append deltas) and folds the deltas as Celery does; then it folds one delta an event, the worst
there can be. The product promises 20,000 events/s of folding.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

BATCH = 500


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    from local.postgres import Postgres

    with tempfile.TemporaryDirectory(prefix="tollgate-bench-", dir="/tmp") as folder:
        Path(folder).chmod(0o711)
        server = Postgres(Path(folder) / "data")
        try:
            prepare_django(server.start())
            report(measure(server.url, events=options.events, rounds=options.rounds), options)
        finally:
            server.stop()


def prepare_django(url: str) -> None:
    os.environ["DATABASE_URL"] = url
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)


def measure(url: str, *, events: int, rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each step in each round."""
    from django.db import connection

    from billing.rollups import fold_usage

    took: dict[str, list[float]] = {}
    for _ in range(rounds):
        empty()
        batches = make_batches(events)
        clock(took, "settle", lambda: asyncio.run(settle(url, batches)))  # noqa: B023
        clock(took, "fold", lambda: fold_usage(connection))
        clock(took, "fold again, nothing new", lambda: fold_usage(connection))
        append_single_deltas()
        clock(took, "fold one delta an event", lambda: fold_usage(connection))
        check(events)
    return took


def clock(took: dict[str, list[float]], name: str, step: Callable[[], object]) -> None:
    started = time.perf_counter()
    step()
    took.setdefault(name, []).append(time.perf_counter() - started)


def report(took: dict[str, list[float]], options: argparse.Namespace) -> None:
    print(f"{options.events:,} events, batches of {BATCH}, median of {options.rounds} rounds")
    median = {name: statistics.median(seconds) for name, seconds in took.items()}
    median["settle + fold"] = median["settle"] + median["fold"]
    for name, seconds in median.items():
        rate = f"{options.events / seconds:12,.0f} events/s" if seconds > 0.05 else ""
        print(f"{name:26} {seconds:8.3f} s {rate}")


def make_batches(events: int) -> list[list[bytes]]:
    """Return events as JSON: an hour of 40 organizations, 400 keys and 5 models."""
    import msgspec

    from billing.usage import new_id
    from tests.billing.facts import make_event

    source = random.Random(7)  # The same traffic in every round.
    encoded = []
    for number in range(events):
        key = source.randrange(400)
        event = make_event(
            id=new_id(),
            organization=key % 40,
            project=key % 80,
            key=key,
            member=key if key % 2 else None,
            model=f"model-{source.randrange(5)}",
            tags={"team": f"team-{key % 7}"},
            cache_read=source.randrange(1000),
            first_byte_ms=source.randrange(20_000),
            total_ms=source.randrange(60_000),
            process_seq=number,
        )
        encoded.append(msgspec.json.encode(event))
    return [encoded[n : n + BATCH] for n in range(0, events, BATCH)]


async def settle(url: str, batches: list[list[bytes]]) -> None:
    import psycopg

    from billing.ledger import processes, settlement
    from billing.usage import new_id

    process = new_id()
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await processes.register(connection, process)
        for batch in batches:
            await settlement.settle(connection, process=process, events=batch, windows=[])


def append_single_deltas() -> None:
    """Append a delta for each event there is, as if each had been settled alone."""
    from django.db import connection

    from billing.rollups import COLUMNS, ROLLUP, event_moves_sql, grouped_sql

    alone = grouped_sql(ROLLUP, event_moves_sql("(SELECT u.*)"))
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO rollup_delta ({', '.join(COLUMNS)}) SELECT alone.*"
            f" FROM usage_event AS u CROSS JOIN LATERAL ({alone}) AS alone"
        )


def empty() -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "TRUNCATE usage_event, rollup, rollup_delta, rollup_tag, rollup_tag_delta,"
            " settlement_conflict, rejected_event"
        )


def check(events: int) -> None:
    """Stop unless every event was folded exactly once in each of the two ways."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT sum(attempts) FROM rollup")
        folded = cursor.fetchone()[0]
    if folded != 2 * events:
        raise SystemExit(f"{folded} attempts were folded instead of {2 * events}")


if __name__ == "__main__":
    main()
