"""What a file must not say: the line and the reason, every problem at once, nothing applied."""

import pytest

from accounts.issuance import issue_key
from accounts.models import AuditEvent, Organization, Project
from billing.models import Price, Quota
from gateway.declaration import DeclarationError, apply
from gateway.models import Model, Provider

pytestmark = pytest.mark.django_db

PROVIDER = '{name: openai, protocol: openai, base_url: "https://api.openai.com/v1"}'
MODEL = "{name: m, context_window: 10, max_output_tokens: 5}"


def refusals(text: str) -> list[tuple[int, str]]:
    """Apply a file that cannot be applied; return its problems."""
    before = AuditEvent.objects.count()
    with pytest.raises(DeclarationError) as refused:
        apply(text)
    assert AuditEvent.objects.count() == before, "something was applied"
    return [(line, message) for line, message in refused.value.problems]


def refusal(text: str) -> str:
    """Return the only problem, as `line: message`."""
    ((line, message),) = refusals(text)
    return f"{line}: {message}"


def test_every_problem_of_a_file_is_told_with_its_line() -> None:
    text = """\
providers:
  - {name: openai, protocol: openia, base_url: "https://api.openai.com/v1"}
models:
  - name: gpt-4o
    context_windw: 128000
    max_output_tokens: many
    routes: [{provider: nowhere, model: gpt-4o}]
    price: {input: "2,50", output: "10.00"}
organizations:
  - slug: acme corp
    time_zone: Europe/Berln
    quotas:
      - {unit: requests, limit: 600, window: none}
"""
    found = refusals(text)
    assert [line for line, _ in found] == [2, 4, 5, 6, 7, 8, 10, 11, 13]
    told = dict(found)
    assert told[2] == "protocol: 'openia' is none of openai, anthropic"
    assert told[4] == "context_window is missing"
    assert told[5] == "unknown name 'context_windw'; did you mean 'context_window'?"
    assert told[6] == "max_output_tokens: must be a whole number, and 'many' is not"
    assert told[7] == "provider: 'nowhere' is neither in this file nor in the database"
    assert "'2,50' is not an amount" in told[8]
    assert "'acme corp'" in told[10]
    assert told[11] == "time_zone: 'Europe/Berln' is not a time zone of the IANA database"
    assert told[13] == "quota: window: must be a period for requests; only concurrency has none"


def test_one_wrong_line_keeps_all_others_from_being_applied() -> None:
    assert refusal(f"providers: [{PROVIDER}]\nmodels: [{MODEL}]\norganizations: [{{slug: é}}]")
    assert not Provider.objects.exists()
    assert not Model.objects.exists()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: b: c", "1: not YAML"),
        ("providers:\n\t- {}", "2: not YAML"),
        ("providers: [\n  {name: x},\n", "3: not YAML"),
        ("models: *nowhere", "1: not YAML"),
        ("models: []\n---\nmodels: []", "2: not YAML"),
        ("name: \x07", "1: not YAML"),
        ("[" * 5000, "1: nested too deeply"),
        ("- just\n- a list", "1: the file must be a mapping"),
        ("modells: []", "1: unknown name 'modells'; did you mean 'models'?"),
        ("models: {}", "1: models: must be a list"),
        ("models:\n  - text", "2: must be a mapping"),
        ("models: []\nproviders: []\nmodels: []", "3: 'models' stands twice; see line 1"),
        ("models: [!!python/object:os.system {}]", "1: name is missing"),
    ],
)
def test_a_file_that_is_no_declaration_is_refused(text: str, expected: str) -> None:
    assert any(f"{line}: {message}".startswith(expected) for line, message in refusals(text))


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ('base_url: "ftp://api.example.com"', "must begin with http"),
        ('base_url: "https://user:pw@example.com"', "user name or password"),
        ('base_url: "http://10.0.0.8/v1"', "UPSTREAM_ALLOWED_NETWORKS"),
        ('base_url: "http://169.254.169.254/"', "UPSTREAM_ALLOWED_NETWORKS"),
        ('base_url: "http://2130706433/"', "unusual spelling"),
        ("base_url: 5", "base_url: must be text; put it in quotes"),
        ('base_url: ""', "must not be empty"),
    ],
)
def test_an_address_that_calls_may_not_go_to_is_refused(columns: str, expected: str) -> None:
    told = refusal(f"providers:\n  - {{name: openai, protocol: openai, {columns}}}")
    assert told.startswith("2: base_url")
    assert expected in told


