"""A program that kills itself at a point: `python -m tests.faults.killing POINT N PROGRAM ...`.

The N-th time that the point is passed is its last moment, as with kill -9 from outside: nothing is
cleaned up and nothing is said to anybody. The program is the product's own, started as it always
is; what stands at a point is a function of it that is wrapped here.
"""

import asyncio
import functools
import importlib
import inspect
import os
import runpy
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

Function = Callable[..., Any]

LAST_WORD = "is killed at"


@dataclass(frozen=True, slots=True)
class Point:
    """Where a process dies: before a function is called, after it has returned, or while it waits
    for its first answer from outside. `passings` is how often it may be passed before that."""

    when: str
    module: str
    path: str
    passings: range = range(20, 60)


# On the way of a call, in its order; then off it.
POINTS = {
    "held, nothing noted": Point("after", "billing.ledger.ledger", "Hold.__init__"),
    "about to leave, not written": Point("after", "billing.ledger.ledger", "Ledger.send"),
    "written by half": Point("torn", "billing.ledger.spool", "os.write"),
    "written, and nobody was told": Point("after", "billing.ledger.spool", "Spool._write"),
    "the request is leaving": Point("during", "gateway.upstream", "UpstreamAnswer.send"),
    "the head has come": Point("after", "gateway.calls", "Attempt.note_head"),
    "in the middle of a stream": Point(
        "before", "gateway.relaying", "Stream._hand_on", range(300, 900)
    ),
    "seen noted": Point("after", "billing.ledger.ledger", "Ledger.see", range(2, 8)),
    "figures known, not noted": Point("before", "billing.ledger.ledger", "Ledger.finish"),
    "finished, not written": Point("after", "billing.ledger.ledger", "Ledger.finish"),
    "written, the end not told": Point(
        "before", "gateway.relaying", "Stream._tell_end", range(8, 25)
    ),
    "the end told": Point("after", "gateway.relaying", "Stream._tell_end", range(8, 25)),
    "a draw is under way": Point("during", "billing.ledger.draws", "DrawTask._draw", range(3, 10)),
    "drawn, not credited": Point(
        "before", "billing.ledger.draws", "DrawTask._credit", range(3, 10)
    ),
    "a return is under way": Point(
        "during", "billing.ledger.draws", "DrawTask._return", range(1, 2)
    ),
    "settled, not committed": Point(
        "uncommitted", "psycopg", "AsyncTransaction.__aexit__", range(2, 8)
    ),
    "committed, still in the spool": Point(
        "after", "billing.ledger.settler", "Settler._settle", range(2, 8)
    ),
    "ended for a dead process, not committed": Point(
        "after", "billing.ledger.settlement", "settle_for_ended", range(1, 2)
    ),
    "ended for a dead process, not replayed": Point(
        "before", "billing.ledger.processes", "_replay", range(1, 2)
    ),
    "replayed, the spool not removed": Point(
        "after", "billing.ledger.late", "credit_captured", range(1, 2)
    ),
    "folded, not committed": Point(
        "before", "django.db.backends.base.base", "BaseDatabaseWrapper.commit", range(1, 2)
    ),
}


def main(name: str, passings: int, program: str, *arguments: str) -> None:
    """Run the program until it dies at the point."""
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    point = POINTS[name]
    numbers = iter(range(1, passings))

    def pass_by() -> bool:
        """Count; False at the last time."""
        return next(numbers, None) is not None

    owner, attribute, function = find(point)
    setattr(owner, attribute, _wrap(point.when, function, pass_by, functools.partial(die, name)))
    sys.argv = [program, *arguments]
    runpy.run_module(program, run_name="__main__", alter_sys=True)


def find(point: Point) -> tuple[Any, str, Function]:
    """Return what holds the function at a point, its name there, and the function."""
    owner: Any = importlib.import_module(point.module)
    *path, attribute = point.path.split(".")
    for part in path:
        owner = getattr(owner, part)
    return owner, attribute, getattr(owner, attribute)


def die(name: str) -> None:
    os.write(2, f"process {os.getpid()} {LAST_WORD} {name}\n".encode())
    os.kill(os.getpid(), signal.SIGKILL)


def _wrap(
    when: str, function: Function, pass_by: Callable[[], bool], end: Callable[[], None]
) -> Function:
    if when == "torn":
        return _write_half(function, pass_by, end)
    if when == "uncommitted":
        return _leave_uncommitted(function, pass_by, end)
    if not inspect.iscoroutinefunction(function):
        return _around(function, pass_by, end, is_after=when == "after")

    @functools.wraps(function)
    async def wrapped(*arguments: Any, **named: Any) -> Any:
        if when == "after":
            found = await function(*arguments, **named)
            if not pass_by():
                end()
            return found
        if not pass_by():
            if when == "before":
                end()
            asyncio.get_running_loop().call_soon(end)
        return await function(*arguments, **named)

    return wrapped


def _around(
    function: Function, pass_by: Callable[[], bool], end: Callable[[], None], *, is_after: bool
) -> Function:
    @functools.wraps(function)
    def wrapped(*arguments: Any, **named: Any) -> Any:
        if is_after:
            found = function(*arguments, **named)
            if not pass_by():
                end()
            return found
        if not pass_by():
            end()
        return function(*arguments, **named)

    return wrapped


def _write_half(
    function: Function, pass_by: Callable[[], bool], end: Callable[[], None]
) -> Function:
    """Let records of the spool be written to their middle. Other writes are none of it."""

    def wrapped(fd: int, data: bytes) -> int:
        if data[8:11] in (b" s ", b" d ") and not pass_by():
            function(fd, data[: len(data) // 2])
            end()
        return int(function(fd, data))

    return wrapped


def _leave_uncommitted(
    function: Function, pass_by: Callable[[], bool], end: Callable[[], None]
) -> Function:
    """Let a settlement be carried out by the server up to its COMMIT."""

    async def wrapped(transaction: Any, *raised: Any) -> Any:
        connection = transaction.connection
        name = connection.info.get_parameters().get("application_name")
        if name == "tollgate settlement" and raised[0] is None and not pass_by():
            await (await connection.execute("SELECT 1")).fetchone()
            end()
        return await function(transaction, *raised)

    return wrapped


def points_of(first: str, last: str) -> Iterator[str]:
    """The names of the points from one to another."""
    names = list(POINTS)
    yield from names[names.index(first) : names.index(last) + 1]


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
