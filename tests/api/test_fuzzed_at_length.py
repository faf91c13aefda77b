"""As test_fuzzed.py, with more that is made up and whatever follows from the description: each
edge of each field, each field left out, methods that there are not.

They are worked out when tests are collected, which takes so long that conftest.py leaves this file
out where slow tests are.
"""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis

from tests.api.fuzzing import ask, ask_about_what_is_there, load_schema, make_up

pytestmark = [
    pytest.mark.slow,
    pytest.mark.django_db,
    pytest.mark.usefixtures("within_the_transaction"),
]

MADE_UP = load_schema("fuzzing")
EDGES = load_schema("examples", "coverage", "fuzzing")


@MADE_UP.parametrize()  # type: ignore[untyped-decorator]
@make_up(20)
def test_what_is_made_up_is_answered_as_described(
    case: schemathesis.Case[Any], headers: dict[str, str]
) -> None:
    ask(case, headers)


@EDGES.parametrize()  # type: ignore[untyped-decorator]
@make_up(3)
def test_so_it_is_where_there_is_something(
    case: schemathesis.Case[Any], headers: dict[str, str], world: dict[str, str]
) -> None:
    ask_about_what_is_there(case, headers, world)
