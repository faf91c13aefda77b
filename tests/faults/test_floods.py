"""A thousand calls at once at four processes: as many as their budget has room for, and no more.

Every call holds four windows: those of its organization, project, member and key, one of which is
the one that is too small. Quotas and windows are made from the outside in and from the inside out,
so that whoever locked them in the order of a call would wait for somebody who did it the other way.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import pytest

from tests.faults.books import OUTPUT_TICKS, assert_books_agree
from tests.faults.load import Ask, Load, Outcome
from tests.faults.world import declare_model
from tests.parts import Parts, Servers, run_parts

pytestmark = pytest.mark.slow
Note = Callable[[str], None]

PROCESSES = 4
CALLS = 1000
FITTING = 50
LEVELS = ("organization", "project", "member", "key")
ORDERS = ("from the outside in", "from the inside out")

EQUAL = (Ask("demo-fixed-100", 100, stream=False),)
DIFFERENT = tuple(Ask(f"demo-fixed-{n}", n, stream=n % 20 == 10) for n in (30, 70, 110, 170, 230))
# Held for a second at five times what they come to.
SHORTER = (Ask("demo-chunks-50-20", 250, stream=False), Ask("demo-chunks-50-20", 250, stream=True))
ASKS = {"equal": EQUAL, "different": DIFFERENT, "shorter": SHORTER, "in turn": EQUAL}
BUDGET_TOKENS = {**dict.fromkeys(ASKS, FITTING * 100), "shorter": 40 * 100}
NEEDLESS_SECONDS = 0.5


class Case(NamedTuple):
    """An organization whose budget is too small at one level; plenty is left at the others."""

    level: str
    order: str
    costs: str

    @property
    def slug(self) -> str:
        return f"{self.level}-{ORDERS.index(self.order)}-{self.costs.replace(' ', '-')}"

    def email(self, number: int) -> str:
        return f"{number}.{self.slug}@example.org"

    def quotas(self, level: str) -> list[dict[str, Any]]:
        tokens = BUDGET_TOKENS[self.costs] * (1 if level == self.level else CALLS)
        limit = f"{tokens / 10_000:.4f}"
        quota = {"unit": "cost", "limit": limit, "window": "lifetime"}
        return [quota if level in ("organization", "project") else {**quota, "clamp": False}]

    def declare(self, levels: Sequence[str]) -> dict[str, Any]:
        """The organization with the quotas of these levels: as many keys, projects and members as
        share the one that is too small."""
        limits = {level: {"quotas": self.quotas(level)} for level in levels}
        keys = [{"name": f"{self.slug} {n}", **limits.get("key", {})} for n in range(4)]
        if self.level == "key":
            keys = keys[:1]
        halves = [keys[:2], keys[2:]] if self.level in ("organization", "member") else [keys]
        projects = [
            {"slug": f"p{n}", "keys": half, **limits.get("project", {})}
            for n, half in enumerate(halves)
        ]
        members = [
            {"email": self.email(n), "role": "member", **limits.get("member", {})} for n in range(2)
        ]
        return {
            "slug": self.slug,
            "name": self.slug,
            "projects": projects,
            "members": members,
            **limits.get("organization", {}),
        }


CASES = [Case(level, order, "equal") for level in LEVELS for order in ORDERS]
CASES += [Case("organization", ORDERS[0], "different"), Case("key", ORDERS[1], "different")]
CASES += [Case("project", ORDERS[0], "shorter"), Case("member", ORDERS[0], "in turn")]
OWN = (
    "UPDATE api_key k SET owner_id = m.id"
    " FROM membership m JOIN accounts_user u ON u.id = m.user_id"
    " WHERE m.organization_id = k.organization_id AND u.email = %s AND k.name = %s"
    " RETURNING k.id"
)


class Flooded:
    """Four gateways of a process each, and the keys of all cases."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.keys = {}
        for order in ORDERS:
            levels = LEVELS if order == ORDERS[0] else ("member", "key")
            self.keys.update(self._apply(order, levels))
        self._apply(ORDERS[1], LEVELS)
        for case in CASES:
            for n, name in enumerate(self.names(case)):
                # The keys of one project belong to both members.
                member = 0 if case.level == "member" else n % 2
                assert len(parts.rows(OWN, case.email(member), name)) == 1
        self.urls = [parts.serve().url for _ in range(PROCESSES)]

    def names(self, case: Case) -> list[str]:
        return sorted(name for name in self.keys if name.startswith(f"{case.slug} "))

    def load(self, case: Case, seed: int) -> Load:
        keys = [self.keys[name] for name in self.names(case)]
        return Load(self.urls, keys, ASKS[case.costs], seed)

    def spent(self, case: Case) -> int:
        ((ticks,),) = self.parts.rows(
            "SELECT coalesce(sum(e.cost_ticks), 0)::bigint FROM usage_event e"
            " JOIN organization o ON o.id = e.organization WHERE o.slug = %s",
            case.slug,
        )
        return int(ticks)

    def _apply(self, order: str, levels: Sequence[str]) -> dict[str, str]:
        provider = {"name": "demo", "protocol": "openai", "credential": "literal:demo"}
        models = {ask.model for ask in (*EQUAL, *DIFFERENT, *SHORTER)}
        return self.parts.apply(
            {
                "providers": [{**provider, "base_url": f"{self.parts.provider.url}/v1"}],
                "models": [declare_model(name) for name in sorted(models)],
                "organizations": [c.declare(levels) for c in CASES if c.order == order],
            }
        )


