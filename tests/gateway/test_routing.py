"""Which routes a model has, in which order they are tried, and how changes reach the catalog."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable

import pytest

from accounts.changes import Change
from accounts.models import ChangeLog
from gateway.credentials import seal
from gateway.models import Credential, Model, Provider, Route
from gateway.routing import Catalog
from tests.gateway.catalogs import (
    LOOPBACK,
    add_model,
    add_provider,
    add_route,
    find,
    load,
    read,
)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def openai() -> Provider:
    return add_provider("openai")


@pytest.fixture
def gpt(openai: Provider) -> Model:
    model = add_model("gpt-4o")
    Route.objects.create(model=model, provider=openai, upstream_model="gpt-4o-2024")
    return model


def test_a_model_comes_with_all_that_a_call_needs(gpt: Model, dsn: str) -> None:
    model = find(load(dsn), "gpt-4o")
    (route,) = model.routes
    assert (model.context_window, model.max_output_tokens) == (128_000, 16_384)
    assert model.made_at == int(gpt.made_at.timestamp())
    assert (route.provider, route.protocol, route.upstream_model) == (
        "openai",
        "openai",
        "gpt-4o-2024",
    )
    assert route.base_url == "https://api.openai.com/v1"
    assert route.credential.reveal() == "secret of openai"
    assert (route.connect_timeout_seconds, route.total_timeout_seconds) == (5.0, 3600.0)


def test_no_record_shows_the_credential(gpt: Model, dsn: str) -> None:
    assert "secret of" not in repr(find(load(dsn), "gpt-4o"))


def test_an_undeclared_overhead_is_none_and_not_zero(gpt: Model, dsn: str) -> None:
    Model.objects.update(overhead_tokens_per_image=1_500)
    model = find(load(dsn), "gpt-4o")
    assert model.overhead_tokens_per_image == 1_500
    assert model.overhead_tokens_per_file is None


def test_the_newest_credential_is_used(gpt: Model, openai: Provider, dsn: str) -> None:
    Credential.objects.create(provider=openai, sealed=seal("newer"), source="test")
    (route,) = find(load(dsn), "gpt-4o").routes
    assert route.credential.reveal() == "newer"


@pytest.mark.parametrize("kind", [Provider, Route])
def test_a_disabled_provider_or_route_is_not_tried(
    kind: type[Provider | Route], gpt: Model, dsn: str
) -> None:
    kind.objects.update(enabled=False)
    catalog = load(dsn)
    assert find(catalog, "gpt-4o").routes == ()
    assert catalog.models() == []


def test_a_disabled_model_is_unknown(gpt: Model, dsn: str) -> None:
    Model.objects.update(enabled=False)
    assert load(dsn).model("gpt-4o") is None


def test_models_stand_in_the_order_of_their_names(gpt: Model, openai: Provider, dsn: str) -> None:
    for name in ("zebra", "aardvark"):
        Route.objects.create(model=add_model(name), provider=openai, upstream_model=name)
    assert [model.name for model in load(dsn).models()] == ["aardvark", "gpt-4o", "zebra"]


def test_lower_priorities_are_tried_first(gpt: Model, dsn: str) -> None:
    for name, priority in (("last", 9), ("second", 1)):
        add_route(gpt, add_provider(name), priority=priority)
    catalog = load(dsn)
    tried = catalog.choose(find(catalog, "gpt-4o"))
    assert [route.provider for route in tried] == ["openai", "second", "last"]


def test_equals_share_by_weight(gpt: Model, dsn: str) -> None:
    Route.objects.update(weight=3)
    add_route(gpt, add_provider("other"), weight=1)
    catalog = load(dsn, chance=random.Random(7))
    model = find(catalog, "gpt-4o")
    first = Counter(catalog.choose(model)[0].provider for _ in range(4_000))
    assert 2_850 < first["openai"] < 3_150
    assert {len(catalog.choose(model)) for _ in range(10)} == {2}


def test_weight_zero_is_the_last_resort_of_its_priority(gpt: Model, dsn: str) -> None:
    add_route(gpt, add_provider("spare"), weight=0)
    add_route(gpt, add_provider("worse"), priority=1)
    catalog = load(dsn)
    model = find(catalog, "gpt-4o")
    for _ in range(50):
        order = [route.provider for route in catalog.choose(model)]
        assert order == ["openai", "spare", "worse"]


def test_a_provider_without_a_credential_is_left_out_and_named_once(
    gpt: Model, dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    Credential.objects.all().delete()
    add_route(gpt, Provider.objects.get(), upstream_model="again")
    catalog = load(dsn)
    refresh(catalog, dsn, lambda: Model.objects.update(context_window=1))
    assert find(catalog, "gpt-4o").routes == ()
    assert logged(caplog) == ["Routes at provider openai are left out: it has no credential"]


def test_an_address_that_is_not_allowed_is_left_out_and_named(
    gpt: Model, dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    Provider.objects.update(base_url="http://127.0.0.1:9900")
    assert find(load(dsn), "gpt-4o").routes == ()
    assert "openai" in logged(caplog)[0]
    assert "UPSTREAM_ALLOWED_NETWORKS" in logged(caplog)[0]
    assert len(find(load(dsn, allowed_networks=LOOPBACK), "gpt-4o").routes) == 1


def test_a_credential_that_does_not_open_takes_only_its_own_routes(
    gpt: Model, dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    add_route(gpt, add_provider("other"))
    Credential.objects.filter(provider__name="openai").update(sealed=b"nonsense")
    assert [route.provider for route in find(load(dsn), "gpt-4o").routes] == ["other"]
    assert "CREDENTIAL_KEYS" in logged(caplog)[0]


def test_a_new_credential_brings_the_routes_back(gpt: Model, openai: Provider, dsn: str) -> None:
    Credential.objects.all().delete()
    catalog = load(dsn)
    refresh(
        catalog,
        dsn,
        lambda: Credential.objects.create(provider=openai, sealed=seal("new"), source="test"),
    )
    (route,) = find(catalog, "gpt-4o").routes
    assert route.credential.reveal() == "new"


def test_a_disabled_provider_is_gone_after_a_refresh(gpt: Model, dsn: str) -> None:
    catalog = load(dsn)
    refresh(catalog, dsn, lambda: Provider.objects.update(enabled=False))
    assert find(catalog, "gpt-4o").routes == ()


def test_a_new_route_is_there_after_a_refresh(gpt: Model, dsn: str) -> None:
    catalog = load(dsn)
    refresh(catalog, dsn, lambda: add_route(gpt, add_provider("other"), priority=1))
    assert [route.provider for route in find(catalog, "gpt-4o").routes] == ["openai", "other"]


def test_a_deleted_model_is_gone_after_a_refresh(gpt: Model, dsn: str) -> None:
    catalog = load(dsn)
    refresh(catalog, dsn, lambda: Model.objects.all().delete())
    assert catalog.model("gpt-4o") is None


def test_a_renamed_model_has_only_its_new_name(gpt: Model, dsn: str) -> None:
    catalog = load(dsn)
    refresh(catalog, dsn, lambda: Model.objects.update(name="gpt-next"))
    assert catalog.model("gpt-4o") is None
    assert find(catalog, "gpt-next").routes


def test_a_refresh_leaves_other_models_as_they_are(gpt: Model, dsn: str) -> None:
    other = add_model("other")
    add_route(other, add_provider("elsewhere"))
    catalog = load(dsn)
    before = catalog.model("other")
    refresh(catalog, dsn, lambda: Model.objects.filter(pk=gpt.pk).update(context_window=5))
    assert catalog.model("other") is before
    assert find(catalog, "gpt-4o").context_window == 5


def test_a_route_whose_provider_is_read_later_appears_with_it(gpt: Model, dsn: str) -> None:
    # A new provider and its route can come in two refreshes, in either order.
    catalog = load(dsn)
    add_route(gpt, add_provider("other"), priority=1)
    provider = Provider.objects.get(name="other")
    for change in (Change(1, "route", gpt.pk, None), Change(2, "provider", provider.pk, None)):
        asyncio.run(read(catalog, dsn, [change]))
    assert [route.provider for route in find(catalog, "gpt-4o").routes] == ["openai", "other"]


def refresh(catalog: Catalog, dsn: str, change: Callable[[], object]) -> None:
    """Make the change, and have the catalog refresh what the change log says of it."""
    seen = ChangeLog.objects.order_by("-seq").values_list("seq", flat=True).first() or 0
    change()
    rows = ChangeLog.objects.filter(seq__gt=seen).order_by("seq")
    changes = [Change(row.seq, row.kind, row.object_id, row.organization) for row in rows]
    concerned = [change for change in changes if change.kind in catalog.kinds]
    assert concerned, "the change is not in the change log"
    asyncio.run(read(catalog, dsn, concerned))


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "gateway.routing"]
