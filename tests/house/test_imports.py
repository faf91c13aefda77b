"""Imports run one way; the contracts stand in pyproject.toml."""

import logging
from collections.abc import Iterator

import pytest
from importlinter.cli import lint_imports

from tests.house.tracked import ROOT


@pytest.fixture(autouse=True)
def logging_goes_on() -> Iterator[None]:
    """The linter configures logging for itself and switches off every logger that is there: what
    this process tested afterwards logged nothing."""
    yield
    for logger in logging.Logger.manager.loggerDict.values():
        if isinstance(logger, logging.Logger):
            logger.disabled = False


def test_every_import_contract_is_kept(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    broken = lint_imports(config_filename="pyproject.toml")
    assert broken == 0, capsys.readouterr().out


def test_a_contract_that_is_broken_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    monkeypatch.chdir(ROOT)
    upside_down = tmp_path_factory.mktemp("contracts") / "contracts.toml"
    upside_down.write_text(
        '[tool.importlinter]\nroot_packages = ["accounts", "billing"]\n'
        '[[tool.importlinter.contracts]]\nname = "Upside down"\ntype = "layers"\n'
        'layers = ["accounts", "billing"]\n'
    )
    assert lint_imports(config_filename=str(upside_down), no_cache=True) != 0
    assert "accounts" in capsys.readouterr().out
