"""The calls of one round of draws, taken together. Nothing here asks a database."""

from __future__ import annotations

from collections.abc import Sequence

from billing.ledger.allowances import Claim, Refill, Unavailable, Waiter, Window


def refuse_all(batch: Sequence[Waiter], why: str) -> None:
    """Let all of them go as those of whom it cannot be known whether there is enough."""
    for waiter in batch:
        if waiter.leave():
            waiter.refuse(Unavailable(why))


def stored_windows(batch: Sequence[Waiter]) -> list[Window]:
    """Return the windows in PostgreSQL that calls claim, each once."""
    claims = (claim for waiter in batch for claim in waiter.claims)
    return list(dict.fromkeys(window for window, _ in claims if not window.is_rate))


def wish(window: Window, need: int) -> int:
    """Say how much to draw if there is plenty: the first time the need, then much more."""
    window.largest_need = max(need, window.largest_need)
    is_first = window.granted == 0
    if is_first or window.is_concurrency:
        return need
    return (need or window.largest_need) * window.growth


def have_enough(batch: Sequence[Waiter], claims: Sequence[list[Claim]]) -> bool:
    """Say whether what is free covers all of these claims: then nothing has to be drawn."""
    if any(isinstance(waiter, Refill) for waiter in batch):
        return False
    needed: dict[Window, int] = {}
    for some in claims:
        for window, need in some:
            needed[window] = needed.get(window, 0) + need
    return all(window.free >= amount for window, amount in needed.items())
