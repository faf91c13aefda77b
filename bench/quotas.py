"""What quotas cost: `python -m bench.quotas [--rounds N] [--seconds S] [--connections N]`.

Three figures, each within one run of the whole product: calls with six quotas beside calls without,
refusals of a key whose budget is spent beside calls, and draws for each call of a mix of a
thousand keys, of which each has a budget of its own, its project's and its organization's.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import sys
import tempfile
import urllib.request
from pathlib import Path

from bench.__main__ import print_table
from bench.machine import describe
from bench.product import MODELS, Product, serve_product
from bench.rounds import Sample, Side, Work, measure, run
from local.provider.running import start_as_process

MONTHLY = {"unit": "cost", "limit": "1000000.00", "window": "month"}
MINUTELY = {"unit": "requests", "limit": 10_000_000, "window": "minute"}
DAILY = {"unit": "total_tokens", "limit": 10**12, "window": "day"}
AT_ONCE = {"unit": "concurrency", "limit": 1000}
SPENT = {"unit": "cost", "limit": "0.00", "window": "lifetime"}
KEYS = 1000

LEAST_SHARE, MOST_DRAWS = 0.85, 0.05


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.quotas", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="counted rounds (default 5)")
    parser.add_argument("--seconds", type=float, default=3.0, help="of load, each (default 3)")
    parser.add_argument("--connections", type=int, default=32, help="at once (default 32)")
    options = parser.parse_args()
    print(f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}, {describe()}")
    with contextlib.ExitStack() as stack:
        provider = stack.enter_context(start_as_process())
        product = stack.enter_context(serve_product(provider.url, compose_organizations()))
        return report(product, options)


def compose_organizations() -> list[dict[str, object]]:
    """Return organizations without quotas, with six, with a spent one, and with a thousand keys."""
    six = organization("six", [MONTHLY, MINUTELY], [DAILY], {"six": [MONTHLY, MINUTELY, AT_ONCE]})
    many: dict[str, list[object]] = {f"key{number}": [MONTHLY] for number in range(KEYS)}
    return [
        organization("none", [], [], {"none": []}),
        six,
        organization("spent", [], [], {"spent": [SPENT]}),
        organization("many", [MONTHLY], [MONTHLY], many),
    ]


def organization(
    slug: str, quotas: list[object], of_project: list[object], keys: dict[str, list[object]]
) -> dict[str, object]:
    named = [{"name": name, "quotas": quotas} for name, quotas in keys.items()]
    project = {"slug": "default", "quotas": of_project, "keys": named}
    return {"slug": slug, "name": slug, "quotas": quotas, "projects": [project]}


def report(product: Product, options: argparse.Namespace) -> int:
    """Print the figures; return 1 where one is not as promised."""
    work = Work(options.connections, options.seconds, MODELS[0])
    medians = compare_calls(product, work, options.rounds)
    spent = compare_refusals(product, work, options.rounds)
    rows = [("", "a second", "CPU us each")]
    rows += [write_row(name, sample) for name, sample in [*medians.items(), ("refusals", spent)]]
    print()
    print_table(rows)
    draws = count_draws(product, work)
    share = medians["six quotas"].per_second / medians["no quotas"].per_second
    refusals = spent.per_second / medians["six quotas"].per_second
    print(f"\nWith six quotas {share:.2f} of the calls without any; at least {LEAST_SHARE}.")
    print(f"Refusals of a spent key {refusals:.2f} of the calls with six quotas; at least 1.")
    print(f"{draws:.4f} draws for each call of {KEYS} keys; less than {MOST_DRAWS}.")
    return int(share < LEAST_SHARE or refusals < 1 or draws >= MOST_DRAWS)


def compare_calls(product: Product, work: Work, rounds: int) -> dict[str, Sample]:
    return measure([side(product, "none"), side(product, "six")], work, rounds=rounds)


def compare_refusals(product: Product, work: Work, rounds: int) -> Sample:
    refused = work._replace(refused="429")
    return measure([side(product, "spent")], refused, rounds=rounds)["refusals"]


NAMES = {"none": "no quotas", "six": "six quotas", "spent": "refusals"}


def side(product: Product, key: str) -> Side:
    return Side(NAMES[key], product.url, product.keys[key], product.pid)


def count_draws(product: Product, work: Work) -> float:
    """Return draws for each call, once keys have had their first ones."""
    with tempfile.NamedTemporaryFile("w", suffix=".keys") as file:
        keys = [key for name, key in product.keys.items() if name.startswith("key")]
        Path(file.name).write_text("\n".join(keys))
        mix = work._replace(keys=file.name, seconds=work.seconds * 3)
        everyone = Side("many", product.url, "", product.pid)
        run(everyone, mix._replace(seconds=work.seconds * 10))
        before = read_draws(product)
        answered: int = run(everyone, mix)["answered"]
    return (read_draws(product) - before) / answered


def read_draws(product: Product) -> float:
    """Return the rounds of draws so far, from the database and from Redis."""
    with urllib.request.urlopen(f"{product.url}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    names = ("tollgate_draws_total", "tollgate_rate_draws_total")
    return sum(float(line.split()[-1]) for line in lines if line.split()[0] in names)


def write_row(name: str, sample: Sample) -> tuple[str, str, str]:
    return name, f"{sample.per_second:.0f}", f"{sample.cpu_us:.0f}"


if __name__ == "__main__":
    sys.exit(main())