@pytest.mark.parametrize(
    ("credential", "expected"),
    [
        ("env:TOLLGATE_TEST_NOT_SET", "the environment variable TOLLGATE_TEST_NOT_SET is not set"),
        ("env:", "must be followed by the name"),
        ("canary-1", 'must be "env:NAME" or "literal:TEXT"'),
        ("literal:", "the secret is empty"),
        ("literal:canary 1", "cannot stand in a header"),
        ("literal:canary\\n1", "cannot stand in a header"),
        ("12345canary", 'must be "env:NAME" or "literal:TEXT"'),
    ],
)
def test_a_credential_that_cannot_be_used_is_refused_unquoted(
    credential: str, expected: str
) -> None:
    told = refusal(f'providers:\n  - {PROVIDER[:-1]}, credential: "{credential}"}}')
    assert told.startswith("2: credential")
    assert expected in told
    assert "canary" not in told


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ("context_window: 1.5, max_output_tokens: 1", "must be a whole number, and '1.5' is not"),
        ('context_window: "5", max_output_tokens: 1', "must be a whole number, and '5' is not"),
        ("context_window: 0, max_output_tokens: 1", "0 is outside 1 to"),
        ("context_window: 1, max_output_tokens: -1", "-1 is outside 1 to"),
        ("context_window: 99999999999999999999, max_output_tokens: 1", "is not a whole number"),
        ("context_window: 0x1F, max_output_tokens: 1", "'0x1F' is not a whole number"),
        ("context_window: 010, max_output_tokens: 1", "'010' is not a whole number"),
        ("context_window: null, max_output_tokens: 1", "must be a whole number"),
        ("context_window: [1], max_output_tokens: 1", "must be a whole number"),
        ("context_window: 1, max_output_tokens: 1, overhead_tokens: null", "whole number"),
        ("context_window: 1, max_output_tokens: 1, enabled: 1", "must be true or false"),
    ],
)
def test_a_bound_of_the_wrong_type_is_refused(columns: str, expected: str) -> None:
    assert expected in refusal(f"models:\n  - {{name: m, {columns}}}")


def test_a_name_that_yaml_takes_for_something_else_must_be_quoted() -> None:
    told = refusal("models:\n  - {name: no, context_window: 1, max_output_tokens: 1}")
    assert told == "2: name: must be text; put it in quotes, and 'no' is not"


@pytest.mark.parametrize(
    ("price", "expected"),
    [
        ("{input: 1}", "output"),
        ("{input: -1, output: 1}", "negative"),
        ("{input: 0.00001, output: 1}", "finer"),
        ("{input: .nan, output: 1}", "input"),
        ("{input: 1e3, output: 1}", "input"),
        ("{input: true, output: 1}", "input"),
        ("{input: 1, output: 1, inptu: 2}", "inptu"),
        ("{input: 1, output: 1, effective: soon}", "'soon' is not a date"),
        ("{input: 1, output: 1, effective: 2026-02-30}", "'2026-02-30' is not a date"),
        ("{input: 1, output: 1, effective: 2026-02-01 10:00}", "needs a time zone"),
        ("{input: 1, output: 1, above: [{input: 2}]}", "input_tokens"),
        ("{input: 1, input: 2, output: 1}", "stands twice"),
        ("free", "must be a mapping"),
    ],
)
def test_a_bad_price_is_refused(price: str, expected: str) -> None:
    (line, message), *others = refusals(f"models:\n  - {MODEL[:-1]},\n     price: {price}}}")
    assert (line, others) == (3, [])
    assert expected in message


def test_the_line_of_a_tier_is_found() -> None:
    text = f"""\
models:
  - {MODEL[:-1]},
     price: {{
       input: 1,
       output: 2,
       above: [
         {{input_tokens: 10, input: 3}},
         {{input_tokens: 20,
           input: cheap}}
       ]}}}}
"""
    assert refusal(text).startswith("9: price: above[1].input: 'cheap'")


