"""What is answered without a provider: models, the caller's own key, and its quotas."""

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from anthropic.types import ModelInfo
from django.conf import settings
from openai.types import Model as OpenAIModel

from accounts.keyring import KeyRecord
from billing.ledger.allowances import Standing
from billing.ledger.windows import BEGINNING, END
from billing.quotas import QuotaRule
from gateway import endpoints
from gateway.errors import ModelNotFound
from gateway.models import Model
from gateway.routing import Catalog
from tests.gateway.catalogs import add_model, add_provider, add_route, load

pytestmark = pytest.mark.django_db(transaction=True)

KEY = KeyRecord(
    id=7,
    public_id="AbCdEfGhIjKl",
    name="ci",
    organization=1,
    organization_slug="acme",
    project=2,
    project_slug="default",
    member=3,
    member_user=4,
    status="active",
    expires_at=None,
    models=frozenset(),
    endpoints=frozenset(),
    networks=(),
    tags={"team": "search"},
    secrets=(),
    refusal=None,
    time_zone="Europe/Berlin",
    hang_up="close",
    made_at=1_767_225_600.5,
    changed_at=1_767_225_660.0,
)
RULE = QuotaRule(
    id=1,
    organization=1,
    scope="key",
    scope_id=7,
    model="",
    unit="cost",
    limit=5 * 10**10,
    window="month",
    mode="enforce",
    hold="strict",
    clamp=True,
    ends_at=None,
    made_at=0.0,
)
STANDING = Standing(
    rule=RULE,
    starts_at=datetime(2026, 6, 30, 22, tzinfo=UTC),
    ends_at=datetime(2026, 7, 31, 22, tzinfo=UTC),
    limit=5 * 10**10,
    used=12_500_000_000,
    held=1,
    as_of=1_784_000_000.7,
)


@pytest.fixture
def catalog(dsn: str) -> Catalog:
    """Two models that can be called, and one without a route."""
    provider = add_provider("openai")
    for name in ("gpt-4o", "claude"):
        add_route(add_model(name), provider, upstream_model=f"upstream-{name}")
    add_model("unreachable")
    return load(dsn)


def test_the_list_holds_every_model_that_can_be_called(catalog: Catalog) -> None:
    answer = json.loads(endpoints.list_models(KEY, catalog))
    assert [model["id"] for model in answer["data"]] == ["claude", "gpt-4o"]
    assert (answer["object"], answer["has_more"]) == ("list", False)
    assert (answer["first_id"], answer["last_id"]) == ("claude", "gpt-4o")


def test_the_list_of_a_key_for_one_model_holds_only_that(catalog: Catalog) -> None:
    key = change(KEY, models=frozenset({"gpt-4o", "gone"}))
    answer = json.loads(endpoints.list_models(key, catalog))
    assert [model["id"] for model in answer["data"]] == ["gpt-4o"]


def test_an_empty_list_has_no_first_and_last(catalog: Catalog) -> None:
    answer = json.loads(endpoints.list_models(change(KEY, models=frozenset({"gone"})), catalog))
    assert (answer["data"], answer["first_id"], answer["last_id"]) == ([], None, None)


def test_a_model_has_the_shape_of_every_vendor(catalog: Catalog) -> None:
    answer = json.loads(endpoints.show_model(KEY, catalog, "gpt-4o"))
    made_at = Model.objects.get(name="gpt-4o").made_at
    assert answer == {
        "id": "gpt-4o",
        "object": "model",
        "created": int(made_at.timestamp()),
        "owned_by": "openai",
        "type": "model",
        "display_name": "gpt-4o",
        "created_at": f"{made_at:%Y-%m-%dT%H:%M:%SZ}",
        "lifecycle": "active",
    }
    assert OpenAIModel.model_validate(answer, strict=True).created == answer["created"]
    assert ModelInfo.model_validate(answer).created_at == made_at.replace(microsecond=0)


def test_a_model_that_has_a_last_day_is_deprecated_and_says_which(
    catalog: Catalog, dsn: str
) -> None:
    last = datetime(2999, 12, 31, tzinfo=UTC)
    Model.objects.filter(name="gpt-4o").update(retires_at=last)
    answer = ModelInfo.model_validate_json(endpoints.show_model(KEY, load(dsn), "gpt-4o"))
    assert (answer.lifecycle, answer.retires_at) == ("deprecated", last)


@pytest.mark.parametrize("name", ["gpt-5", "", "unreachable", "gpt-4o/../claude"])
def test_a_model_that_does_not_exist_is_not_found(name: str, catalog: Catalog) -> None:
    with pytest.raises(ModelNotFound):
        endpoints.show_model(KEY, catalog, name)


def test_a_model_that_the_key_may_not_use_looks_like_one_that_does_not_exist(
    catalog: Catalog,
) -> None:
    key = change(KEY, models=frozenset({"claude"}))
    with pytest.raises(ModelNotFound) as hidden:
        endpoints.show_model(key, catalog, "gpt-4o")
    with pytest.raises(ModelNotFound) as missing:
        endpoints.show_model(key, catalog, "gpt-9x")
    assert str(hidden.value).replace("gpt-4o", "gpt-9x") == str(missing.value)


