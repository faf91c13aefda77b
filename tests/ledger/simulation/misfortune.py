"""What goes wrong, and what sets it right: each returns False where there was nothing to do."""

from __future__ import annotations

from tests.ledger.model import ProcessEnded
from tests.ledger.simulation.world import HOSTS, PROCESSES, World


def arrive(world: World) -> bool:
    """A statement reaches the database, in whatever order, and is carried out."""
    waiting = [s for s in world.statements if not s.done]
    if not world.is_up or not waiting:
        return False
    statement = world.chance.choice(waiting)
    try:
        statement.result = statement.run()
    except ProcessEnded:
        statement.result = None
    statement.done = True
    if not statement.awaited:
        world.counts["carried out after its sender had given up"] += 1
        world.statements.remove(statement)
    return True


def answer(world: World) -> bool:
    ready = [s for s in world.statements if s.done]
    if not ready:
        return False
    statement = world.chance.choice(ready)
    world.statements.remove(statement)
    if statement.awaited:
        statement.answer(statement.result)
    return True


def sever(world: World) -> bool:
    """A process has waited too long: the statement may be carried out, now, later or never."""
    process = world.choose(leaving=True)
    said = [s for s in (process.drawing, process.settling) if s] if process else []
    if not said:
        return False
    statement = world.chance.choice(said)
    world.abandon(statement)
    statement.fail()
    return True


def restart_database(world: World) -> bool:
    """What was on its way to the server is gone; what was committed is not."""
    world.is_up = not world.is_up
    if not world.is_up and world.chance.random() < 0.5:
        world.statements = [s for s in world.statements if s.done or s.awaited]
    return True


def kill(world: World) -> bool:
    process = world.choose(leaving=True)
    if process is None:
        return False
    for statement in (process.drawing, process.settling):
        if statement is not None:
            world.abandon(statement)
    for place in (world.processes, world.leaving):
        if process in place:
            place.remove(process)
    world.abandoned.append(process)
    if len(world.processes) < PROCESSES:
        world.begin(process.host)
    return True


def stop(world: World) -> bool:
    """SIGSTOP, or a host that is paused, for up to two minutes."""
    process = world.choose(leaving=True)
    if process is None:
        return False
    process.stopped_until = world.now + world.chance.choice((1, 10, 40, 120))
    return True


def stall(world: World) -> bool:
    """Nothing happens anywhere for a while."""
    world.now += world.chance.uniform(1, 40)
    return True


def jump(world: World) -> bool:
    """A clock on some wall is set; those that measure time run on."""
    process = world.chance.choice(world.processes)
    process.skew = world.chance.choice((0.0, -5.0, 5.0, -70.0, 3600.0))
    return True


def change_limit(world: World) -> bool:
    if not world.model.windows:
        return False
    window = world.chance.choice(list(world.model.windows))
    limit = world.model.windows[window].limit
    if limit is None:
        return False
    changed = max(int(limit * world.chance.choice((0.5, 0.9, 1.2, 2))), 10)
    world.model.set_limit(window, changed)
    world.highest[window] = max(changed, world.highest[window] or 0)
    return True


def reap(world: World) -> bool:
    """Whoever looks ends a process whose lease is over, with its spool if that is in reach."""
    over = [p for p in world.model.alive if world.leases[p] < world.now]
    if not world.is_up or not over:
        return False
    number = world.chance.choice(over)
    host = world.chance.randrange(HOSTS)
    folder = next(p for p in world.all() if p.number == number)
    is_here = folder.host == host
    world.counts["its spool out of reach" if not is_here else "its spool read"] += 1
    world.model.reap(number, list(folder.spool.values()) if is_here else None)
    return True


def sweep(world: World) -> bool:
    """A process that is gone is ended, and its spool settled late; cut off anywhere."""
    if not world.is_up or not world.abandoned:
        return False
    process = world.chance.choice(world.abandoned)
    world.model.reap(process.number, list(process.spool.values()))
    facts = list(process.spool.values())
    world.chance.shuffle(facts)
    world.model.late(process.number, facts[: world.chance.randint(0, len(facts))])
    if world.chance.random() < 0.5:
        world.model.late(process.number, facts)
        world.model.credit_captured(process.number)
        world.abandoned.remove(process)
    return True


def replace(world: World) -> bool:
    """A process that finds itself ended begins again; what it had under way it settles late."""
    for process in world.processes:
        if process.has_ended and process.stopped_until <= world.now:
            world.processes.remove(process)
            world.leaving.append(process)
            for claims in process.waiters:
                world.leave(claims)
            process.waiters = []
            world.begin(process.host)
            return True
    for process in world.leaving:
        if process.is_idle() and world.is_up and process.number in world.model.ended:
            world.model.credit_captured(process.number)
            world.leaving.remove(process)
            return True
    return False
