"""Routes that strict quotas leave out: an operator looks, says what it was, and they are used."""

from __future__ import annotations

import pytest

from accounts.models import AuditEvent
from tests.api.asking import Api
from tests.api.conftest import suspend_route

pytestmark = pytest.mark.django_db


def test_an_operator_sees_one_and_acknowledges_it(operators: Api) -> None:
    suspension = suspend_route()
    listed = operators.list_all("route-suspensions", acknowledged="false")
    assert [each["id"] for each in listed] == [suspension.pk]
    assert (listed[0]["held_usd"], listed[0]["cost_usd"]) == ("1.00", "2.00")
    one = f"route-suspensions/{suspension.pk}"
    done = operators.post(f"{one}/acknowledge", {"note": "the price was old"})
    assert (done.status, done.body["note"]) == (200, "the price was old")
    assert operators.list_all("route-suspensions", acknowledged="false") == []
    assert operators.get(one).body == done.body
    event = AuditEvent.objects.filter(object_kind="route_suspension").latest("pk")
    assert (event.actor, event.via) == ("operator@example.org", "api")


def test_it_is_acknowledged_once(operators: Api) -> None:
    one = f"route-suspensions/{suspend_route().pk}/acknowledge"
    assert operators.post(one, {"note": "first"}).status == 200
    late = operators.post(one, {"note": "second"})
    assert (late.status, late.error["code"]) == (409, "answered_already")


@pytest.mark.parametrize("body", [{}, {"note": ""}, {"note": "x" * 201}, {"note": 1}])
def test_what_was_found_has_to_be_said(operators: Api, body: dict[str, object]) -> None:
    one = f"route-suspensions/{suspend_route().pk}"
    answer = operators.post(f"{one}/acknowledge", body)
    assert (answer.status, answer.error["field"]) == (400, "note")
    assert operators.get(one).body["acknowledged_at"] is None


def test_they_are_filtered(operators: Api) -> None:
    suspend_route()
    for query, found in (({"provider": "openai"}, 1), ({"model": "other"}, 0)):
        assert len(operators.list_all("route-suspensions", **query)) == found


def test_charlie_and_an_owner_see_none(alices: Api, charlies: Api) -> None:
    number = suspend_route().pk
    for api in (alices, charlies):
        assert api.get("route-suspensions").status == 403
        assert api.post(f"route-suspensions/{number}/acknowledge", {"note": "x"}).status == 403
