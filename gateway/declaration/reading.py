"""Reads YAML nodes as typed values and remembers the line of everything.

A reader takes a node and returns its value, or raises Unreadable; what is wrong is collected in
Problems and reading goes on, so that one run reports all of it. Amounts are never a float: they
are read from the text of the scalar. Nothing here knows providers or organizations.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any, NamedTuple, TypeVar

import yaml

T = TypeVar("T")

MAX_DEPTH = 6
_WHOLE = re.compile(r"[+-]?(0|[1-9][0-9]{0,18})")
_DECIMAL = re.compile(r"[+-]?[0-9]{1,20}\.[0-9]{0,30}")


class Problem(NamedTuple):
    """Something that cannot be applied, and the line of the file that says it."""

    line: int
    message: str


class DeclarationError(Exception):
    """Nothing was applied. `problems` are all that were found, in the order of their lines."""

    def __init__(self, problems: Collection[Problem]) -> None:
        self.problems = sorted(dict.fromkeys(problems), key=lambda problem: problem.line)
        super().__init__("\n".join(f"line {line}: {message}" for line, message in self.problems))


class Unreadable(Exception):
    """A value is not what its name asks for; the message completes "name: ..."."""


class Problems(list[Problem]):
    """What was found so far."""

    def add(self, line: int, message: str) -> None:
        self.append(Problem(line, message))


Reader = Callable[[yaml.Node, Problems], Any]


@dataclass(frozen=True)
class Record:
    """A mapping that was read: values by name, the line of each, and its own line.

    A value that could not be read is absent, and is among the problems.
    """

    line: int
    values: dict[str, Any] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)

    def line_of(self, name: str) -> int:
        """Return the line of a value, of `above[0].input` as well as of `input`."""
        while name and name not in self.lines:
            name = name[: max(name.rfind("."), name.rfind("["), 0)]
        return self.lines.get(name, self.line)

    def only(self, *names: str) -> dict[str, Any]:
        """Return those of these values that were given."""
        return {name: self.values[name] for name in names if name in self.values}


def compose(text: str) -> yaml.Node | None:
    """Parse YAML without making objects of it; None for an empty file.

    Raises DeclarationError with the line where the syntax ends to make sense.
    """
    try:
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise DeclarationError([Problem(line, f"not YAML: {error.problem}")]) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise DeclarationError([Problem(line, f"not YAML: {error.reason}")]) from None
    except RecursionError:
        raise DeclarationError([Problem(1, "nested too deeply")]) from None


def read_record(
    node: yaml.Node,
    readers: Mapping[str, Reader],
    problems: Problems,
    *,
    required: Sequence[str] = (),
) -> Record:
    """Read a mapping whose names are those of `readers`; any other name is a problem."""
    record = Record(line_of(node))
    for name, value in pairs_of(node, record, problems):
        reader = readers.get(name)
        if reader is None:
            problems.add(record.lines[name], f"unknown name {name!r}{_suggest(name, readers)}")
            continue
        try:
            record.values[name] = reader(value, problems)
        except Unreadable as error:
            message = str(error)
            named = message if message.startswith(f"{name} ") else f"{name}: {message}"
            problems.add(line_of(value), named)
    for name in required:
        if name not in record.lines:
            problems.add(record.line, f"{name} is missing")
    return record


def read_plain(node: yaml.Node, problems: Problems) -> Record:
    """Read a mapping of any names into text, int, Decimal, bool, None, lists and dicts."""
    record = Record(line_of(node))
    for name, value in pairs_of(node, record, problems):
        record.values[name] = _read_any(value, record, problems, name)
    return record


def pairs_of(node: yaml.Node, record: Record, problems: Problems) -> list[tuple[str, yaml.Node]]:
    """Return a mapping's names and nodes, noting lines; a name that stands twice is a problem."""
    if not isinstance(node, yaml.MappingNode):
        raise Unreadable("must be a mapping, such as {name: value}")
    pairs = []
    for key, value in node.value:
        name = key.value if isinstance(key, yaml.ScalarNode) else "?"
        if name in record.lines:
            problems.add(line_of(key), f"{name!r} stands twice; see line {record.lines[name]}")
            continue
        record.lines[name] = line_of(key)
        pairs.append((name, value))
    return pairs


