"""/docs: everything that is said of calls is so here, and nothing is left out."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from console.documents import ADVICE, TITLES, UNAVAILABLE, list_errors
from gateway import errors as gateway_errors

pytestmark = pytest.mark.django_db


def test_anybody_may_read_every_page(client: Client, model: str) -> None:
    for name in TITLES:
        page = client.get(f"/docs/{name}")
        assert page.status_code == 200
        assert TITLES[name] in page.content.decode()
    assert client.get("/docs/nothing").status_code == 404


def test_every_error_that_there_is_stands_in_the_list() -> None:
    codes = {each.code for each in list_errors()}
    assert codes >= {"insufficient_quota", "invalid_api_key", "spool_full", "upstream_timeout"}
    assert ADVICE.keys() <= codes, "advice about an error that is no longer there"
    assert {gateway_errors.QuotaRefused.code, gateway_errors.GatewayError.code} <= codes


def test_waiting_is_advised_where_the_gateway_is_away_alone() -> None:
    """Repeats and endpoints that a model does not have were told to try again."""
    waiting = {each.status for each in list_errors() if each.advice == UNAVAILABLE}
    assert waiting == {503}


def test_examples_name_this_installation_and_a_model_that_can_be_called(
    client: Client, model: str, settings: Any
) -> None:
    page = client.get("/docs/").content.decode()
    assert f"{settings.PUBLIC_URL}/v1/chat/completions" in page
    assert f"&quot;{model}&quot;" in page
