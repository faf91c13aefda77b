"""The ledger's tests ask whether it is right; how soon it answers is asked in tests/faults/."""

import pytest

from billing.ledger import allowances


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine is no database that is away."""
    monkeypatch.setattr(allowances, "WAIT_SECONDS", 5.0)
