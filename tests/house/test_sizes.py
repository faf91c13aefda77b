"""No file and no function is longer than a person reads at once."""

import ast

from tests.house.tracked import show, source_files

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 70


def test_no_file_is_longer_than_400_lines() -> None:
    lengths = {show(path): len(path.read_text().splitlines()) for path in source_files()}
    assert {name: n for name, n in lengths.items() if n > MAX_FILE_LINES} == {}


def test_no_function_is_longer_than_70_lines() -> None:
    lengths = {
        f"{show(path)}:{node.lineno} {node.name}": (node.end_lineno or 0) - node.lineno + 1
        for path in source_files()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert len(lengths) > 500
    assert {name: n for name, n in lengths.items() if n > MAX_FUNCTION_LINES} == {}
