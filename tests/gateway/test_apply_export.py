"""The database written as a file: applied again it changes nothing, and it holds no secret."""

import io
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from django.core.management import call_command

from accounts.issuance import issue_key, revoke_key
from accounts.models import ApiKey, AuditEvent, Membership, Organization, Project
from billing.models import Price, Quota
from billing.prices import add_price, figures_of
from gateway.declaration import DeclarationError, apply, export
from gateway.models import Credential, Model, Provider
from tests.gateway.test_apply import WHOLE

pytestmark = pytest.mark.django_db


@pytest.fixture
def whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUR_KEY_THERE", "sk-from-env")
    apply(WHOLE.replace("literal:sk-1", "env:OUR_KEY_THERE"))


def forget_everything() -> None:
    """Remove what was declared, as in a new database."""
    Quota.objects.all().delete()
    for kind in (ApiKey, Project, Membership, Organization, Model, Provider):
        kind._default_manager.all().delete()


def test_an_export_says_what_the_file_said(whole: None) -> None:
    found, said = yaml.safe_load(export()), yaml.safe_load(WHOLE)
    (model,), (expected,) = found["models"], said["models"]
    assert model["price"] == {
        **{"input": "2.50", "output": "10.00", "cache_read": "1.25"},
        "above": [{"input_tokens": 200000, "input": "5.00", "output": "20.00"}],
        "effective": expected["price"]["effective"],
    }
    (acme,) = found["organizations"]
    assert acme["quotas"][0].items() >= {"unit": "cost", "limit": "100.00"}.items()
    assert acme["members"][0]["email"] == "dev@example.com"
    assert [key["name"] for key in acme["projects"][0]["keys"]] == ["ci"]


def test_every_column_that_was_declared_comes_back(whole: None) -> None:
    (model,), (expected,) = (yaml.safe_load(text)["models"] for text in (export(), WHOLE))
    for name in ("name", "context_window", "max_output_tokens", "overhead_tokens_per_image"):
        assert model[name] == expected[name]
    for route, declared in zip(model["routes"], expected["routes"], strict=True):
        assert route.items() >= declared.items()


def test_applying_an_export_where_it_was_written_changes_nothing(whole: None) -> None:
    audited = AuditEvent.objects.count()
    assert apply(export()).lines() == ["= nothing changed"]
    assert AuditEvent.objects.count() == audited


def test_the_export_of_an_export_is_the_same_text(
    whole: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = export()
    forget_everything()
    apply(first.replace("credential: stored", "credential: 'literal:abc'"))
    assert export() == first


def test_an_export_undoes_what_drifted(whole: None) -> None:
    text = export()
    Provider.objects.filter(name="other").update(enabled=False)
    assert apply(text).changes == ["~ provider other: enabled false -> true"]


def test_no_secret_is_in_an_export(whole: None) -> None:
    text = export()
    assert "sk-from-env" not in text
    assert "abc" not in text
    providers = yaml.safe_load(text)["providers"]
    assert [each["credential"] for each in providers] == ["env:OUR_KEY_THERE", "stored"]


def test_a_stored_credential_is_refused_where_it_is_not(whole: None) -> None:
    text = export()
    Credential.objects.all().delete()
    with pytest.raises(DeclarationError) as refused:
        apply(text)
    ((_, message),) = refused.value.problems
    assert message == (
        "credential: provider 'other' has none stored in this database, and an exported file "
        'holds no secret: write "env:NAME" or "literal:TEXT"'
    )


def test_keys_of_people_and_what_has_ended_are_left_out(whole: None) -> None:
    project, member = Project.objects.get(), Membership.objects.get()
    issue_key(project=project, name="mine", owner=member)
    revoke_key(issue_key(project=project, name="old").key)
    archived = Project.objects.create(
        organization=project.organization, slug="gone", archived_at=datetime.now(UTC)
    )
    Organization.objects.create(slug="away", name="Away", status="suspended")
    text = export()
    for name in ("mine", "old", archived.slug, "away"):
        assert f": {name}" not in text
    assert apply(text).lines() == ["= nothing changed"]


def test_a_name_that_two_keys_have_stands_once_without_quotas(whole: None) -> None:
    issue_key(project=Project.objects.get(), name="ci")
    (acme,) = yaml.safe_load(export())["organizations"]
    assert acme["projects"][0]["keys"] == [{"name": "ci"}]
    assert apply(export()).lines() == ["= nothing changed"]


def test_of_several_prices_the_one_in_force_is_written(whole: None) -> None:
    figures = figures_of(Price.objects.get())
    for year in (2020, 2090):
        add_price(
            model="gpt-4o", effective_from=datetime(year, 5, 1, 6, tzinfo=UTC), figures=figures
        )
    (model,) = yaml.safe_load(export())["models"]
    assert str(model["price"]["effective"]) == "2026-01-01"
    assert apply(export()).lines() == ["= nothing changed"]


def test_a_price_may_begin_within_a_day(whole: None) -> None:
    Quota.objects.filter(model="gpt-4o").delete()
    Model.objects.update(name="late")
    figures = figures_of(Price.objects.get())
    begins = datetime(2026, 5, 1, 6, 7, 8, 9, tzinfo=UTC)
    add_price(model="late", effective_from=begins, figures=figures)
    (model,) = yaml.safe_load(export())["models"]
    assert model["price"]["effective"] == "2026-05-01T06:07:08.000009+00:00"
    assert apply(export()).lines() == ["= nothing changed"]


def test_the_command_writes_a_file_that_it_can_apply(whole: None, tmp_path: Path) -> None:
    file, screen = tmp_path / "all.yaml", io.StringIO()
    call_command("apply", str(file), export=True, stdout=screen)
    call_command("apply", export=True, stdout=screen)
    assert screen.getvalue() == f"Wrote {file}.\n" + file.read_text()
    again = io.StringIO()
    call_command("apply", str(file), dry_run=True, stdout=again)
    assert again.getvalue().startswith("= nothing changed\n")


def test_an_empty_database_gives_a_file_that_can_be_applied(db: None) -> None:
    assert apply(export()).lines() == ["= nothing changed"]
