"""The ledger's tests ask whether it is right; how soon it answers is asked in tests/faults/."""

import pytest

from billing.ledger import allowances, draws, rates


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine is no database or Redis that is away, nor a process that keeps what others
    lack."""
    monkeypatch.setattr(allowances, "WAIT_SECONDS", 5.0)
    monkeypatch.setattr(rates, "ANSWER_SECONDS", 5.0)
    monkeypatch.setattr(draws, "MOST_ROUNDS", 20)
