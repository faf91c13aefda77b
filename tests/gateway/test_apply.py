"""A file that is applied: what it makes, what it changes, and what it never does."""

import io
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection

from accounts import keys
from accounts.issuance import revoke_key
from accounts.models import ApiKey, AuditEvent, Membership, Organization, Project, User
from billing.models import Price, Quota
from gateway.credentials import open_sealed
from gateway.declaration import Report, apply
from gateway.models import Credential, Model, Provider, Route

pytestmark = pytest.mark.django_db

WHOLE = """
providers:
  - {name: openai, protocol: openai, base_url: "https://api.openai.com/v1",
     credential: "literal:sk-1"}
  - {name: other, protocol: anthropic, base_url: "https://api.example.com",
     credential: "literal:abc"}
models:
  - name: gpt-4o
    context_window: 128000
    max_output_tokens: 16384
    overhead_tokens: 10
    overhead_tokens_per_image: 1500
    routes:
      - {provider: openai, model: gpt-4o, priority: 0, weight: 3, connect_timeout_ms: 2000}
      - {provider: other, model: big, priority: 1, cap_bounds_reasoning: false}
    price:
      input: "2.50"
      cache_read: 1.25
      output: 10
      effective: 2026-01-01
      above: [{input_tokens: 200000, input: "5.00", output: "20.00"}]
organizations:
  - slug: acme
    name: Acme
    time_zone: Europe/Berlin
    quotas: [{unit: cost, limit: "100.00", window: month}]
    members:
      - {email: Dev@Example.com, role: admin, quotas: [{unit: cost, limit: 20, window: month}]}
    projects:
      - slug: default
        quotas:
          - {unit: cost, limit: "5.00", window: month, mode: enforce, hold: strict, clamp: false}
          - {unit: cost, limit: null, window: day, model: gpt-4o}
        keys:
          - name: ci
            quotas:
              - {unit: cost, limit: "1.00", window: lifetime}
              - {unit: concurrency, limit: 4}
"""


def test_everything_that_the_file_names_is_made() -> None:
    report = apply(WHOLE)
    assert report.changes == [
        "+ provider openai",
        "+ credential at openai: set from literal",
        "+ provider other",
        "+ credential at other: set from literal",
        "+ model gpt-4o",
        "+ route gpt-4o at openai as gpt-4o",
        "+ route gpt-4o at other as big",
        "+ price gpt-4o from 2026-01-01 00:00 UTC",
        "+ organization acme",
        "+ quota cost per month of acme: limit 100.00 USD",
        "+ user dev@example.com, who has no password yet",
        "+ member dev@example.com of acme",
        "+ quota cost per month of member dev@example.com of acme: limit 20.00 USD",
        "+ project acme/default",
        "+ quota cost per month of project acme/default: limit 5.00 USD",
        "+ quota cost per day on gpt-4o of project acme/default: limit none",
        f"+ key ci of acme/default ({ApiKey.objects.get().public_id})",
        "+ quota cost per lifetime of key ci of acme/default: limit 1.00 USD",
        "+ quota concurrency of key ci of acme/default: limit 4",
    ]


def test_the_rows_say_what_the_file_said() -> None:
    apply(WHOLE)
    model = Model.objects.get()
    assert (model.overhead_tokens, model.overhead_tokens_per_image) == (10, 1500)
    assert model.overhead_tokens_per_file is None
    first, second = Route.objects.order_by("priority")
    assert (first.weight, first.connect_timeout_ms, first.idle_timeout_ms) == (3, 2000, 120_000)
    assert (second.upstream_model, second.cap_bounds_reasoning) == ("big", False)
    assert Organization.objects.get().time_zone == "Europe/Berlin"
    assert Membership.objects.get().role == "admin"
    assert not User.objects.get().has_usable_password()


def test_prices_are_exact_ticks_whether_they_were_quoted_or_not() -> None:
    apply(WHOLE)
    price = Price.objects.get()
    assert (price.input, price.cache_read, price.output) == (25_000, 12_500, 100_000)
    assert price.tiers == [{"input_tokens": 200_000, "input": 50_000, "output": 200_000}]
    assert price.effective_from == datetime(2026, 1, 1, tzinfo=UTC)