def list_of(read: Callable[[yaml.Node, Problems], T]) -> Callable[[yaml.Node, Problems], list[T]]:
    """Return a reader of lists. Entries that cannot be read are left out, and are problems."""

    def reader(node: yaml.Node, problems: Problems) -> list[T]:
        if is_null(node):
            return []
        if not isinstance(node, yaml.SequenceNode):
            raise Unreadable("must be a list")
        found = []
        for item in node.value:
            try:
                found.append(read(item, problems))
            except Unreadable as error:
                problems.add(line_of(item), str(error))
        return found

    return reader


def text(most: int) -> Reader:
    """Return a reader of one line of text."""

    def reader(node: yaml.Node, problems: Problems) -> str:
        value = scalar(node, "str", "text; put it in quotes").strip()
        if not value:
            raise Unreadable("must not be empty")
        if len(value) > most:
            raise Unreadable(f"is longer than {most} characters")
        if not value.isprintable():
            raise Unreadable("holds characters that cannot be printed")
        return value

    return reader


def matching(pattern: str, most: int, description: str) -> Reader:
    """Return a reader of text that matches a pattern as a whole."""

    def reader(node: yaml.Node, problems: Problems) -> str:
        value: str = text(most)(node, problems)
        if not re.fullmatch(pattern, value):
            raise Unreadable(f"{value!r} is not {description}")
        return value

    return reader


def one_of(options: Sequence[str]) -> Reader:
    def reader(node: yaml.Node, problems: Problems) -> str:
        value = node.value if isinstance(node, yaml.ScalarNode) else None
        if value not in options:
            raise Unreadable(f"{value!r} is none of {', '.join(options)}")
        return str(value)

    return reader


def whole(least: int, most: int) -> Reader:
    """Return a reader of whole numbers within bounds."""

    def reader(node: yaml.Node, problems: Problems) -> int:
        written = scalar(node, "int", "a whole number").replace("_", "")
        if not _WHOLE.fullmatch(written):
            raise Unreadable(f"{written!r} is not a whole number")
        if not least <= int(written) <= most:
            raise Unreadable(f"{written} is outside {least} to {most}")
        return int(written)

    return reader


def nullable(read: Reader) -> Reader:
    return lambda node, problems: None if is_null(node) else read(node, problems)


def flag(node: yaml.Node, problems: Problems) -> bool:
    written = scalar(node, "bool", "true or false")
    return written.lower() in {"true", "yes", "on"}


def parse_moment(written: str) -> datetime:
    """Read a date, whose midnight in UTC is meant, or a time with its zone. Raises Unreadable."""
    try:
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", written):
            return datetime.combine(date.fromisoformat(written), time(), UTC)
        at = datetime.fromisoformat(written)
        if at.tzinfo is None:
            raise Unreadable(f"{written!r} needs a time zone, such as Z")
        return at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise Unreadable(f"{written[:40]!r} is not a date such as 2026-01-31") from None


def is_null(node: yaml.Node) -> bool:
    return bool(node.tag == "tag:yaml.org,2002:null")


def scalar(node: yaml.Node, kind: str, description: str) -> str:
    """Return the text of a scalar that YAML takes for `kind`."""
    if not isinstance(node, yaml.ScalarNode) or node.tag != f"tag:yaml.org,2002:{kind}":
        shown = f", and {node.value!r} is not" if isinstance(node, yaml.ScalarNode) else ""
        raise Unreadable(f"must be {description}{shown}")
    return str(node.value)


def line_of(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _suggest(name: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(known)}"


def _read_any(node: yaml.Node, record: Record, problems: Problems, path: str) -> Any:
    """Read whatever is there, noting the line of every path such as `above[0].input`."""
    record.lines[path] = line_of(node)
    if path.count(".") + path.count("[") > MAX_DEPTH:
        raise Unreadable("is nested too deeply")
    if isinstance(node, yaml.SequenceNode):
        return [
            _read_any(item, record, problems, f"{path}[{number}]")
            for number, item in enumerate(node.value)
        ]
    if isinstance(node, yaml.MappingNode):
        inner = Record(line_of(node))
        return {
            name: _read_any(value, record, problems, f"{path}.{name}")
            for name, value in pairs_of(node, inner, problems)
        }
    return _read_scalar(node)


def _read_scalar(node: yaml.Node) -> str | int | Decimal | bool | None:
    kind, written = node.tag.rpartition(":")[2], str(node.value)
    if kind == "null":
        return None
    if kind == "bool":
        return written.lower() in {"true", "yes", "on"}
    if kind == "int" and _WHOLE.fullmatch(written):
        return int(written)
    if kind == "float" and _DECIMAL.fullmatch(written):
        return Decimal(written)
    return written
