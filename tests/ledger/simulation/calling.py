"""Calls: they come, hold, leave in steps any of which may be the last, and are answered."""

from __future__ import annotations

from billing.ledger import core
from billing.ledger.core import NOT_DRAWN
from tests.ledger.simulation.world import World


def call(world: World) -> bool:
    """A call comes: it holds what it needs at once, or waits for a draw."""
    process = world.choose()
    if process is None or process.has_ended or world.local(process) > process.lease_ends:
        return False
    quotas = world.chance.sample(world.quotas, world.chance.randint(1, 3))
    need = world.chance.choice((0, 1, 5, 20, 100, 400))
    claims = [
        (world.account(process, quota), NOT_DRAWN if quota.limit is None else need)
        for quota in quotas
    ]
    if any(account.waiting for account, _ in claims) or not core.hold(claims):
        for account, _ in claims:
            account.waiting += 1
        process.waiters.append(claims)
    else:
        world.admit(process, claims)
    return True


def go_on(world: World) -> bool:
    """An attempt takes its next step on the way out, each of which may be the last."""
    process = world.choose(leaving=True)
    open_still = [a for a in process.attempts if a.state != "left"] if process else []
    if process is None or not open_still:
        return False
    attempt = world.chance.choice(open_still)
    if attempt.state == "held":
        process.spool[attempt.number] = attempt.fact(process.number)
        world.recorded.add(attempt.number)
        attempt.state = "recorded"
    elif attempt.state == "recorded":
        if world.local(process) > process.lease_ends:
            world.counts["stopped by its lease"] += 1
            world.forget(process, attempt)
        else:
            attempt.state = "cleared"
    elif world.chance.random() < 0.1:
        world.forget(process, attempt)  # No connection was made: nothing left.
    else:
        attempt.state = "left"
        world.let_go(attempt)
    return True


def finish(world: World) -> bool:
    """The provider has answered; the process that asked writes it down."""
    process = world.choose(leaving=True)
    under_way = [a for a in process.attempts if a.state == "left"] if process else []
    if process is None or not under_way:
        return False
    attempt = world.chance.choice(under_way)
    process.attempts.remove(attempt)
    share = world.chance.choice((0, 0.3, 1, 1, 1.5 if world.chance.random() < 0.1 else 0.9))
    amounts = [
        int(share * need) if need != NOT_DRAWN else world.chance.randint(0, 50)
        for _, need in attempt.claims
    ]
    fact = attempt.fact(process.number, amounts)
    world.truths[attempt.number] = fact.amounts
    for (account, need), amount in zip(attempt.claims, amounts, strict=True):
        if need != NOT_DRAWN:
            world.exposed[account.window] -= need - min(amount, need)
    process.spool[attempt.number] = fact
    core.use(attempt.claims, amounts, attempt.used)
    process.queue.append((attempt, fact))
    return True
