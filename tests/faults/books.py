"""The provider's books beside ours: every request that it received has one fact, and the right one.

Reads only. What the provider says that it was asked and used is the truth; facts, adjustments and
windows are held against it, and what each caller was told as well.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from local.children import wait_until
from tests.faults.figures import longest_stall
from tests.faults.load import Load, Outcome
from tests.parts import Parts

SETTLED_SECONDS = 20.0
FACTS = """
    SELECT row_to_json(e)::text, coalesce((
        SELECT sum(a.amount) FROM adjustment a WHERE a.event_id = e.id AND a.window_id IS NULL
    ), 0)::bigint, EXISTS (
        SELECT 1 FROM adjustment a WHERE a.event_id = e.id AND a.window_id IS NULL
    ) FROM usage_event e
"""
WINDOWS = """
    SELECT q.scope, q.limit, w.posted, w.overrun, w.drawn
    FROM quota_window w JOIN quota q ON q.id = w.quota_id WHERE q.limit IS NOT NULL
"""
OF_THE_DEAD = """
    SELECT count(*) FROM allowance a LEFT JOIN gateway_process p ON p.id = a.process_id
    WHERE p.id IS NULL OR p.ended_at IS NOT NULL OR p.lease_until < clock_timestamp()
"""
OUTPUT_TICKS = 1_000_000  # What world.py declares: $100 per million tokens of output, input free.


@dataclass
class Books:
    """What was found; `problems` is empty when every promise was kept."""

    received: int = 0
    events: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    corrected: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    over_limit: int = 0
    problems: list[str] = field(default_factory=list)

    def describe(self) -> str:
        outcomes = ", ".join(f"{name} {n}" for name, n in sorted(self.outcomes.items()))
        return (
            f"received by the provider {self.received}, events {self.events} ({outcomes}; "
            f"corrected later {self.corrected}), lost {len(self.lost)}, doubled "
            f"{len(self.doubled)}, over the limit {self.over_limit}"
        )


def assert_books_agree(parts: Parts, load: Load, note: Callable[[str], None]) -> Books:
    """Give settlement its time; then every promise has to hold, and no gateway failed inside."""
    wait_until(lambda: compare(parts, load.outcomes).problems == [], SETTLED_SECONDS)
    books = compare(parts, load.outcomes)
    stall = longest_stall(load.outcomes)
    note(f"calls {len(load.outcomes)}: {load.describe()}; longest stall {stall:.2f} s")
    note(books.describe())
    assert books.problems == []
    assert parts.manage("check_ledger").startswith("Differences: none.")
    assert parts.list_tracebacks() == []
    return books


def compare(parts: Parts, told: Iterable[Outcome]) -> Books:
    """Hold everything against everything."""
    receipts = {r["call_id"]: r for r in parts.provider.received()["requests"]}
    rows = parts.rows(FACTS)
    facts = {fact["id"]: (fact, more, known) for fact, more, known in map(_read, rows)}
    books = Books(received=parts.provider.received()["total"], events=len(facts))
    books.outcomes.update(fact["outcome"] for fact, _, _ in facts.values())
    books.corrected = sum(known for _, _, known in facts.values())
    books.lost = sorted(receipts.keys() - facts.keys())
    _note(books, len(receipts) != books.received, "two requests carried the same id")
    _find_doubled(books, [fact for fact, _, _ in facts.values()])
    for id_, (fact, more, known) in facts.items():
        _check_fact(books, receipts.get(id_), fact, more=more, known=known)
    _check_told(books, facts.values(), told)
    _check_windows(books, parts)
    _note(books, bool(books.lost), f"lost: {books.lost[:5]}")
    _note(books, bool(books.doubled), f"doubled: {books.doubled[:5]}")
    return books


def _read(row: tuple[Any, ...]) -> tuple[dict[str, Any], int, bool]:
    return json.loads(row[0]), row[1], row[2]


def _find_doubled(books: Books, facts: list[dict[str, Any]]) -> None:
    """No call here is retried, so a call or an answer with two facts was counted twice."""
    for name in ("call_id", "upstream_id"):
        seen = Counter(fact[name] for fact in facts if fact[name])
        books.doubled += [each for each, times in seen.items() if times > 1]


def _check_fact(
    books: Books, receipt: dict[str, Any] | None, fact: dict[str, Any], *, more: int, known: bool
) -> None:
    """The provider's figures where they were read, else all that was held, as unknown."""
    name = f"event {fact['id']} ({fact['outcome']})"
    if fact["outcome"] == "answered" or known:
        truth = (receipt or {}).get("usage")
        _note(books, truth is None, f"{name} has figures that the provider never sent")
        if truth is not None:
            right = truth["completion_tokens"] * OUTPUT_TICKS
            paid = fact["cost_ticks"] + more
            _note(books, paid != right, f"{name} costs {paid} ticks instead of {right}")
    elif fact["outcome"] == "unknown":
        paid, held = fact["cost_ticks"], fact["held_ticks"]
        _note(books, paid != held, f"{name} costs {paid} ticks but {held} were held")
    else:
        _note(books, True, f"{name} was not to be expected here")


def _check_told(
    books: Books, facts: Iterable[tuple[dict[str, Any], int, bool]], told: Iterable[Outcome]
) -> None:
    """Who was given the end of an answer finds it settled; who was refused finds nothing."""
    known = {fact["call_id"]: fact["outcome"] == "answered" or late for fact, _, late in facts}
    for outcome in told:
        if outcome.kind == "answered" and not known.get(outcome.call_id):
            _note(books, True, f"call {outcome.call_id} was answered, and its figures are missing")
        if outcome.kind == "refused" and outcome.call_id in known:
            _note(books, True, f"call {outcome.call_id} was refused ({outcome.code}) and charged")


def _check_windows(books: Books, parts: Parts) -> None:
    for scope, limit, posted, overrun, drawn in parts.rows(WINDOWS):
        books.over_limit = max(books.over_limit, posted + overrun + drawn - limit)
        _note(books, overrun != 0, f"the quota of the {scope} has an overrun of {overrun}")
    _note(books, books.over_limit > 0, f"a limit was exceeded by {books.over_limit} ticks")
    ((count,),) = parts.rows(OF_THE_DEAD)
    _note(books, count != 0, f"{count} allowances belong to processes that are gone")


def _note(books: Books, holds: bool, problem: str) -> None:
    if holds:
        books.problems.append(problem)
