"""Whatever belongs to an organization says so in its row, so that one filter is the wall."""

from pathlib import Path

from django.apps import apps
from django.db.models import Model

from tests.house.tracked import ROOT

# The installation's own: the same for every organization, or of none.
OF_NOBODY = {
    "accounts.User",
    "accounts.Organization",
    "billing.Price",
    "billing.DroppedDay",
    "billing.GatewayProcess",
    "billing.LedgerCheck",
    "billing.RouteSuspension",
    "gateway.Provider",
    "gateway.Credential",
    "gateway.Model",
    "gateway.Route",
}
# Never looked up but through the row it is a part of, which has the organization.
PART_OF = {
    "accounts.ApiKeySecret": "key",
    "billing.QuotaWindow": "quota",
    "billing.KeptRaise": "quota_raise",
    "billing.Allowance": "window",
    "billing.Adjustment": "window",
}
# A fact as it came in, whole; whose it is stands inside.
UNREAD = {"billing.SettlementConflict", "billing.RejectedEvent"}


def test_every_row_of_an_organization_has_a_column_that_says_so() -> None:
    missing = [
        label(model)
        for model in our_models()
        if "organization" not in columns(model)
        and label(model) not in OF_NOBODY | UNREAD | PART_OF.keys()
    ]
    assert missing == []


def test_what_is_a_part_leads_to_a_row_with_an_organization() -> None:
    for name, parent in PART_OF.items():
        above = apps.get_model(name)._meta.get_field(parent).related_model
        assert isinstance(above, type)
        assert "organization" in columns(above) or label(above) in PART_OF


def test_no_exception_outlives_its_model() -> None:
    known = {label(model) for model in our_models()}
    assert (OF_NOBODY | UNREAD | PART_OF.keys()) - known == set()


def test_what_is_of_nobody_has_no_column_for_an_organization() -> None:
    assert [name for name in OF_NOBODY if "organization" in columns(apps.get_model(name))] == []


def our_models() -> list[type[Model]]:
    ours = [app for app in apps.get_app_configs() if Path(app.path).parent == ROOT]
    return [model for app in ours for model in app.get_models()]


def label(model: type[Model]) -> str:
    return model._meta.label


def columns(model: type[Model]) -> set[str]:
    return {field.name for field in model._meta.get_fields() if getattr(field, "column", None)}