@pytest.fixture(scope="module")
def flooded(servers: Servers) -> Iterator[Flooded]:
    with run_parts(servers) as parts:
        yield Flooded(parts)


def flood(load: Load) -> list[Outcome]:
    """A thousand at once. Who was told that the database is late asks again, as SDKs do; returns
    what each was told in the end."""
    load.burst(CALLS)
    told = load.outcomes.copy()
    while late := [outcome for outcome in told if outcome.code == "ledger_away"]:
        told = [outcome for outcome in told if outcome.code != "ledger_away"]
        before = len(load.outcomes)
        load.burst(len(late))
        told += load.outcomes[before:]
    return told


def assert_nobody_waited_for_each_other(parts: Parts, load: Load, note: Note) -> None:
    """Every refusal is about money, and the database knows of no deadlock."""
    assert load.count().keys() <= {"answered", "insufficient_quota", "ledger_away"}
    assert_books_agree(parts, load, note)
    query = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    assert parts.rows(query) == [(0,)]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("level", LEVELS)
def test_exactly_as_many_calls_as_fit_reach_the_provider(
    flooded: Flooded, seed: int, note: Note, level: str, order: str
) -> None:
    case, before = Case(level, order, "equal"), flooded.parts.count_received()
    load = flooded.load(case, seed)
    told = flood(load)
    assert flooded.parts.count_received() - before == FITTING
    assert sum(outcome.kind == "answered" for outcome in told) == FITTING
    assert_nobody_waited_for_each_other(flooded.parts, load, note)
    assert flooded.spent(case) == BUDGET_TOKENS["equal"] * OUTPUT_TICKS


@pytest.mark.parametrize("case", [case for case in CASES if case.costs == "different"])
def test_what_is_left_of_a_budget_is_less_than_any_call_that_was_refused(
    flooded: Flooded, seed: int, note: Note, case: Case
) -> None:
    load = flooded.load(case, seed)
    told = flood(load)
    assert_nobody_waited_for_each_other(flooded.parts, load, note)
    left = BUDGET_TOKENS[case.costs] - flooded.spent(case) // OUTPUT_TICKS
    smallest = min(outcome.tokens for outcome in told if outcome.kind == "refused")
    note(f"left {left} tokens, the smallest call that was refused {smallest}")
    assert 0 <= left < smallest


def test_nobody_is_refused_what_lay_idle_for_half_a_second(
    flooded: Flooded, seed: int, note: Note
) -> None:
    case = Case("project", ORDERS[0], "shorter")
    load = flooded.load(case, seed)
    with load.flowing(40, pause_seconds=0.2):
        flooded.parts.until(lambda: flooded.spent(case) >= 30 * 100 * OUTPUT_TICKS)
    refused = [outcome for outcome in load.outcomes if outcome.code == "insufficient_quota"]
    rooms = [(find_room(load.outcomes, case, outcome), outcome.tokens) for outcome in refused]
    note(f"refused {len(refused)}, of them needlessly {sum(r >= n for r, n in rooms)}")
    assert refused
    assert [room for room, needed in rooms if room >= needed] == []
    assert_nobody_waited_for_each_other(flooded.parts, load, note)


def test_a_process_gets_what_lies_idle_at_the_others(
    flooded: Flooded, seed: int, note: Note
) -> None:
    case = Case("member", ORDERS[0], "in turn")
    load, told = flooded.load(case, seed), list[str]()
    while told.count("refused") < PROCESSES:
        turn = len(told) % PROCESSES
        load.urls = flooded.urls[turn : turn + 1]
        load.burst(1)
        if load.outcomes[-1].code != "ledger_away":
            told.append(load.outcomes[-1].kind)
    assert told == ["answered"] * FITTING + ["refused"] * PROCESSES
    assert_nobody_waited_for_each_other(flooded.parts, load, note)


def find_room(outcomes: Sequence[Outcome], case: Case, refused: Outcome) -> int:
    """At least so many tokens were neither used nor held by anybody throughout the time before a
    refusal: whoever had begun by then is taken to have held all of its bound until it was told."""
    until = refused.began + refused.seconds
    since = until - NEEDLESS_SECONDS
    taken = 0
    for outcome in outcomes:
        if outcome.kind == "answered" and outcome.began < until:
            is_over = outcome.began + outcome.seconds < since
            taken += 50 if is_over else outcome.tokens
    return BUDGET_TOKENS[case.costs] - taken