def test_a_quota_has_the_scope_that_it_stands_in() -> None:
    apply(WHOLE)
    project, key = Project.objects.get(), ApiKey.objects.get()
    scopes = Quota.objects.values_list("scope", "scope_id", "limit", "clamp", "model")
    assert sorted(scopes, key=str) == sorted(
        [
            ("organization", Organization.objects.get().pk, 100 * 10**10, False, ""),
            ("member", Membership.objects.get().pk, 20 * 10**10, True, ""),
            ("project", project.pk, 5 * 10**10, False, ""),
            ("project", project.pk, None, False, "gpt-4o"),
            ("key", key.pk, 10**10, True, ""),
            ("key", key.pk, 4, False, ""),
        ],
        key=str,
    )


def test_applying_it_again_changes_nothing() -> None:
    apply(WHOLE)
    audited = AuditEvent.objects.count()
    report = apply(WHOLE)
    assert report.lines() == ["= nothing changed"]
    assert report.keys == []
    assert AuditEvent.objects.count() == audited


def test_what_differs_is_changed_and_told() -> None:
    apply(WHOLE)
    changed = (
        WHOLE.replace("context_window: 128000", "context_window: 200000")
        .replace("weight: 3", "weight: 1")
        .replace("role: admin", "role: viewer")
        .replace('limit: "5.00"', 'limit: "7.50"')
    )
    assert apply(changed).changes == [
        "~ model gpt-4o: context_window 128000 -> 200000",
        "~ route gpt-4o at openai as gpt-4o: weight 3 -> 1",
        "~ member dev@example.com of acme: role admin -> viewer",
        "~ quota cost per month of project acme/default: limit 5.00 USD -> 7.50 USD",
    ]
    assert Model.objects.get().context_window == 200_000


def test_what_the_file_leaves_out_stays() -> None:
    apply(WHOLE)
    assert apply("organizations: [{slug: acme}]").lines() == ["= nothing changed"]
    assert Route.objects.count() == 2
    assert Organization.objects.get().name == "Acme"


def test_a_key_is_made_once_and_its_text_is_a_real_key() -> None:
    ((label, issued),) = apply(WHOLE).keys
    assert label == "key ci of acme/default"
    presented = keys.parse(issued.plaintext, [settings.KEY_PREFIX])
    assert presented.public_id == ApiKey.objects.get().public_id


def test_the_report_shows_neither_keys_nor_credentials() -> None:
    report = apply(WHOLE)
    assert report.keys[0][1].plaintext not in f"{report} {report.lines()}"
    assert "sk-1" not in f"{report} {report.lines()}"


def test_a_revoked_key_is_not_made_again() -> None:
    apply(WHOLE)
    revoke_key(ApiKey.objects.get(), "leaked")
    report = apply(WHOLE)
    assert report.keys == []
    assert report.lines() == [
        "= nothing changed",
        "! key ci of acme/default was revoked, which is final: it is not made again",
    ]


def test_a_new_price_is_appended_and_the_old_one_stays() -> None:
    apply(WHOLE)
    report = apply(WHOLE.replace('"2.50"', '"2.00"').replace("2026-01-01", "2026-06-01"))
    assert report.changes == ["+ price gpt-4o from 2026-06-01 00:00 UTC"]
    assert list(Price.objects.order_by("effective_from").values_list("input", flat=True)) == [
        25_000,
        20_000,
    ]


def test_a_later_date_with_the_same_figures_needs_no_new_price() -> None:
    apply(WHOLE)
    assert apply(WHOLE.replace("2026-01-01", "2026-06-01")).lines() == ["= nothing changed"]


def test_a_price_without_a_date_begins_now() -> None:
    undated = WHOLE.replace("      effective: 2026-01-01\n", "")
    apply(undated)
    assert abs((Price.objects.get().effective_from - datetime.now(UTC)).total_seconds()) < 60
    assert apply(undated).lines() == ["= nothing changed"]


def test_a_replaced_credential_is_told_without_being_shown() -> None:
    apply(WHOLE)
    report = apply(WHOLE.replace("literal:sk-1", "literal:sk-2"))
    assert report.changes == ["~ credential at openai: replaced from literal"]
    newest = Credential.objects.filter(provider__name="openai").order_by("-id").first()
    assert newest is not None
    assert open_sealed(newest.sealed).reveal() == "sk-2"


def test_a_credential_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUR_KEY_THERE", "from-the-environment")
    apply(WHOLE.replace("literal:sk-1", "env:OUR_KEY_THERE"))
    credential = Credential.objects.get(provider__name="openai")
    assert open_sealed(credential.sealed).reveal() == "from-the-environment"
    assert credential.source == "env:OUR_KEY_THERE"


