"""docker-compose.yml as compose would read it: variables put in, and every service's own words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from tests.house.tracked import ROOT

FILE = ROOT / "docker-compose.yml"
VARIABLE = re.compile(r"\$\$|\$\{([A-Z_]+)(?:(:-|:\?)([^}]*))?\}")


def read_compose(env: Mapping[str, str]) -> dict[str, Any]:
    """Return the file with the variables of `env`. Raises KeyError for one that has to be set."""
    whole = yaml.safe_load(FILE.read_text())
    filled: dict[str, Any] = _fill(whole, env)
    return filled


def named_variables() -> set[str]:
    return {match[1] for match in VARIABLE.finditer(FILE.read_text()) if match[1]}


def _fill(value: Any, env: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: _fill(each, env) for name, each in value.items()}
    if isinstance(value, list):
        return [_fill(each, env) for each in value]
    return (
        VARIABLE.sub(lambda match: _put_in(match, env), value) if isinstance(value, str) else value
    )


def _put_in(match: re.Match[str], env: Mapping[str, str]) -> str:
    if match[1] is None:
        return "$"
    value = env.get(match[1], "")
    if not value and match[2] == ":?":
        raise KeyError(match[1])
    return value or (match[3] or "")
