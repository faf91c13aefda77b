"""docs/guides/leaving.md, row by row, at a served product: what each end does to what it ends."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import count

import httpx2
import pytest

from tests.faults.world import FIXED, SLOW, SLOW_STREAM
from tests.outside.place import Api, Place, call, make_place, make_sessions, until_refused
from tests.parts import Gateway, Parts

Running = list[Future[httpx2.Response]]
NUMBERS = count(1)
FACT = """
    SELECT e.outcome, k.public_id FROM usage_event e JOIN api_key k ON k.id = e.key
    WHERE e.call_id = %s
"""


@pytest.fixture(scope="module")
def operators(parts: Parts, gateway: Gateway, operator: str) -> Api:
    made = parts.manage("issue_management_key", "--by", operator, "--name", "ci", "--plain")
    return Api(gateway, key=made.strip())


@pytest.fixture
def place(parts: Parts, gateway: Gateway, operators: Api) -> Place:
    return make_place(parts, gateway, operators, f"place-{next(NUMBERS)}")


@contextmanager
def running(parts: Parts, gateway: Gateway, key: str) -> Iterator[Running]:
    """A call and a stream of a second, which began before the block."""
    before = parts.provider.received()["total"]
    with ThreadPoolExecutor(2) as threads:
        calls = [threads.submit(call, gateway, key, ask) for ask in (SLOW, SLOW_STREAM)]
        parts.until(lambda: parts.provider.received()["total"] >= before + 2)
        yield calls


def check_finished(parts: Parts, calls: Running, *, key: str) -> None:
    """They were answered to their end, and are facts of the key that they began with."""
    for each in calls:
        answer = each.result()
        assert answer.status_code == 200
        assert "usage" in answer.text or answer.text.endswith("data: [DONE]\n\n")
        read = partial(parts.rows, FACT, answer.headers["x-request-id"])
        parts.until(read)
        assert read() == [("answered", key)]


def test_a_member_is_removed(parts: Parts, gateway: Gateway, place: Place) -> None:
    program = place.owner.made(
        f"{place.path}/management-keys", {"name": "owner's", "scope": "read"}
    )
    owners = Api(gateway, key=program["secret"])
    program = place.dev.made(f"{place.path}/management-keys", {"name": "dev's", "scope": "write"})
    devs = Api(gateway, key=program["secret"])
    assert [api.get(place.path).status_code for api in (owners, devs, place.dev)] == [200] * 3
    handed = {"owner": place.members["owner"], "ids": [place.key_ids["kept"]]}
    assert place.owner.post(f"{place.path}/keys/hand-over", handed).json() == {"moved": 1}
    with running(parts, gateway, place.keys["own"]) as calls:
        member = f"{place.path}/members/{place.members['dev']}"
        assert place.owner.ask("DELETE", member).status_code == 204
        refused = until_refused(parts, gateway, place.keys["own"], FIXED)
    check_finished(parts, calls, key=place.key_ids["own"])
    assert refused.status_code == 401
    assert "has left the organization" in refused.json()["error"]["message"]
    assert [call(gateway, place.keys[name], FIXED).status_code for name in ("kept", "service")] == [
        200,
        200,
    ]
    assert place.dev.get(place.path).status_code == 401
    assert devs.get(place.path).status_code == 404
    assert owners.get(place.path).status_code == 200
    assert place.owner.get(f"{place.path}/keys/{place.key_ids['own']}").json()["status"] == "active"


def test_invitations_of_who_is_removed(parts: Parts, place: Place) -> None:
    """... are taken back where they are to them, and stay where they are to others."""
    path = f"{place.path}/invitations"
    for email in (f"dev@{place.slug}.example", "else@else.example"):
        answer = place.owner.post(path, {"email": email, "role": "owner"})
        assert answer.status_code == (400 if email.startswith("dev@") else 201)
    member = f"{place.path}/members/{place.members['dev']}"
    assert place.owner.ask("DELETE", member).status_code == 204
    invited = place.owner.made(path, {"email": f"dev@{place.slug}.example", "role": "member"})
    assert invited["state"] == "open"
    states = {each["email"]: each["state"] for each in place.owner.get(path).json()["items"]}
    assert states["else@else.example"] == "open"


def test_a_user_is_deactivated(parts: Parts, gateway: Gateway, place: Place, operator: str) -> None:
    change = "UPDATE accounts_user SET is_active = %s WHERE email = %s RETURNING 1"
    email = f"dev@{place.slug}.example"
    with running(parts, gateway, place.keys["own"]) as calls:
        parts.rows(change, False, email)
        refused = until_refused(parts, gateway, place.keys["own"], FIXED)
    check_finished(parts, calls, key=place.key_ids["own"])
    assert (refused.status_code, "deactivated" in refused.text) == (401, True)
    assert place.dev.get(place.path).status_code == 401
    assert call(gateway, place.keys["service"], FIXED).status_code == 200
    parts.rows(change, True, email)
    parts.until(lambda: call(gateway, place.keys["own"], FIXED).status_code == 200)


def test_a_project_is_archived(parts: Parts, gateway: Gateway, place: Place) -> None:
    project = f"{place.path}/projects/default"
    place.owner.post(f"{place.path}/keys/{place.key_ids['kept']}/disable")
    with running(parts, gateway, place.keys["service"]) as calls:
        assert place.owner.post(f"{project}/archive").status_code == 200
        refused = until_refused(parts, gateway, place.keys["service"], FIXED)
    check_finished(parts, calls, key=place.key_ids["service"])
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "project_archived")
    made = place.owner.post(f"{place.path}/keys", {"project": "default", "name": "new"})
    assert (made.status_code, made.json()["error"]["field"]) == (400, "project")
    assert place.dev.get(place.path).status_code == 200
    assert place.owner.post(f"{project}/unarchive").status_code == 200
    parts.until(lambda: call(gateway, place.keys["service"], FIXED).status_code == 200)
    assert call(gateway, place.keys["kept"], FIXED).status_code == 401


def test_an_organization_is_suspended(parts: Parts, gateway: Gateway, place: Place) -> None:
    with running(parts, gateway, place.keys["service"]) as calls:
        suspended = place.operator.post(f"{place.path}/suspend", {"reason": "unpaid"})
        assert suspended.status_code == 200
        refused = until_refused(parts, gateway, place.keys["service"], FIXED)
    check_finished(parts, calls, key=place.key_ids["service"])
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "organization_suspended")
    seen = place.owner.get(place.path).json()
    assert (seen["status"], seen["status_reason"]) == ("suspended", "unpaid")
    assert place.dev.get(f"{place.path}/keys").status_code == 200
    for method, path, body in (
        ("PATCH", place.path, {"name": "New"}),
        ("POST", f"{place.path}/keys", {"project": "default", "name": "new"}),
        ("POST", f"{place.path}/keys/{place.key_ids['own']}/rotate", {}),
        ("DELETE", f"{place.path}/members/{place.members['dev']}", None),
        ("POST", f"{place.path}/resume", {}),
    ):
        assert place.owner.ask(method, path, body).status_code == 403, path
    assert place.operator.post(f"{place.path}/resume").status_code == 200
    parts.until(lambda: call(gateway, place.keys["service"], FIXED).status_code == 200)
    assert place.owner.ask("PATCH", place.path, {"name": "New"}).status_code == 200


def test_an_organization_is_deleted(
    parts: Parts, gateway: Gateway, place: Place, operators: Api
) -> None:
    other = make_place(parts, gateway, operators, "neighbour")
    both = f"dev@{place.slug}.example"
    operators.made(f"{other.path}/members", {"email": both, "role": "viewer"})
    other.owner.made(
        f"{other.path}/invitations", {"email": f"owner@{place.slug}.example", "role": "member"}
    )
    program = place.owner.made(f"{place.path}/management-keys", {"name": "ci", "scope": "write"})
    with running(parts, gateway, place.keys["service"]) as calls:
        assert place.operator.ask("DELETE", place.path).status_code == 409
        place.operator.post(f"{place.path}/suspend")
        assert place.operator.ask("DELETE", place.path).status_code == 204
        parts.until(lambda: call(gateway, place.keys["service"], FIXED).status_code == 401)
    check_finished(parts, calls, key=place.key_ids["service"])
    for key in place.keys.values():
        assert "was revoked" in call(gateway, key, FIXED).json()["error"]["message"]
    assert place.owner.get("/organizations").status_code == 401
    assert [each["slug"] for each in place.dev.get("/organizations").json()["items"]] == [
        "neighbour"
    ]
    assert Api(gateway, key=program["secret"]).get("/organizations").status_code == 401
    for api in (place.operator, place.dev, other.owner):
        assert api.get(place.path).status_code == 404
    gone = "SELECT count(*) FROM accounts_user WHERE email = %s"
    assert parts.rows(gone, f"owner@{place.slug}.example") == [(0,)]
    again = {"slug": place.slug, "name": "Again"}
    assert place.operator.post("/organizations", again).status_code == 201
    # The neighbour has everything that was its own.
    assert [call(gateway, key, FIXED).status_code for key in other.keys.values()] == [200] * 3
    invitations = other.owner.get(f"{other.path}/invitations").json()["items"]
    assert [each["state"] for each in invitations] == ["open"]
    assert make_sessions(parts, [both])
