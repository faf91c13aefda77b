"""The ledger's SQL comes to what its model says, whatever is done to it in whatever order."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from billing.ledger import late, processes, settlement
from billing.ledger.core import NOT_DRAWN, Want
from billing.ledger.spool import DONE, Spool
from billing.usage import Outcome, UsageEvent, UsageSource, new_id
from tests.billing.facts import make_event
from tests.ledger.making import make_rule, open_window
from tests.ledger.model import Fact, Model, ProcessEnded

pytestmark = pytest.mark.django_db(transaction=True)

DRAW = "SELECT granted, refused_by FROM ledger_draw(%s, %s, %s, %s, %s, %s, %s, %s, %s)"
LIMITS = st.none() | st.integers(0, 1000) | st.integers(1000, 3000)
CALLS = st.lists(
    st.dictionaries(st.integers(0, 2), st.integers(0, 120), min_size=1), min_size=1, max_size=4
)
SHARES = st.sampled_from([0.0, 0.3, 1.0, 1.0, 1.6])
SCOPES = itertools.count(1)

# How often each is drawn. One rule draws them, as Hypothesis leaves out some rules of each example.
THINGS = [
    name
    for name, weight in {
        "call": 5,
        "end": 3,
        "settle": 3,
        "settle_late": 3,
        "reap": 2,
        "give_back": 1,
        "put_up_a_fence": 1,
        "change_a_limit": 1,
    }.items()
    for _ in range(weight)
]


class Ledgers(RuleBasedStateMachine):
    """The same is done to the model and to PostgreSQL, and then both are looked at."""

    dsn = ""

    @initialize(limits=st.lists(LIMITS, min_size=3, max_size=3))
    def begin(self, limits: list[int | None]) -> None:
        self.runner = asyncio.Runner()
        self.connection = self.run(psycopg.AsyncConnection.connect(self.dsn, autocommit=True))
        self.folder = tempfile.TemporaryDirectory()
        self.model = Model()
        self.ids: dict[int, str] = {}  # Of processes and attempts, by their numbers.
        self.quotas: dict[int, int] = {}
        self.spools: dict[int, dict[int, Fact]] = {}
        self.under_way: dict[int, Fact] = {}
        self.done: dict[int, Fact] = {}
        for limit in limits:
            self.open_window(limit)
        self.windows = sorted(self.quotas)
        for _ in range(2):
            self.add_process()

    @rule(thing=st.sampled_from(THINGS), data=st.data())
    def something_happens(self, thing: str, data: st.DataObject) -> None:
        getattr(self, thing)(data.draw)

    def call(self, draw: st.DrawFn) -> None:
        """Calls wait for a draw; those that it serves leave, and some of them end."""
        process = draw(st.sampled_from(sorted(self.spools)))
        calls, growth, share = draw(CALLS), draw(st.integers(1, 8)), draw(st.integers(1, 4))
        wants = [[Want(p, need, need * growth) for p, need in sorted(c.items())] for c in calls]
        spare = [self.free(process, window) for window in self.windows]
        fence = self.model.alive.get(process, 0)
        flat = [(n, *want) for n, some in enumerate(wants, start=1) for want in some]
        arguments = [
            *(self.ids[process], self.windows, spare, [n for n, *_ in flat]),
            *([p + 1 for _, p, _, _ in flat], [need for _, _, need, _ in flat]),
            *([want for *_, want in flat], share, fence),
        ]
        try:
            draws = self.model.draw(
                process, self.windows, spare, wants, processes=share, fence=fence
            )
        except ProcessEnded:
            with pytest.raises(psycopg.Error, match="has ended"):
                self.sql(DRAW, *arguments)
            return
        refused = [0 if place is None else place + 1 for place in draws.refused_by]
        assert self.sql(DRAW, *arguments) == [(draws.granted, refused)]
        for needs, refusing in zip(calls, draws.refused_by, strict=True):
            if refusing is None:
                self.send(process, needs)

    def send(self, process: int, needs: dict[int, int]) -> None:
        """An attempt is written to the spool. A window that it needs nothing of only counts it."""
        holds = tuple(needs.get(place, NOT_DRAWN) for place in range(len(self.windows)))
        amounts = tuple(max(hold, 0) for hold in holds)
        number = self.new_number()
        fact = Fact(number, process, tuple(self.windows), amounts, holds, is_known=False)
        self.under_way[number] = self.spools[process][number] = fact

    def end(self, draw: st.DrawFn) -> None:
        """An attempt is answered; its process writes it down."""
        if self.under_way:
            sent = self.under_way.pop(draw(st.sampled_from(sorted(self.under_way))))
            share = draw(SHARES)
            amounts = tuple(30 if hold == NOT_DRAWN else int(hold * share) for hold in sent.holds)
            fact = sent._replace(amounts=amounts, is_known=True)
            self.done[fact.attempt] = self.spools[fact.process][fact.attempt] = fact

    def settle(self, draw: st.DrawFn) -> None:
        """Some finished attempts, some of them twice, one perhaps with other figures as well."""
        if not self.done:
            return
        process = draw(st.sampled_from(sorted({f.process for f in self.done.values()})))
        facts = [fact for fact in self.done.values() if fact.process == process]
        chosen = draw(st.lists(st.sampled_from(facts), min_size=1, max_size=6))
        if draw(st.integers(0, 3)) == 0:
            false = chosen[0]._replace(amounts=tuple(n + 1 for n in chosen[0].amounts))
            chosen.append(false)
        try:
            self.model.settle(process, chosen)
        except ProcessEnded:
            with pytest.raises(settlement.ProcessEnded):
                self.settle_in_sql(process, chosen)
            self.model.late(process, chosen)
            self.late_in_sql(process, chosen)
        else:
            self.settle_in_sql(process, chosen)

    def reap(self, draw: st.DrawFn) -> None:
        """A process is ended, with its spool or without."""
        if len(self.under_way) + len(self.done) < 2 * len(self.model.ended):
            return
        process = draw(st.sampled_from(sorted(self.spools)))
        is_lost, facts = draw(st.booleans()), list(self.spools[process].values())
        is_first = process in self.model.alive
        folder = Path(self.folder.name) / self.ids[process]
        if is_first and not is_lost:
            spool = Spool(folder)
            for fact, payload in zip(facts, self.payloads(facts), strict=True):
                spool.note(DONE, self.ids[fact.attempt], payload)
            spool.close(remove=False)
        ended = processes.reap(self.connection, self.ids[process], folder, is_dead=True)
        assert self.run(ended) == is_first
        self.model.reap(process, None if is_lost else facts)
        if is_first:
            self.add_process()

    def settle_late(self, draw: st.DrawFn) -> None:
        """The spool of an ended process turns up, or it wakes up and tells how attempts ended."""
        if not self.model.ended:
            return
        process = draw(st.sampled_from(sorted(self.model.ended)))
        facts, is_whole = list(self.spools[process].values()), draw(st.booleans())
        if facts and not is_whole:
            facts = draw(st.lists(st.sampled_from(facts), max_size=4))
        self.model.late(process, facts)
        self.late_in_sql(process, facts)
        if is_whole:
            self.model.credit_captured(process)
            self.run(late.credit_captured(self.connection, process=self.ids[process]))

    def give_back(self, draw: st.DrawFn) -> None:
        process = draw(st.sampled_from(sorted(self.spools)))
        amounts = [
            draw(st.integers(0, max(self.free(process, window), 0))) for window in self.windows
        ]
        fence = max(self.model.alive.get(process, 0) - draw(st.integers(0, 1)), 0)
        self.model.give_back(process, self.windows, amounts, fence=fence)
        self.sql(
            "SELECT ledger_give_back(%s, %s, %s, %s)::text",
            *(self.ids[process], self.windows, amounts, fence),
        )

    def put_up_a_fence(self, draw: st.DrawFn) -> None:
        process = draw(st.sampled_from(sorted(self.model.alive)))
        fence = self.model.alive[process] + 1
        self.model.fence(process, fence)
        self.sql(
            "UPDATE gateway_process SET fence = %s WHERE id = %s RETURNING fence",
            *(fence, self.ids[process]),
        )

    def change_a_limit(self, draw: st.DrawFn) -> None:
        window, limit = draw(st.sampled_from(self.windows)), draw(st.integers(0, 3000))
        self.model.set_limit(window, limit)
        self.sql(
            'UPDATE quota SET "limit" = %s WHERE id = %s RETURNING id', limit, self.quotas[window]
        )

    @invariant()
    def both_say_the_same(self) -> None:
        model = self.model
        model.check()
        found = self.sql(
            'SELECT id, "limit", ceiling, posted, overrun, drawn FROM quota_window'
            " WHERE id = ANY (%s) ORDER BY id",
            self.windows,
        )
        rows = [(w, model.windows[w]) for w in self.windows]
        assert found == [
            (w, row.limit, row.ceiling, row.posted, row.overrun, row.drawn) for w, row in rows
        ]
        allowances = self.sql(
            "SELECT window_id, process_id::text, amount, granted FROM allowance"
            " WHERE window_id = ANY (%s)",
            self.windows,
        )
        assert set(allowances) == {
            (window, self.ids[process], each.amount, each.granted)
            for window in self.windows
            for process, each in model.allowances[window].items()
        }
        adjustments = self.sql(
            "SELECT window_id, amount, reason FROM adjustment WHERE window_id = ANY (%s)",
            self.windows,
        )
        expected = [(each.window, each.amount, each.reason) for each in model.adjustments]
        assert sorted(adjustments) == sorted(expected)
        assert self.count_stored() == [len(model.facts), len(model.conflicts), 0]

    def count_stored(self) -> list[int]:
        """Return how many of the attempts are facts, in conflict, and set aside."""
        ours = [self.ids[number] for number in self.ids.keys() - self.spools.keys()]
        return [
            self.sql(f"SELECT count(*) FROM {table} WHERE {column} = ANY (%s::uuid[])", ours)[0][0]
            for table, column in (
                ("usage_event", "id"),
                ("settlement_conflict", "event_id"),
                ("rejected_event", "event_id"),
            )
        ]

    def free(self, process: int, window: int) -> int:
        """Return what a process has drawn of a window and no unsettled attempt claims."""
        mine = self.model.allowances[window].get(process)
        claimed = sum(
            min(amount, hold)
            for fact in self.spools[process].values()
            if fact.attempt not in self.model.facts
            for w, amount, hold in zip(fact.windows, fact.amounts, fact.holds, strict=True)
            if w == window and hold != NOT_DRAWN
        )
        return mine.amount - claimed if mine else 0

    def open_window(self, limit: int | None) -> None:
        made = self.run(make_rule(self.connection, limit, scope_id=next(SCOPES)))
        window = self.run(open_window(self.connection, made))
        self.quotas[window] = made.id
        self.model.open_window(window, limit)

    def add_process(self) -> None:
        number = self.new_number()
        self.spools[number] = {}
        self.model.register(number)
        self.run(processes.register(self.connection, self.ids[number]))

    def new_number(self) -> int:
        number = len(self.ids) + 1
        self.ids[number] = new_id()
        return number

    def settle_in_sql(self, process: int, facts: Sequence[Fact]) -> None:
        self.run(
            settlement.settle(
                self.connection,
                process=self.ids[process],
                events=self.payloads(facts),
                windows=self.windows,
            )
        )

    def late_in_sql(self, process: int, facts: Sequence[Fact]) -> None:
        self.run(
            late.settle_late(
                self.connection, process=self.ids[process], events=self.payloads(facts)
            )
        )

    def payloads(self, facts: Sequence[Fact]) -> list[bytes]:
        return [msgspec.json.encode(self.event(fact)) for fact in facts]

    def event(self, fact: Fact) -> UsageEvent:
        """Return the event that says what a fact of the model says."""
        return make_event(
            id=self.ids[fact.attempt],
            call_id=self.ids[fact.attempt],
            process=self.ids[fact.process],
            outcome=Outcome.ANSWERED if fact.is_known else Outcome.UNKNOWN,
            usage_source=UsageSource.REPORTED if fact.is_known else UsageSource.HELD,
            cost_ticks=sum(fact.amounts),
            windows=list(fact.windows),
            window_amounts=list(fact.amounts),
            window_holds=list(fact.holds),
        )

    def run(self, coroutine: Any) -> Any:
        return self.runner.run(coroutine)

    def sql(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        async def fetch() -> list[tuple[Any, ...]]:
            cursor = await self.connection.execute(query, values)
            rows: list[tuple[Any, ...]] = await cursor.fetchall()
            return rows

        return self.runner.run(fetch())

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            self.run(self.connection.close())
            self.runner.close()
            self.folder.cleanup()


@pytest.mark.parametrize(
    ("examples", "steps"), [(30, 50), pytest.param(100, 100, marks=pytest.mark.slow)]
)
def test_the_database_does_what_its_model_says(dsn: str, examples: int, steps: int) -> None:
    machine = type("Machine", (Ledgers,), {"dsn": dsn})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
