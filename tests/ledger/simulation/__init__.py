"""Gateway processes and a database whose every exchange can go wrong, in one seeded random order.

The decisions are core.py's and the database is model.py; this file adds time and bad luck. Each
step is one thing that happens: a call comes, a statement arrives, its answer comes back or never
does, a process is killed or stopped for a while, a clock jumps. A statement whose sender has given
up may still be carried out later, as it may in a server that was stopped. After each step the
promises hold that model.check and Simulation.look speak of; heal() brings an episode to its end,
and then every attempt that left is one fact with its true figures, and nothing is drawn.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

from tests.ledger.simulation import asking, calling, misfortune
from tests.ledger.simulation.world import Process, World

# What may happen, and how often it is tried.
ACTIONS: dict[str, tuple[float, Callable[[World], bool]]] = {
    "call": (200, calling.call),
    "go_on": (300, calling.go_on),
    "finish": (120, calling.finish),
    "draw": (120, asking.draw),
    "give_back": (30, asking.give_back),
    "renew": (60, asking.renew),
    "settle": (80, asking.settle),
    "arrive": (250, misfortune.arrive),
    "answer": (250, misfortune.answer),
    "sever": (6, misfortune.sever),
    "restart_database": (1, misfortune.restart_database),
    "kill": (1, misfortune.kill),
    "stop": (1, misfortune.stop),
    "stall": (0.4, misfortune.stall),
    "jump": (3, misfortune.jump),
    "change_limit": (4, misfortune.change_limit),
    "reap": (8, misfortune.reap),
    "sweep": (8, misfortune.sweep),
    "replace": (20, misfortune.replace),
}
NAMES = list(ACTIONS)
WEIGHTS = list(itertools.accumulate(weight for weight, _ in ACTIONS.values()))


class Simulation(World):
    """An episode: some steps, then heal()."""

    def step(self) -> None:
        """Let one thing happen, and look at what is promised."""
        while True:
            self.now += self.chance.expovariate(40)
            (action,) = self.chance.choices(NAMES, cum_weights=WEIGHTS)
            if ACTIONS[action][1](self):
                self.counts[action] += 1
                break
        self.look()

    def look(self) -> None:
        """What the database promises of its windows, and that every claim is paid for there."""
        self.model.check()
        for process in self.processes:
            if process.number in self.model.alive:
                self._check_claims(process)

    def _check_claims(self, process: Process) -> None:
        """What a process has claimed and not settled lies in its allowances in the database."""
        claimed = {window: a.taken for window, a in process.accounts.items()}
        for account in process.accounts.values():
            assert 0 <= account.taken <= account.amount, account
        for attempt, fact in process.queue:
            if fact.attempt in self.model.facts:  # Settled, and its answer is still to come.
                for (account, need), amount in zip(attempt.claims, fact.amounts, strict=True):
                    claimed[account.window] -= min(amount, need) if need >= 0 else 0
        for window, claim in claimed.items():
            mine = self.model.allowances[window].get(process.number)
            assert claim <= (mine.amount if mine else 0), (process.number, window, claim, mine)

    def heal(self) -> None:
        """Let everything come to rest, and look at what is left: the facts, and nothing else."""
        self.is_up = True
        for process in [*self.processes, *self.leaving]:
            process.stopped_until = 0.0
        self._give_up()
        for process in [*self.processes, *self.leaving]:
            for attempt in [a for a in process.attempts if a.state != "left"]:
                self.forget(process, attempt)
            self.abandoned.append(process)
        for process in self.abandoned:
            facts = [*process.spool.values(), *(fact for _, fact in process.queue)]
            self.model.reap(process.number, facts)
            self.model.late(process.number, facts)
            self.model.credit_captured(process.number)
        self.model.check_all()
        self._check_end()

    def _give_up(self) -> None:
        for process in [*self.processes, *self.leaving]:
            for statement in (process.drawing, process.settling):
                if statement is not None:
                    self.abandon(statement)
                    statement.fail()
            process.waiters = []
        while misfortune.arrive(self):
            self.look()

    def _check_end(self) -> None:
        model = self.model
        assert all(row.drawn == 0 for row in model.windows.values())
        assert model.conflicts == set()
        assert self.left.keys() <= model.facts.keys() <= self.recorded
        assert sum(model.captured.values()) == 0
        for number, fact in model.facts.items():
            final = model.corrected.get(number, fact).amounts
            expected = self.truths.get(number)
            assert expected is None or final == expected, (number, final, expected)
            assert expected is not None or not fact.is_known
