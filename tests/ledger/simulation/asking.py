"""What a process says to the database, and what it makes of the answer: as draws.py has it,
settler.py and identity.py. A statement that failed may be carried out all the same."""

from __future__ import annotations

from typing import Any

from billing.ledger import core
from billing.ledger.core import NOT_DRAWN, Want
from tests.ledger.model import ProcessEnded
from tests.ledger.simulation.world import LEASE, PROCESSES, RENEW, TRUSTED, Claims, Process, World


def draw(world: World) -> bool:
    process = world.choose()
    if process is None or process.drawing or not process.waiters or process.has_ended:
        return False
    asked = {account.window for claims in process.waiters for account, _ in claims}
    if asked & process.doubtful:
        _resolve(world, process)
        return True
    batch, process.waiters = process.waiters, []
    drawn = {a.window: a for claims in batch for a, need in claims if need != NOT_DRAWN}
    ordered = [drawn[window] for window in sorted(drawn)]
    places = {account.window: place for place, account in enumerate(ordered)}
    wants = [
        [
            Want(places[account.window], need, need * 64 if account.granted else need)
            for account, need in claims
            if need != NOT_DRAWN
        ]
        for claims in batch
    ]
    windows, spare = [a.window for a in ordered], [a.free for a in ordered]
    number, fence, share = process.number, process.fence, world.chance.randint(1, PROCESSES)
    process.doubtful.update(windows)

    def run() -> core.Draws:
        if world.leases[number] < world.now:
            raise ProcessEnded
        return world.model.draw(
            number, windows, spare, wants, processes=share, fence=fence if world.fenced else 0
        )

    def answer(draws: Any) -> None:
        process.drawing = None
        if draws is None:
            process.has_ended = True
        else:
            for account, granted in zip(ordered, draws.granted, strict=True):
                core.credit(account, account.granted + granted)
            process.doubtful.difference_update(windows)
        _conclude(world, process, batch)

    def fail() -> None:
        process.drawing = None
        for claims in batch:
            world.leave(claims)

    process.drawing = world.say(run, answer, fail)
    return True


def _resolve(world: World, process: Process) -> None:
    """Find out which draws and returns did happen, and that no other one will."""
    number, process.fence = process.number, process.fence + 1
    fence = process.fence if world.fenced else 0

    def answer(granted: Any) -> None:
        process.drawing = None
        if granted is None:
            process.has_ended = True
            return
        for window in process.doubtful:
            core.credit(process.accounts[window], granted.get(window, 0))
        process.doubtful.clear()

    def fail() -> None:
        process.drawing = None

    process.drawing = world.say(lambda: world.model.fence(number, fence), answer, fail)


def _conclude(world: World, process: Process, batch: list[Claims]) -> None:
    for claims in batch:
        is_held = not process.has_ended and core.hold(claims)
        world.leave(claims)
        if is_held:
            world.admit(process, claims)
        else:
            world.counts["refused"] += 1


def give_back(world: World) -> bool:
    process = world.choose()
    if process is None or process.drawing or process.has_ended:
        return False
    idle = [
        account
        for account in process.accounts.values()
        if account.free > 0 and not account.waiting and account.window not in process.doubtful
    ]
    if not idle:
        return False
    idle.sort(key=lambda account: account.window)
    windows, amounts = [a.window for a in idle], [a.free for a in idle]
    for account, amount in zip(idle, amounts, strict=True):
        core.credit(account, account.granted - amount)
    process.doubtful.update(windows)
    number, fence = process.number, process.fence if world.fenced else 0

    def answer(_: Any) -> None:
        process.drawing = None
        process.doubtful.difference_update(windows)

    def fail() -> None:
        process.drawing = None

    process.drawing = world.say(
        lambda: world.model.give_back(number, windows, amounts, fence=fence), answer, fail
    )
    return True


def renew(world: World) -> bool:
    process = world.choose()
    if process is None or process.drawing or process.has_ended:
        return False
    started = world.local(process)
    if started - process.renewed < RENEW:
        return False
    process.renewed, number = started, process.number

    def run() -> bool:
        if number not in world.model.alive:
            raise ProcessEnded
        world.leases[number] = world.now + LEASE
        return True

    def answer(alive: Any) -> None:
        process.drawing = None
        if alive is None:
            process.has_ended = True
        else:
            process.lease_ends = started + TRUSTED

    def fail() -> None:
        process.drawing = None

    process.drawing = world.say(run, answer, fail)
    return True


def settle(world: World) -> bool:
    process = world.choose(leaving=True)
    if process is None or process.settling or not process.queue:
        return False
    batch = process.queue[: world.chance.randint(1, 8)]
    facts = [fact for _, fact in batch]
    facts += world.chance.sample(facts, world.chance.randint(0, len(facts)))
    world.chance.shuffle(facts)
    number, is_late = process.number, process.settles_late

    def run() -> bool:
        if is_late:
            world.model.late(number, facts)
        else:
            world.model.settle(number, facts)
        return True

    def answer(settled: Any) -> None:
        process.settling = None
        if settled is None:
            process.has_ended = process.settles_late = True
            return
        del process.queue[: len(batch)]
        for attempt, _ in batch:
            core.post(attempt.used)
            process.spool.pop(attempt.number, None)

    def fail() -> None:
        process.settling = None

    process.settling = world.say(run, answer, fail)
    return True
