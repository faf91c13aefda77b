"""docs/SETTINGS.md has every variable that is read, and no other; bad values say what it says."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from local.options import REAL_KEYS
from tests.house.tracked import ROOT, tracked_files

DOCUMENT = ROOT / "docs" / "SETTINGS.md"
ROW = re.compile(r"^\| `([A-Z][A-Z0-9_]+)` \|(.*)\|$", re.MULTILINE)
COLUMNS = 5

BAD_VALUES = [
    "PORT=abc",
    "PORT=0",
    "PUBLIC_URL=localhost",
    "GATEWAY_WORKERS=0",
    "LOG_LEVEL=loud",
    "LOG_FORMAT=xml",
    "LOG_CALLS=maybe",
    "METRICS_ALLOWED_NETWORKS=lan",
    "OTEL_EXPORTER_OTLP_ENDPOINT=collector:4318",
    "DATABASE_URL=mysql://a/b",
    "DATABASE_URL=postgres://user:canary@host:99999999/name",
    "REDIS_URL=localhost:6379",
    "SECRET_KEY=canary",
    "KEY_PEPPERS=canary",
    "KEY_PEPPERS=1:ab",
    "CREDENTIAL_KEYS=canary",
    "TRUSTED_PROXIES=10.0.0.1/8",
    "UPSTREAM_ALLOWED_NETWORKS=lan",
    "FRESHNESS_SECONDS=1",
    "MAX_BODY_BYTES=5",
    "SPOOL_MAX_BYTES=5",
    "RETENTION_DAYS=x",
    "KEY_PREFIX=a_b",
    "OLD_KEY_PREFIXES=tg,a_b",
    "EMAIL_URL=mailto:canary",
    "SIGNUP=maybe",
    "OIDC_ISSUER=accounts.canary.org",
]


def test_every_variable_that_is_read_is_documented() -> None:
    assert read_variables() - documented().keys() == set()


def test_every_documented_variable_is_read() -> None:
    assert documented().keys() - read_variables() == set()


def test_every_row_is_whole() -> None:
    for name, rest in documented().items():
        cells = [cell.strip() for cell in rest.split("|")]
        assert len(cells) == COLUMNS - 1, name
        assert all(cells), name


def test_no_variable_is_documented_twice() -> None:
    names = [match[1] for match in ROW.finditer(DOCUMENT.read_text())]
    assert len(names) == len(set(names))


def test_the_environment_is_read_in_one_place() -> None:
    readers = {
        str(path.relative_to(ROOT))
        for folder in ("config", "accounts", "billing", "gateway", "console")
        for path in tracked_files(".py")
        if path.is_relative_to(ROOT / folder) and environ_names(path, any_name=True)
    }
    # A declaration names variables of its own: credential: "env:NAME". The check of a container's
    # health is started every few seconds and imports nothing of ours.
    expected = {"config/env.py", "config/health.py", "gateway/declaration/grammar.py"}
    assert readers == expected


@pytest.mark.parametrize("assignment", BAD_VALUES)
def test_a_bad_value_ends_the_process_with_a_sentence_that_names_it(assignment: str) -> None:
    name, _, value = assignment.partition("=")
    ended = subprocess.run(
        [sys.executable, "-c", "import config.settings"],
        env={**os.environ, name: value},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    assert re.fullmatch(rf"{name}\b.+\.\n", ended.stderr), ended.stderr
    assert "canary" not in ended.stderr


def documented() -> dict[str, str]:
    return {match[1]: match[2] for match in ROW.finditer(DOCUMENT.read_text())}


def read_variables() -> set[str]:
    """Return the names that config/ and local/ read, in whichever of the ways there are."""
    found = set(REAL_KEYS)
    for path in tracked_files(".py"):
        if path.parent in {ROOT / "config", ROOT / "local"}:
            found |= environ_names(path) | helper_names(path)
    return found


def helper_names(path: Path) -> set[str]:
    """Return the names given to the readers of config/env.py: `env.integer("PORT", ...)`."""
    return {
        name
        for call in calls(path)
        if is_helper(call.func, path) and (name := first_text(call)) and name.isupper()
    }


def is_helper(function: ast.expr, path: Path) -> bool:
    if isinstance(function, ast.Attribute):
        return isinstance(function.value, ast.Name) and function.value.id == "env"
    return path.name == "env.py" and isinstance(function, ast.Name)


def environ_names(path: Path, *, any_name: bool = False) -> set[str]:
    """Return the names read from os.environ or os.getenv; `?` for one that is computed."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        name: ast.expr | None = None
        if isinstance(node, ast.Subscript) and is_environ(node.value):
            name = node.slice if isinstance(node.ctx, ast.Load) else None
        elif isinstance(node, ast.Call) and node.args and is_environ_reader(node.func):
            name = node.args[0]
        if name is not None:
            constant = name.value if isinstance(name, ast.Constant) else None
            found.add(constant if isinstance(constant, str) else "?")
    return found if any_name else found - {"?"}


def is_environ(node: ast.expr) -> bool:
    return ast.unparse(node) in {"os.environ", "environ"}


def is_environ_reader(function: ast.expr) -> bool:
    return ast.unparse(function) in {"os.environ.get", "environ.get", "os.getenv", "getenv"}


def calls(path: Path) -> list[ast.Call]:
    nodes = ast.walk(ast.parse(path.read_text()))
    return [node for node in nodes if isinstance(node, ast.Call)]


def first_text(call: ast.Call) -> str | None:
    first = call.args[0] if call.args else None
    is_text = isinstance(first, ast.Constant) and isinstance(first.value, str)
    return str(first.value) if is_text and isinstance(first, ast.Constant) else None