def test_another_price_from_the_same_day_on_is_refused() -> None:
    text = (
        f"models:\n  - {MODEL[:-1]},\n     price: {{input: 1, output: 2, effective: 2026-01-01}}}}"
    )
    apply(text)
    told = refusal(text.replace("output: 2", "output: 3"))
    assert told.startswith("3: price: m has another price from 2026-01-01 on already")
    assert Price.objects.get().output == 20_000


@pytest.mark.parametrize(
    ("quota", "expected"),
    [
        ("{limit: 1, window: month}", "unit"),
        ("{unit: coast, limit: 1, window: month}", "coast"),
        ("{unit: requests, limit: 1.5, window: hour}", "must be a whole number"),
        ("{unit: concurrency, limit: 1, window: day}", "must be none for concurrency"),
        ("{unit: requests, limit: 1, window: day, clamp: true}", "must be false"),
        ("{unit: cost, window: month}", "limit"),
        ("{unit: cost, limit: -1, window: month}", "negative"),
        ("{unit: cost, limit: 1, window: month, model: gpt-9}", "'gpt-9' is neither in this file"),
        ("{unit: cost, limit: 1, window: month, clmap: true}", "clmap"),
    ],
)
def test_a_quota_that_would_not_hold_is_refused(quota: str, expected: str) -> None:
    told = refusal(f"organizations:\n  - slug: acme\n    quotas:\n      - {quota}")
    assert told.startswith("4: ")
    assert expected in told
    assert not Quota.objects.exists()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"providers:\n  - {PROVIDER}\n  - {PROVIDER}", "3: provider 'openai' stands twice"),
        (f"models:\n  - {MODEL}\n  - {MODEL}", "3: model 'm' stands twice; see line 2"),
        ("organizations:\n  - slug: a\n  - slug: a", "3: organization 'a' stands twice"),
        ("organizations: [{slug: a, projects: [{slug: p}, {slug: p}]}]", "1: project 'p'"),
        ("organizations: [{slug: a, members: [{email: a@b.cd}, {email: A@b.cd}]}]", "1: member"),
        (
            "organizations: [{slug: a, projects: [{slug: p, keys: [{name: k}, {name: k}]}]}]",
            "1: key 'k' stands twice",
        ),
        (
            "organizations:\n  - slug: a\n    quotas:\n"
            "      - {unit: cost, limit: 1, window: day}\n"
            "      - {unit: cost, limit: 2, window: day}",
            "5: a quota of this unit, window and model stands twice; see line 4",
        ),
    ],
)
def test_a_name_that_is_declared_twice_is_refused(text: str, expected: str) -> None:
    assert refusal(text).startswith(expected)


def test_a_route_that_is_declared_twice_is_refused() -> None:
    routes = "routes: [{provider: openai, model: m}, {provider: openai, model: m}]"
    told = refusal(f"providers: [{PROVIDER}]\nmodels:\n  - {MODEL[:-1]}, {routes}}}")
    assert told.startswith("3: this route of the model stands twice")


@pytest.mark.parametrize("address", ["dev", "dev@", "@example.com", "a b@example.com"])
def test_a_member_needs_an_e_mail_address(address: str) -> None:
    told = refusal(f'organizations: [{{slug: a, members: [{{email: "{address}"}}]}}]')
    assert "is not an e-mail address" in told


def test_a_value_that_holds_itself_is_refused() -> None:
    told = refusal(f"models:\n  - {MODEL[:-1]},\n     price: {{above: &a [*a]}}}}")
    assert told.startswith("3: ")
    assert "nested too deeply" in told


def test_a_new_key_in_an_archived_project_is_refused(project: Project) -> None:
    Project.objects.update(archived_at=project.made_at)
    told = refusal("organizations: [{slug: acme, projects: [{slug: default, keys: [{name: k}]}]}]")
    assert told == "1: key 'k': project default is archived"


def test_quotas_for_one_of_two_keys_of_a_name_are_refused(project: Project) -> None:
    for _ in range(2):
        issue_key(project=project, name="ci")
    key = "{name: ci, quotas: [{unit: cost, limit: 1, window: day}]}"
    told = refusal(f"organizations: [{{slug: acme, projects: [{{slug: default, keys: [{key}]}}]}}]")
    assert "2 keys of the project have this name" in told
    assert Organization.objects.count() == 1
