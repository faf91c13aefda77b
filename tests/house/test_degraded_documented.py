"""docs/degraded.md names every state and every 503 there is, and proves each line by a test."""

import ast
import importlib
import re

from gateway.errors import GatewayError, Unavailable
from tests.house.test_states_documented import state_names
from tests.house.tracked import ROOT, tracked_files

CONTRACT = ROOT / "docs" / "degraded.md"
ROW = re.compile(r"^\| (?!what is wrong|---)(.+) \|$", re.MULTILINE)
CODE = re.compile(r"`([a-z_]+)`")
TEST = re.compile(r"`(tests/[a-z_/]+\.py)::(test_[a-z0-9_]+)`")
COLUMNS = 6
# What is written like a code and is none, and the one with 429.
OTHER_NAMES = {"rate_limit_exceeded", "degraded", "migrate"}


def rows() -> list[list[str]]:
    found = ROW.findall(CONTRACT.read_text())
    return [[cell.strip() for cell in row.split("|")] for row in found]


def test_every_state_of_readyz_has_its_line() -> None:
    shown = {name for row in rows() for name in CODE.findall(row[4])}
    assert shown == state_names()


def test_every_refusal_with_503_is_named_and_no_other() -> None:
    for path in tracked_files(".py"):
        if "(Unavailable)" in path.read_text() and path.is_relative_to(ROOT / "gateway"):
            importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    codes = {kind.code for kind in find_kinds(Unavailable)}
    assert len(codes) >= 8
    named = set(CODE.findall(CONTRACT.read_text()))
    assert codes <= named
    assert named - codes - state_names() == OTHER_NAMES


def test_every_line_is_proven_by_a_test_that_is_there() -> None:
    assert len(rows()) >= 15
    for row in rows():
        assert len(row) == COLUMNS, row[0]
        (proof,) = TEST.findall(row[5])
        path, name = proof
        functions = ast.walk(ast.parse((ROOT / path).read_text()))
        names = {f.name for f in functions if isinstance(f, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert name in names, proof


def find_kinds(kind: type[GatewayError]) -> list[type[GatewayError]]:
    """Every kind below one, which is raised as none of them itself."""
    return [each for below in kind.__subclasses__() for each in (below, *find_kinds(below))]
