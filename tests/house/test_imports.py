"""Imports run one way; the contracts stand in pyproject.toml."""

import pytest
from importlinter.cli import lint_imports

from tests.house.tracked import ROOT


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
