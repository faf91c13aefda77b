"""What a simulation is made of: processes, what they have under way, and what is on its way."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from billing.ledger import core
from billing.ledger.core import NOT_DRAWN, Account, Used
from tests.ledger.model import Fact, Model

LEASE, TRUSTED, RENEW = 30.0, 25.0, 5.0
HOSTS = 2
PROCESSES = 4

Claims = list[tuple[Account, int]]


@dataclass(slots=True, frozen=True)
class Quota:
    """`period` 0 for a lifetime; `limit` None counts only."""

    number: int
    period: float
    limit: int | None


@dataclass(slots=True, eq=False)
class Attempt:
    """`state` goes held, recorded, cleared, left; whoever ends it takes it from its process."""

    number: int
    claims: Claims
    state: str = "held"
    used: Used = field(default_factory=dict)

    def fact(self, process: int, amounts: Iterable[int] | None = None) -> Fact:
        holds = tuple(need for _, need in self.claims)
        return Fact(
            self.number,
            process,
            tuple(account.window for account, _ in self.claims),
            tuple(max(hold, 0) for hold in holds) if amounts is None else tuple(amounts),
            holds,
            is_known=amounts is not None,
        )


@dataclass(slots=True, eq=False)
class Statement:
    """Something said to the database. `answer` is called with what came of it, if it is waited
    for; `fail` when the sender has given up."""

    run: Callable[[], Any]
    answer: Callable[[Any], None]
    fail: Callable[[], None]
    done: bool = False
    result: Any = None
    awaited: bool = True


@dataclass(slots=True, eq=False)
class Process:
    """One identity of a gateway process, as identity.py and draws.py have it."""

    number: int
    host: int
    drift: float
    skew: float
    lease_ends: float
    renewed: float
    accounts: dict[int, Account] = field(default_factory=dict)
    doubtful: set[int] = field(default_factory=set)
    waiters: list[Claims] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    queue: list[tuple[Attempt, Fact]] = field(default_factory=list)
    spool: dict[int, Fact] = field(default_factory=dict)
    drawing: Statement | None = None
    settling: Statement | None = None
    fence: int = 0
    has_ended: bool = False
    settles_late: bool = False
    stopped_until: float = 0.0

    def is_idle(self) -> bool:
        return not (self.attempts or self.queue or self.drawing or self.settling)


class World:
    """Everything there is. `seed` decides all; `fenced` False leaves out what keeps late statements
    out. `left`, `truths` and `recorded` are what really became of attempts; `exposed` is what those
    that left may cost of each window, and `highest` the highest limit that it ever had."""

    def __init__(self, seed: int, *, fenced: bool = True) -> None:
        self.chance = random.Random(seed)
        self.fenced = fenced
        self.model = Model()
        self.now = 1000.0
        self.is_up = True
        self.quotas = [
            Quota(0, 0, self.chance.randint(2000, 20000)),
            Quota(1, 300, self.chance.randint(500, 5000)),
            Quota(2, 60, self.chance.randint(100, 2000)),
            Quota(3, 300, None),
        ]
        self.processes: list[Process] = []
        self.leaving: list[Process] = []
        self.abandoned: list[Process] = []
        self.leases: dict[int, float] = {}
        self.statements: list[Statement] = []
        self.left: dict[int, Claims] = {}
        self.truths: dict[int, tuple[int, ...]] = {}
        self.recorded: set[int] = set()
        self.exposed: Counter[int] = Counter()
        self.highest: dict[int, int | None] = {}
        self.counts: Counter[str] = Counter()
        self.numbers = itertools.count(1)
        self.places: dict[tuple[int, int], int] = {}
        for _ in range(PROCESSES):
            self.begin(self.chance.randrange(HOSTS))

    def admit(self, process: Process, claims: Claims) -> None:
        process.attempts.append(Attempt(next(self.numbers), claims))
        self.counts["admitted"] += 1

    def let_go(self, attempt: Attempt) -> None:
        """The attempt may cost its hold from here on, whatever becomes of its process."""
        self.left[attempt.number] = attempt.claims
        for account, need in attempt.claims:
            if need == NOT_DRAWN:
                continue
            self.exposed[account.window] += need
            highest = self.highest[account.window]
            assert highest is None or self.exposed[account.window] <= highest, account

    def begin(self, host: int) -> None:
        number, drift = next(self.numbers), self.chance.uniform(-0.01, 0.01)
        self.model.register(number)
        self.leases[number] = self.now + LEASE
        started = self.now * (1 + drift)
        self.processes.append(
            Process(number, host, drift, 0.0, lease_ends=started + TRUSTED, renewed=started)
        )

    def all(self) -> Iterable[Process]:
        return itertools.chain(self.processes, self.leaving, self.abandoned)

    def choose(self, *, leaving: bool = False) -> Process | None:
        places = [*self.processes, *self.leaving] if leaving else self.processes
        process = self.chance.choice(places) if places else None
        return process if process and process.stopped_until <= self.now else None

    def local(self, process: Process) -> float:
        """Return what the process's own clock says, which runs a little fast or slow."""
        return self.now * (1 + process.drift)

    def account(self, process: Process, quota: Quota) -> Account:
        wall = self.now + process.skew
        place = (quota.number, int(wall // quota.period) if quota.period else 0)
        window = self.places.setdefault(place, len(self.places) + 1)
        if window not in self.model.windows:
            self.model.open_window(window, quota.limit)
            self.highest[window] = quota.limit
        if window not in process.accounts:
            process.accounts[window] = Account(window=window)
        return process.accounts[window]

    def leave(self, claims: Claims) -> None:
        for account, _ in claims:
            account.waiting -= 1

    def say(
        self, run: Callable[[], Any], answer: Callable[[Any], None], fail: Callable[[], None]
    ) -> Statement:
        statement = Statement(run, answer, fail)
        self.statements.append(statement)
        return statement

    def abandon(self, statement: Statement) -> None:
        statement.awaited = False
        if statement.done and statement in self.statements:
            self.statements.remove(statement)

    def forget(self, process: Process, attempt: Attempt) -> None:
        process.spool.pop(attempt.number, None)
        process.attempts.remove(attempt)
        core.release(attempt.claims)
