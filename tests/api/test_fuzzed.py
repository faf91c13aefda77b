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
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from accounts.api.schema import describe_api
from accounts.invitations import invite
from accounts.issuance import issue_key
from accounts.management_keys import issue_management_key
from accounts.models import Membership, Project, User

pytestmark = pytest.mark.django_db

SCHEMA: Any = schemathesis.openapi.from_dict(json.loads(describe_api()))
SCHEMA.app = WSGIHandler()
# What fits the description can be refused all the same: a slug that is taken, a made-up cursor.
NOT_PROMISED: list[Any] = [positive_data_acceptance]
# The same ones each time, so that what passed here passes elsewhere.
few = settings(
    max_examples=5, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
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


@pytest.fixture
def place(project: Project, alice: User, his: Membership) -> dict[str, Any]:
    """What is there to be found, by the name of a part of an address."""
    acme = project.organization
    ours = issue_management_key(organization=acme, name="ci", scope="read", made_by=alice)
    invitation, _ = invite(acme, email="new@example.org", role="viewer", invited_by=alice)
    return {
        "organization": acme.slug,
        "project": project.slug,
        "member": his.pk,
        "invitation": invitation.pk,
        "key": issue_key(project=project, name="ci").key.public_id,
        "management_key": ours.key.public_id,
    }


@SCHEMA.parametrize()  # type: ignore[untyped-decorator]
@few
def test_what_is_made_up_is_answered_as_described(
    case: schemathesis.Case[Any], headers: dict[str, str]
) -> None:
    case.call_and_validate(headers=headers, excluded_checks=NOT_PROMISED)


@SCHEMA.parametrize()  # type: ignore[untyped-decorator]
@few
def test_so_it_is_where_there_is_something(
    case: schemathesis.Case[Any], headers: dict[str, str], place: dict[str, Any]
) -> None:
    case.path_parameters = {name: place[name] for name in case.path_parameters}
    # Where no body was made up, what was wrong may have been the address alone.
    without: list[Any] = [] if case.body else [negative_data_rejection]
    case.call_and_validate(headers=headers, excluded_checks=[*NOT_PROMISED, *without])