def test_no_answer_tells_where_a_model_really_runs(catalog: Catalog) -> None:
    told = endpoints.list_models(KEY, catalog) + endpoints.show_me(KEY, catalog, [STANDING])
    assert b"upstream-" not in told
    assert b"secret of" not in told
    assert b"api.openai.com" not in told


def test_me_says_whose_key_it_is_and_what_it_may_use(catalog: Catalog) -> None:
    key = change(KEY, models=frozenset({"gpt-4o"}), expires_at=1_798_761_600.0)
    answer = json.loads(endpoints.show_me(key, catalog, []))
    assert answer == {
        "object": "key",
        "id": "AbCdEfGhIjKl",
        "name": "ci",
        "organization": "acme",
        "project": "default",
        "owner": {"member": 3, "user": 4},
        "created_at": "2026-01-01T00:00:00Z",
        "expires_at": "2027-01-01T00:00:00Z",
        "models": ["gpt-4o"],
        "endpoints": ["*"],
        "tags": {"team": "search"},
        "time_zone": "Europe/Berlin",
        "quotas": [],
    }


def test_a_service_key_has_no_owner(catalog: Catalog) -> None:
    key = change(KEY, member=None, member_user=None)
    assert json.loads(endpoints.show_me(key, catalog, []))["owner"] is None


def test_me_tells_what_is_left_of_each_quota(catalog: Catalog) -> None:
    answer = json.loads(endpoints.show_me(KEY, catalog, [STANDING]))
    assert answer["quotas"] == [
        {
            "scope": "key",
            "name": "ci",
            "unit": "cost",
            "currency": "USD",
            "window": "month",
            "model": None,
            "mode": "enforce",
            "hold": "strict",
            "clamp": True,
            "limit": "5.00",
            "used": "1.25",
            "held": "0.0000000001",
            "left": "3.7499999999",
            "at_worst": "5.00",
            "counted_since": "2026-07-01T00:00:00+02:00",
            "resets_at": "2026-08-01T00:00:00+02:00",
            "as_of": "2026-07-14T05:33:20+02:00",
        }
    ]


def test_nothing_is_left_where_more_was_used_than_allowed(catalog: Catalog) -> None:
    assert quota(catalog, STANDING._replace(used=6 * 10**10))["left"] == "0.00"


def test_a_quota_that_only_counts_has_neither_limit_nor_rest(catalog: Catalog) -> None:
    told = quota(catalog, STANDING._replace(rule=change(RULE, limit=None), limit=None))
    assert (told["limit"], told["left"], told["used"]) == (None, None, "1.25")


def test_a_quota_that_was_made_within_its_window_says_since_when_it_counts(
    catalog: Catalog,
) -> None:
    made_at = datetime(2026, 7, 10, 12, tzinfo=UTC).timestamp()
    told = quota(catalog, STANDING._replace(rule=change(RULE, made_at=made_at)))
    assert told["counted_since"] == "2026-07-10T14:00:00+02:00"


def test_a_bounded_quota_publishes_its_worst_case(catalog: Catalog) -> None:
    rule = change(RULE, unit="total_tokens", hold="bounded", limit=1000, share=1)
    told = quota(catalog, STANDING._replace(rule=rule, limit=1000, used=0, held=0))
    assert (told["hold"], told["limit"], told["at_worst"]) == ("bounded", 1000, 4000)


def test_a_lifetime_never_resets(catalog: Catalog) -> None:
    standing = STANDING._replace(
        rule=change(RULE, window="lifetime"), starts_at=BEGINNING, ends_at=END
    )
    assert quota(catalog, standing)["resets_at"] is None


def test_other_units_are_told_as_numbers(catalog: Catalog) -> None:
    told = quota(
        catalog, STANDING._replace(rule=change(RULE, unit="requests", limit=9), limit=9, used=4)
    )
    assert (told["limit"], told["used"], told["left"], told["currency"]) == (9, 4, 4, None)


def test_the_key_in_xais_shape_has_all_twelve_fields() -> None:
    assert json.loads(endpoints.show_api_key(KEY)) == {
        "redacted_api_key": f"{settings.KEY_PREFIX}_AbCdEfGhIjKl...",
        "user_id": "4",
        "name": "ci",
        "create_time": "2026-01-01T00:00:00Z",
        "modify_time": "2026-01-01T00:01:00Z",
        "modified_by": "4",
        "team_id": "acme",
        "acls": ["api-key:model:*", "api-key:endpoint:*"],
        "api_key_id": "AbCdEfGhIjKl",
        "team_blocked": False,
        "api_key_blocked": False,
        "api_key_disabled": False,
    }


def test_restrictions_of_the_key_are_its_acls() -> None:
    key = change(KEY, models=frozenset({"b", "a"}), endpoints=frozenset({"chat"}), member_user=None)
    answer = json.loads(endpoints.show_api_key(key))
    assert answer["acls"] == ["api-key:model:a", "api-key:model:b", "api-key:endpoint:chat"]
    assert answer["user_id"] == ""


def quota(catalog: Catalog, standing: Standing) -> dict[str, Any]:
    (told,) = json.loads(endpoints.show_me(KEY, catalog, [standing]))["quotas"]
    assert isinstance(told, dict)
    return told


def change(value: Any, **fields: object) -> Any:
    return msgspec.structs.replace(value, **fields)
