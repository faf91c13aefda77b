"""From an empty folder to a metered call: what is printed, executed as it stands, and reported."""

import json
import shutil
import subprocess
import time
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from local.children import wait_until
from tests.local.running import Run
from tests.prices import cost_of
from tests.product import manage, read_received, read_report

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")

REPORT_SECONDS = 10.0


@dataclass
class Made:
    """Two calls by the printed curl line: one as printed, one streamed."""

    answer: dict[str, Any]
    stream: str
    ended_at: float


@pytest.fixture(scope="module")
def made(product: Run) -> Made:
    line = find_curl_line(product)
    answer = json.loads(execute(line))
    stream = execute(line.replace('{"model"', '{"stream": true, "model"'))
    return Made(answer, stream, time.monotonic())


def find_curl_line(run: Run) -> str:
    """The command of the banner, with its continued lines."""
    _, _, rest = run.output.read_text().partition("\ncurl ")
    lines = rest.split("\n")
    last = next(place for place, line in enumerate(lines) if not line.endswith("\\"))
    return "curl " + "\n".join(lines[: last + 1])


def execute(line: str) -> str:
    done = subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, timeout=30, check=True
    )
    return done.stdout


def test_the_printed_line_is_answered_with_usage(made: Made) -> None:
    usage = made.answer["usage"]
    assert usage["prompt_tokens"] > 0
    assert usage["completion_tokens"] > 0
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert made.answer["choices"][0]["message"]["content"]


def test_with_stream_true_it_ends_in_done_and_says_the_same(made: Made) -> None:
    frames = [frame for frame in made.stream.split("\n\n") if frame]
    assert frames[-1] == "data: [DONE]"
    chunks = [json.loads(frame.removeprefix("data: ")) for frame in frames[:-1]]
    said = "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)
    assert said == made.answer["choices"][0]["message"]["content"]


def test_both_are_reported_within_ten_seconds_to_the_token_and_the_tick(
    product: Run, made: Made
) -> None:
    left = REPORT_SECONDS - (time.monotonic() - made.ended_at)
    assert wait_until(lambda: read_report(product, "demo")["total"]["calls"] == 2, left)
    usages = [receipt["usage"] for receipt in read_received(product)]
    assert usages == [made.answer["usage"]] * 2
    total, price = read_report(product, "demo")["total"], read_price(product, "gpt-4o")
    assert total["attempts"] == 2
    assert total["input_tokens"] == sum(usage["prompt_tokens"] for usage in usages)
    assert total["output_tokens"] == sum(usage["completion_tokens"] for usage in usages)
    assert total["cost_ticks"] == sum(cost_of(usage, price) for usage in usages)


def test_the_table_that_a_person_reads_names_model_and_cost(product: Run, made: Made) -> None:
    assert wait_until(lambda: read_report(product, "demo")["waiting_deltas"] == 0, REPORT_SECONDS)
    line = read_report(product, "demo")["lines"][0]
    printed = manage(product, "usage_report", "--by", "model")
    row = next(row.split() for row in printed.splitlines() if row.startswith("gpt-4o"))
    assert row == [
        "gpt-4o",
        *("2", "2"),
        *(str(line["input_tokens"]), "0", str(line["output_tokens"]), "0"),
        line["cost_usd"],
    ]


def test_the_ledger_agrees_with_its_facts(product: Run, made: Made) -> None:
    assert manage(product, "check_ledger").startswith("Differences: none.")


def read_price(run: Run, model: str) -> dict[str, str]:
    declared = yaml.safe_load((run.data_dir / "demo.yaml").read_text())
    price: dict[str, str] = next(m["price"] for m in declared["models"] if m["name"] == model)
    return price
