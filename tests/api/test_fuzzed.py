"""Whatever is sent, as schemathesis makes it up from the description, is answered as described.

No answer is a 500, each fits the description, and bodies that it calls wrong are refused. A few
cases for each operation; test_fuzzed_at_length.py has the others.
"""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis

from tests.api.fuzzing import ask_about_what_is_there, load_schema, make_up

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("within_the_transaction")]

SCHEMA = load_schema("fuzzing")


@SCHEMA.parametrize()  # type: ignore[untyped-decorator]
@make_up(3)
def test_what_is_made_up_is_answered_as_described(
    case: schemathesis.Case[Any], headers: dict[str, str], world: dict[str, str]
) -> None:
    ask_about_what_is_there(case, headers, world)
