"""Keys rotated, disabled, enabled, revoked and handed over, one or many at once."""

import pytest

from accounts.issuance import IssuedKey, issue_key
from accounts.models import ApiKey, Membership, Organization, Project
from tests.api.asking import Api

pytestmark = pytest.mark.django_db
KEYS = "organizations/acme/keys"


@pytest.fixture
def service(project: Project) -> IssuedKey:
    return issue_key(project=project, name="service")


@pytest.fixture
def own(project: Project, his: Membership) -> IssuedKey:
    """A key of Bob's."""
    return issue_key(project=project, name="bob's", owner=his)


def test_rotation_shows_a_new_secret_once_and_ends_the_one_before(
    alices: Api, service: IssuedKey
) -> None:
    path = f"{KEYS}/{service.key.public_id}"
    rotated = alices.post(f"{path}/rotate", {"grace_seconds": 3600})
    assert rotated.status == 200
    secret = rotated.body.pop("secret")
    assert secret != service.plaintext
    assert [each["ends_at"] is None for each in rotated.body["secrets"]] == [False, True]
    assert alices.get(path).body == rotated.body
    third = alices.post(f"{path}/rotate", {"grace_seconds": 3600})
    assert (third.status, third.error["code"]) == (409, "rotation_in_progress")
    assert alices.post(f"{path}/rotate", {}).status == 200


@pytest.mark.parametrize("grace", [-1, 90 * 86400 + 1, "soon", None])
def test_a_grace_that_makes_no_sense_is_refused(
    alices: Api, service: IssuedKey, grace: object
) -> None:
    answer = alices.post(f"{KEYS}/{service.key.public_id}/rotate", {"grace_seconds": grace})
    assert (answer.status, answer.error["field"]) == (400, "grace_seconds")
    assert service.key.secrets.count() == 1


def test_a_key_is_disabled_and_enabled(alices: Api, service: IssuedKey) -> None:
    path = f"{KEYS}/{service.key.public_id}"
    for verb, status in (
        ("disable", "disabled"),
        ("disable", "disabled"),
        ("enable", "active"),
        ("enable", "active"),
    ):
        answer = alices.post(f"{path}/{verb}")
        assert (answer.status, answer.body["status"]) == (200, status)


def test_a_revoked_key_never_comes_back(alices: Api, service: IssuedKey) -> None:
    path = f"{KEYS}/{service.key.public_id}"
    revoked = alices.post(f"{path}/revoke", {"reason": "leaked"}).body
    assert (revoked["status"], revoked["revoke_reason"]) == ("revoked", "leaked")
    assert alices.post(f"{path}/revoke", {"reason": "again"}).body["revoke_reason"] == "leaked"
    for verb in ("enable", "disable", "rotate"):
        answer = alices.post(f"{path}/{verb}")
        assert (answer.status, answer.error["code"]) == (409, "revoked")


def test_a_member_ends_their_own_keys_and_no_others(
    bobs: Api, own: IssuedKey, service: IssuedKey
) -> None:
    for verb in ("rotate", "disable", "enable", "revoke"):
        assert bobs.post(f"{KEYS}/{own.key.public_id}/{verb}").status == 200
        assert bobs.post(f"{KEYS}/{service.key.public_id}/{verb}").status == 404
    service.key.refresh_from_db()
    assert service.key.status == "active"


def test_a_viewer_sees_keys_and_ends_none(
    alices: Api, bobs: Api, own: IssuedKey, his: Membership
) -> None:
    alices.patch(f"organizations/acme/members/{his.pk}", {"role": "viewer"})
    assert bobs.get(f"{KEYS}/{own.key.public_id}").status == 200
    assert bobs.post(f"{KEYS}/{own.key.public_id}/revoke").status == 403
    assert bobs.post(f"{KEYS}/bulk", {"action": "revoke", "ids": ["x"]}).status == 403


def test_charlie_ends_no_foreign_key(charlies: Api, service: IssuedKey) -> None:
    number = service.key.public_id
    for verb in ("rotate", "disable", "enable", "revoke"):
        assert charlies.post(f"{KEYS}/{number}/{verb}").status == 404
        assert charlies.post(f"organizations/globex/keys/{number}/{verb}").status == 404
    bulk = charlies.post("organizations/globex/keys/bulk", {"action": "revoke", "ids": [number]})
    assert bulk.body == {"done": [], "unchanged": [], "unknown": [number]}
    taken = {"owner": None, "ids": [number]}
    assert charlies.post("organizations/globex/keys/hand-over", taken).status == 400
    service.key.refresh_from_db()
    assert service.key.status == "active"
    assert service.key.secrets.count() == 1


def test_many_are_ended_at_once_and_each_is_accounted_for(
    alices: Api, own: IssuedKey, service: IssuedKey
) -> None:
    ids = [own.key.public_id, service.key.public_id, "never"]
    alices.post(f"{KEYS}/{ids[1]}/revoke")
    done = alices.post(f"{KEYS}/bulk", {"action": "revoke", "ids": [*ids, ids[0]]})
    assert done.body == {"done": [ids[0]], "unchanged": [ids[1]], "unknown": ["never"]}
    assert not ApiKey.objects.exclude(status="revoked").exists()


def test_in_bulk_too_a_member_ends_their_own_alone(
    bobs: Api, own: IssuedKey, service: IssuedKey
) -> None:
    ids = [own.key.public_id, service.key.public_id]
    done = bobs.post(f"{KEYS}/bulk", {"action": "disable", "ids": ids})
    assert done.body == {"done": [ids[0]], "unchanged": [], "unknown": [ids[1]]}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"action": "enable", "ids": ["a"]}, "action"),
        ({"action": "revoke", "ids": []}, "ids"),
        ({"action": "revoke", "ids": ["a"] * 201}, "ids"),
        ({"action": "revoke"}, "ids"),
    ],
)
def test_a_bulk_that_makes_no_sense_is_refused(
    alices: Api, body: dict[str, object], field: str
) -> None:
    answer = alices.post(f"{KEYS}/bulk", body)
    assert (answer.status, answer.error["field"]) == (400, field)


def test_a_handover_is_all_or_nothing(
    alices: Api, own: IssuedKey, hers: Membership, charlies: Api
) -> None:
    theirs = Project.objects.create(
        organization=Organization.objects.get(slug="globex"), slug="default", name="Default"
    )
    foreign = issue_key(project=theirs, name="foreign").key
    body = {"owner": hers.pk, "ids": [own.key.public_id, foreign.public_id]}
    answer = alices.post(f"{KEYS}/hand-over", body)
    assert (answer.status, answer.error["field"]) == (400, "ids")
    own.key.refresh_from_db()
    assert own.key.owner_id != hers.pk


def test_members_hand_nothing_over(bobs: Api, own: IssuedKey, hers: Membership) -> None:
    body = {"owner": hers.pk, "ids": [own.key.public_id]}
    assert bobs.post(f"{KEYS}/hand-over", body).status == 403
