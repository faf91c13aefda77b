"""Whatever is sent, as schemathesis makes it up from the description, is answered as described.

No answer is a 500, each fits the description, and bodies that it calls wrong are refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from hypothesis import HealthCheck, settings
from schemathesis.core import NotSet
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from accounts.api.schema import describe_api
from accounts.management_keys import issue_management_key
from accounts.models import User

pytestmark = pytest.mark.django_db

SCHEMA: Any = schemathesis.openapi.from_dict(json.loads(describe_api()))
SCHEMA.app = WSGIHandler()
# What fits the description can be refused all the same: a slug that is taken, a made-up cursor.
NOT_PROMISED: list[Any] = [positive_data_acceptance]
# The same ones each time, so that what passed here passes elsewhere.
few, many = (
    settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    for examples in (3, 30)
)


@pytest.fixture(autouse=True)
def _within_the_transaction(db: None) -> Iterator[None]:
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture
def headers(operator: User) -> dict[str, str]:
    """Those of somebody who may do everything."""
    key = issue_management_key(organization=None, name="fuzz", scope="write", made_by=operator)
    return {"Authorization": f"Bearer {key.plaintext}"}


@pytest.mark.slow
@SCHEMA.parametrize()  # type: ignore[untyped-decorator]
@many
def test_what_is_made_up_is_answered_as_described(
    case: schemathesis.Case[Any], headers: dict[str, str]
) -> None:
    case.call_and_validate(headers=headers, excluded_checks=NOT_PROMISED)


@SCHEMA.parametrize()  # type: ignore[untyped-decorator]
@few
def test_so_it_is_where_there_is_something(
    case: schemathesis.Case[Any], headers: dict[str, str], world: dict[str, str]
) -> None:
    case.path_parameters = {name: world[name] for name in case.path_parameters}
    # Where no body was made up, what was wrong may have been the address alone.
    without: list[Any] = [negative_data_rejection] if isinstance(case.body, NotSet) else []
    case.call_and_validate(headers=headers, excluded_checks=[*NOT_PROMISED, *without])
