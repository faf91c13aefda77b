"""What both fuzzed files ask: the API in this process, as somebody who may do everything."""

from __future__ import annotations

import json
from typing import Any

import schemathesis
from django.core.handlers.wsgi import WSGIHandler
from hypothesis import HealthCheck, settings
from schemathesis.core import NotSet
from schemathesis.specs.openapi.checks import (
    ignored_auth,
    negative_data_rejection,
    positive_data_acceptance,
)

from accounts.api.schema import describe_api

# What fits the description can be refused all the same: a slug that is taken, a made-up cursor.
# That nobody gets in has a test of its own for each operation (test_roles.py); here it would be
# asked twice for each case, until whoever asks has to wait.
NOT_PROMISED: list[Any] = [positive_data_acceptance, ignored_auth]


def load_schema(*phases: str) -> Any:
    """Return the description, for cases of these phases; each is worked out at collection."""
    schema: Any = schemathesis.openapi.from_dict(json.loads(describe_api()))
    schema.app = WSGIHandler()
    schema.config.phases.update(phases=list(phases))
    return schema


def make_up(examples: int) -> settings:
    """The same ones each time, so that what passed here passes elsewhere."""
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )


def ask(case: schemathesis.Case[Any], headers: dict[str, str]) -> None:
    case.call_and_validate(headers=headers, excluded_checks=NOT_PROMISED)


def ask_about_what_is_there(
    case: schemathesis.Case[Any], headers: dict[str, str], world: dict[str, str]
) -> None:
    """... with addresses that name what there is."""
    case.path_parameters = {name: world[name] for name in case.path_parameters}
    # Where no body was made up, what was wrong may have been the address alone.
    without: list[Any] = [negative_data_rejection] if isinstance(case.body, NotSet) else []
    case.call_and_validate(headers=headers, excluded_checks=[*NOT_PROMISED, *without])
