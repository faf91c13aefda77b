"""docs/guides/operating.md has every name of what can be wrong, and no other."""

import ast
import re
from pathlib import Path
from types import ModuleType

from gateway import overview, process
from tests.house.tracked import ROOT

GUIDE = ROOT / "docs" / "guides" / "operating.md"
ROW = re.compile(
    r"^\| `([a-z_]+)` \| (/readyz|health page)[^|]*\|([^|]+)\|([^|]+)\|$", re.MULTILINE
)


def test_every_state_of_readyz_is_explained() -> None:
    assert documented("/readyz") == state_names()


def test_every_trouble_of_the_health_page_is_explained() -> None:
    # Those of /readyz come from the processes' own reports.
    assert documented("health page") == trouble_names() - state_names()


def test_each_says_what_to_do() -> None:
    rows = ROW.findall(GUIDE.read_text())
    assert len(rows) == len({name for name, *_ in rows})
    for name, _, means, todo in rows:
        assert means.strip().endswith("."), name
        assert todo.strip().endswith("."), name


def documented(where: str) -> set[str]:
    return {name for name, place, *_ in ROW.findall(GUIDE.read_text()) if place == where}


def state_names() -> set[str]:
    """Return the keys of what GatewayProcess.states() gives."""
    functions = [n for n in walk(process) if isinstance(n, ast.FunctionDef) and n.name == "states"]
    found = next(n for n in ast.walk(functions[0]) if isinstance(n, ast.Dict))
    names = {key.value for key in found.keys if isinstance(key, ast.Constant)}
    assert len(names) >= 8
    return {str(name) for name in names}


def trouble_names() -> set[str]:
    """Return the names of troubles that are written out in overview.py."""
    found = {
        str(call.args[0].value)
        for call in walk(overview)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name)
        and call.func.id == "Trouble"
        and isinstance(call.args[0], ast.Constant)
    }
    return found | set(overview.ZEROS)


def walk(module: ModuleType) -> list[ast.AST]:
    return list(ast.walk(ast.parse(Path(str(module.__file__)).read_text())))
