"""Making keys and ending them: once, by whom it may be, with nothing slipped in."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.issuance import issue_key
from accounts.models import ApiKey, Membership, Organization, Project
from billing.models import Quota
from billing.quotas import parse_quota, raise_limit, set_quota
from tests.billing.facts import make_event, store

pytestmark = pytest.mark.django_db
NEW = {"name": "laptop", "project": "default", "once": "a", "owner": "service"}


def address(name: str, **parts: object) -> str:
    return reverse(name, kwargs={"organization": "acme", **parts})


def test_a_secret_is_shown_once_and_kept_nowhere(alices: Client, project: Project) -> None:
    page = alices.post(address("new_key"), NEW)
    assert "no-store" in page["cache-control"]
    secret = re.search(r"tg_[0-9A-Za-z]{50}", page.content.decode())
    assert secret
    key = ApiKey.objects.get()
    for name in ("key", "keys"):
        parts = {"key": key.public_id} if name == "key" else {}
        assert secret[0] not in alices.get(address(name, **parts)).content.decode()
    again = alices.post(address("new_key"), NEW, follow=True)
    assert b"was made before" in again.content
    assert ApiKey.objects.count() == 1


def test_a_member_makes_keys_of_their_own_whatever_the_form_says(
    bobs: Client, project: Project, his: Membership, acme: Organization
) -> None:
    slipped = {"monthly_usd": "999", "organization": "globex", "status": "revoked", "tags": ""}
    bobs.post(address("new_key"), {**NEW, **slipped})
    key = ApiKey.objects.get()
    assert (key.owner, key.organization, key.status) == (his, acme, "active")
    assert not Quota.objects.exists()


def test_a_key_of_another_organization_or_project_cannot_be_chosen(
    alices: Client, charlies: Client, project: Project
) -> None:
    globex = Organization.objects.get(slug="globex")
    Project.objects.create(organization=globex, slug="theirs", name="Theirs")
    owner = Membership.objects.get(organization=globex)
    for wrong in ({"project": "theirs"}, {"owner": str(owner.pk)}):
        assert b'aria-invalid="true"' in alices.post(address("new_key"), {**NEW, **wrong}).content
    assert not ApiKey.objects.exists()


def test_restrictions_and_limits_are_those_of_the_form(
    alices: Client, project: Project, model: str
) -> None:
    alices.post(
        address("new_key"),
        NEW
        | {"models": model, "endpoints": "chat.completions", "networks": "192.0.2.0/24\n"}
        | {"tags": "team=search", "expires_on": "2099-01-31", "monthly_usd": "12.50"},
    )
    key = ApiKey.objects.get()
    assert (key.allowed_models, key.allowed_endpoints) == ([model], ["chat.completions"])
    assert [str(each) for each in key.allowed_networks] == ["192.0.2.0/24"]
    assert key.tags == {"team": "search"}
    assert str(key.expires_at) == "2099-01-31 23:00:00+00:00"
    assert Quota.objects.get(scope="key", scope_id=key.pk).limit == 125 * 10**9


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"networks": "192.0.2.1/24"},
        {"networks": "x" * 3000},
        {"tags": "no sign"},
        {"tags": "team=search\nteam=ads"},
        {"expires_on": "2001-01-01"},
        {"expires_on": "9999-12-31"},
        {"monthly_usd": "much"},
        {"models": "none-such"},
    ],
)
def test_what_is_wrong_is_said_beside_its_field_and_nothing_is_made(
    alices: Client, project: Project, wrong: dict[str, str]
) -> None:
    page = alices.post(address("new_key"), {**NEW, **wrong}).content.decode()
    assert f'id="id_{next(iter(wrong))}_error"' in page
    assert len(page) < 30_000
    assert not ApiKey.objects.exists()


def test_a_revoked_key_says_why_and_takes_nothing_more(alices: Client, service_key: ApiKey) -> None:
    one = {"key": service_key.public_id}
    alices.post(address("revoke_key", **one), {"reason": "It leaked"})
    page = alices.get(address("key", **one)).content
    assert b"It leaked" in page
    assert b"No call was accepted in the day before" in page
    alices.post(address("enable_key", **one))
    assert b"final" in alices.post(address("rotate_key", **one), {"grace": "0"}).content
    service_key.refresh_from_db()
    assert service_key.status == "revoked"


def test_names_are_text_wherever_they_stand(alices: Client, project: Project) -> None:
    name = "<script>alert(1)</script>"
    key = issue_key(project=project, name=name).key
    for page in ("keys", "limits", "usage", "organization"):
        assert name not in alices.get(address(page)).content.decode()
    assert name not in alices.get(address("key", key=key.public_id)).content.decode()


def test_a_key_is_found_by_what_people_know_of_it(
    alices: Client, bobs: Client, project: Project, his: Membership
) -> None:
    issue_key(project=project, name="nightly build")
    own = issue_key(project=project, name="laptop", owner=his).key
    for sought, there in (
        ("NIGHT", {"nightly build"}),
        (own.public_id[:8], {"laptop"}),
        ("bob@", {"laptop"}),
        ("default", {"nightly build", "laptop"}),
        ("%", set()),
        ("\0", {"nightly build", "laptop"}),
    ):
        page = alices.get("/o/acme/keys/", {"q": sought}).content.decode()
        assert {name for name in ("nightly build", "laptop") if f">{name}</a>" in page} == there
    assert ">nightly build</a>" not in bobs.get("/o/acme/keys/?q=night").content.decode()
    assert b"No key is called so" in alices.get("/o/acme/keys/?q=nothing").content


def test_the_page_of_a_key_asks_for_its_calls_while_some_may_come(
    alices: Client, service_key: ApiKey
) -> None:
    address = f"/o/acme/keys/{service_key.public_id}/"
    assert b'hx-trigger="every 3s"' in alices.get(address).content
    ApiKey.objects.filter(pk=service_key.pk).update(made_at="2026-01-01T00:00Z")
    assert b"hx-trigger" not in alices.get(address).content


def test_a_change_of_the_name_leaves_the_moment_of_the_end(
    alices: Client, service_key: ApiKey
) -> None:
    address = f"/o/acme/keys/{service_key.public_id}/change"
    for moment, day in (("2099-03-03T06:00Z", "2099-03-03"), ("2001-03-03T06:00Z", "2001-03-03")):
        ApiKey.objects.filter(pk=service_key.pk).update(expires_at=moment)
        assert f'value="{day}"' in alices.get(address).content.decode()
        assert alices.post(address, {"name": f"since {day}", "expires_on": day}).status_code == 302
        service_key.refresh_from_db()
        assert service_key.name == f"since {day}"
        assert service_key.expires_at == datetime.fromisoformat(moment)
    alices.post(address, {"name": "nightly", "expires_on": ""})
    service_key.refresh_from_db()
    assert service_key.expires_at is None


def test_a_key_that_has_ended_is_not_called_active(alices: Client, service_key: ApiKey) -> None:
    ApiKey.objects.update(expires_at="2026-01-31T23:00Z")
    for page in ("/o/acme/keys/", f"/o/acme/keys/{service_key.public_id}/"):
        shown = alices.get(page).content.decode()
        assert ">expired<" in shown
        assert ">active<" not in shown
        assert "until 1 Feb 2026, 00:00" in shown  # In Berlin.


def test_the_list_says_when_a_key_was_used_and_what_raises_add(
    alices: Client, acme: Organization, service_key: ApiKey
) -> None:
    quota, _ = set_quota(
        organization=acme.pk,
        scope="key",
        scope_id=service_key.pk,
        fields=parse_quota({"unit": "cost", "limit": "5.00", "window": "month"}, scope="key"),
    )
    raise_limit(quota, amount="2.00", ends_at=timezone.now() + timedelta(days=1))
    at = timezone.now() - timedelta(minutes=20)
    store([make_event(at, organization=acme.pk, key=service_key.pk)])
    shown = alices.get("/o/acme/keys/").content.decode()
    assert f"{at.astimezone(ZoneInfo('Europe/Berlin')):%-d %b %Y, %H:%M}" in shown
    assert "$0.00 of $7.00" in shown


def test_a_key_without_ready_code_is_told_where_its_endpoints_are_described(
    alices: Client, project: Project, model: str
) -> None:
    page = alices.post(address("new_key"), NEW | {"endpoints": "embeddings"}).content.decode()
    assert "There is no ready code for embeddings" in page
    assert "No model" not in page


def test_a_key_that_ends_with_the_calendar_is_shown_in_every_zone(
    alices: Client, service_key: ApiKey
) -> None:
    ApiKey.objects.update(expires_at="9999-12-31T23:59Z")
    for page in ("", f"{service_key.public_id}/", f"{service_key.public_id}/change"):
        assert b"9999" in alices.get(f"/o/acme/keys/{page}").content