def test_a_provider_without_a_credential_is_pointed_out() -> None:
    report = apply(WHOLE.replace(',\n     credential: "literal:abc"', ""))
    assert report.notes == ["! provider other has no credential, so its routes are not used yet"]


def test_a_route_that_the_file_leaves_out_is_pointed_out_while_it_is_in_use() -> None:
    apply(WHOLE)
    shorter = "\n".join(line for line in WHOLE.split("\n") if "{provider: other" not in line)
    note = "! route gpt-4o at other as big is not in the file and stays in use"
    assert apply(shorter).notes == [note]
    Route.objects.filter(provider__name="other").update(enabled=False)
    assert apply(shorter).notes == []


def test_a_dry_run_tells_the_same_and_keeps_nothing() -> None:
    told = apply(WHOLE, dry_run=True).changes
    assert not Provider.objects.exists()
    assert not Organization.objects.exists()
    assert [line.split(" (")[0] for line in told] == [
        line.split(" (")[0] for line in apply(WHOLE).changes
    ]


def test_values_may_be_shared_by_anchors() -> None:
    apply(
        """
organizations:
  - slug: one
    quotas: &usual [{unit: cost, limit: "1.00", window: day}]
  - slug: two
    quotas: *usual
"""
    )
    assert Quota.objects.count() == 2


def test_somebody_who_left_can_be_declared_again() -> None:
    apply(WHOLE)
    Membership.objects.update(left_at=datetime.now(UTC))
    assert "+ member dev@example.com of acme" in apply(WHOLE).changes
    assert Membership.objects.count() == 2


def test_an_empty_file_changes_nothing() -> None:
    assert apply("# nothing yet\n").lines() == ["= nothing changed"]


def test_every_change_is_audited_as_the_commands(tmp_path: Path) -> None:
    run(tmp_path, WHOLE)
    assert set(AuditEvent.objects.values_list("via", flat=True)) == {"command"}
    written = str(list(AuditEvent.objects.values_list("after", flat=True)))
    assert "gpt-4o" in written
    assert "sealed" not in written


def test_the_command_prints_the_changes_and_the_new_key_once(tmp_path: Path) -> None:
    first = run(tmp_path, WHOLE)
    assert "+ provider openai" in first
    (line,) = [line for line in first if line.startswith("key ci of acme/default, shown")]
    assert line.split()[-1].startswith(f"{settings.KEY_PREFIX}_")
    assert run(tmp_path, WHOLE) == ["= nothing changed"]


def test_the_command_shows_no_key_in_a_dry_run(tmp_path: Path) -> None:
    told = run(tmp_path, WHOLE, "--dry-run")
    assert told[-1] == "This was a dry run: nothing was applied."
    assert f"{settings.KEY_PREFIX}_" not in str(told)


def test_the_command_says_which_line_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(CommandError) as refused:
        run(tmp_path, "providers:\n  - {name: a b}\n")
    lines = str(refused.value).splitlines()
    assert f"{tmp_path}/file.yaml:2: name: 'a b' is not made of letters" in lines[0]
    assert lines[-1] == "Nothing was applied."


def test_the_command_says_that_a_file_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"missing\.yaml cannot be read"):
        call_command("apply", str(tmp_path / "missing.yaml"))
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CommandError, match="is not UTF-8"):
        call_command("apply", str(tmp_path / "binary.yaml"))


@pytest.mark.django_db(transaction=True)
def test_two_at_the_same_moment_make_everything_once() -> None:
    start = threading.Barrier(2)
    with ThreadPoolExecutor(2) as threads:
        reports = list(threads.map(lambda _: apply_together(start), range(2)))
    assert sorted(len(report.keys) for report in reports) == [0, 1]
    assert "= nothing changed" in {report.lines()[0] for report in reports}
    assert ApiKey.objects.count() == 1


def apply_together(start: threading.Barrier) -> Report:
    try:
        start.wait(10)
        return apply(WHOLE)
    finally:
        connection.close()


def run(folder: Path, text: str, *options: str) -> list[str]:
    file, output = folder / "file.yaml", io.StringIO()
    file.write_text(text)
    call_command("apply", str(file), *options, stdout=output)
    return output.getvalue().splitlines()
