"""Interleaved rounds over several sides, and the medians of what was seen.

Absolute figures drift by 40 % between runs on a shared machine, so every side is measured in
every round, each round begins with another side, and only ratios within a round mean something.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

from bench.machine import read_cpu_seconds

CHUNKS = 100
PATH = "/v1/chat/completions"
MESSAGES = [{"role": "user", "content": "Say hello to everybody in this room. " * 8}]


class Side(NamedTuple):
    """Something that answers calls at `path`. `pid` is the process whose CPU time is read, `beside`
    one that works for it and is counted apart. `prefix` is what its names of models begin with."""

    name: str
    url: str
    key: str
    pid: int
    beside: int | None = None
    path: str = PATH
    prefix: str = ""


class Work(NamedTuple):
    """One way to load a side: how many connections ask for which model, for how long. With
    `refused` every answer has to be that refusal, and with `keys` calls carry keys of a file."""

    connections: int
    seconds: float
    model: str
    stream: bool = False
    refused: str = ""
    keys: str = ""


class Sample(NamedTuple):
    """`ratio` is that of the CPU to the first side's in the same round."""

    per_second: float
    p50_ms: float
    cpu_us: float
    beside_us: float
    ratio: float = 1.0


def measure(sides: Sequence[Side], work: Work, *, rounds: int) -> dict[str, Sample]:
    """Return the median of each figure of each side. The first round is not counted."""
    samples: dict[str, list[Sample]] = {side.name: [] for side in sides}
    for number in range(rounds + 1):
        shift = number % len(sides)
        round_ = {side.name: load(side, work) for side in [*sides[shift:], *sides[:shift]]}
        first = round_[sides[0].name].cpu_us
        for name, sample in round_.items():
            if number:
                samples[name].append(sample._replace(ratio=sample.cpu_us / first))
    return {name: _take_medians(found) for name, found in samples.items()}


def load(side: Side, work: Work) -> Sample:
    """Load one side once. Raises RuntimeError for anything but what the work expects."""
    before = read_both(side)
    seen = run(side, work)
    cpu, beside = (now - then for now, then in zip(read_both(side), before, strict=True))
    answers = {**seen["refused"], "200": seen["answered"]}
    calls = answers.pop(work.refused or "200", 0)
    if any(answers.values()) or seen["broken"] or not calls:
        raise RuntimeError(f"{side.name} did not answer every call as it should: {seen}")
    per_second = calls / seen["seconds"]
    return Sample(per_second, seen["p50_ms"] or 0.0, cpu / calls * 1e6, beside / calls * 1e6)


def run(side: Side, work: Work) -> dict[str, Any]:
    """Load one side once and return what the load saw."""
    model = side.prefix + work.model
    body = {"model": model, "messages": MESSAGES, "max_tokens": 256, "stream": work.stream}
    command = [sys.executable, "-m", "bench.load", side.url + side.path]
    command += [f"--connections={work.connections}", f"--seconds={work.seconds}"]
    command += [
        f"--keys={work.keys}" if work.keys else f"--header=authorization: Bearer {side.key}"
    ]
    command += [f"--body={write_body(body)}"]
    seen: dict[str, Any] = json.loads(subprocess.check_output(command, timeout=work.seconds + 120))
    return seen


def write_body(body: dict[str, object]) -> str:
    """Write JSON as the SDKs do: without spaces."""
    return json.dumps(body, separators=(",", ":"))


def read_both(side: Side) -> tuple[float, float]:
    beside = 0.0 if side.beside is None else read_cpu_seconds(side.beside)
    return read_cpu_seconds(side.pid), beside


def _take_medians(samples: Sequence[Sample]) -> Sample:
    return Sample(*(statistics.median(figures) for figures in zip(*samples, strict=True)))
