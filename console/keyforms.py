"""The forms of keys: what is asked, and how lists and tags are written in a text field."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django import forms

from accounts.access import Right
from accounts.issuance import MAX_NAME_LENGTH
from accounts.models import ApiKey, Membership, Project
from console.catalog import list_endpoints, list_models
from console.forms import Day, Form
from console.shell import Place

SERVICE = "service"
GRACES = (
    (0, "At once: only the new secret works"),
    (3600, "In an hour"),
    (86400, "In a day"),
    (7 * 86400, "In a week"),
    (30 * 86400, "In 30 days"),
)


class Restrictions(Form):
    """What a key may be used for. Whatever is left empty restricts nothing."""

    name = forms.CharField(
        max_length=MAX_NAME_LENGTH, help_text="What uses it: my laptop, the nightly job."
    )
    expires_on = Day(required=False, label="Expires at the end of")
    models = forms.MultipleChoiceField(
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="None chosen: all, those that come later too.",
    )
    endpoints = forms.MultipleChoiceField(
        required=False, widget=forms.CheckboxSelectMultiple, help_text="None chosen: all."
    )
    networks = forms.CharField(
        required=False,
        widget=forms.Textarea(attrs={"rows": 2, "placeholder": "203.0.113.0/24"}),
        help_text="One a line. Empty: from anywhere.",
    )
    tags = forms.CharField(
        required=False,
        widget=forms.Textarea(attrs={"rows": 2, "placeholder": "team=search"}),
        help_text="One a line, name=value; calls carry them.",
    )

    def __init__(self, place: Place, *args: Any, key: ApiKey | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.zone = ZoneInfo(place.organization.time_zone)
        kept = (key.allowed_models, key.allowed_endpoints) if key else ((), ())
        for name, known, chosen in zip(
            ("models", "endpoints"), (list_models(), list_endpoints()), kept, strict=True
        ):
            field = self.fields[name]
            assert isinstance(field, forms.MultipleChoiceField)
            field.choices = [(each, each) for each in sorted({*known, *chosen})]

    def clean_expires_on(self) -> datetime | None:
        """Return the end of that day where the organization is."""
        day: date | None = self.cleaned_data["expires_on"]
        return None if day is None else end_of_day(day, self.zone)

    def clean_networks(self) -> list[str]:
        networks: str = self.cleaned_data["networks"]
        return networks.split()

    def clean_tags(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for line in self.cleaned_data["tags"].splitlines():
            name, sign, value = line.partition("=")
            if not line.strip():
                continue
            if not sign:
                raise forms.ValidationError(f"“{line.strip()}” is not name=value.")
            if name.strip() in found:
                raise forms.ValidationError(f"“{name.strip()}” is there twice.")
            found[name.strip()] = value.strip()
        return found

    def read(self) -> dict[str, Any]:
        """Return what issuance takes. An end that was not touched is left out: it may lie in the
        middle of a day, or in the past."""
        names = ("name", "models", "endpoints", "networks", "tags")
        fields = {name: self.cleaned_data[name] for name in names}
        if "expires_on" in self.changed_data:
            fields["expires_at"] = self.cleaned_data["expires_on"]
        return fields


class NewKey(Restrictions):
    """A new key: beside what it may be used for, whose it is and what it may spend."""

    once = forms.CharField(widget=forms.HiddenInput, max_length=64)
    project = forms.ChoiceField()
    owner = forms.ChoiceField(
        help_text="A person's key stops when the person leaves; a service key does not."
    )
    monthly_usd = forms.CharField(
        required=False,
        max_length=30,
        label="Spend at most, a month (USD)",
        widget=forms.TextInput(attrs={"inputmode": "decimal", "placeholder": "20.00"}),
    )
    minutely_requests = forms.CharField(
        required=False,
        max_length=20,
        label="Requests at most, a minute",
        widget=forms.TextInput(attrs={"inputmode": "numeric", "placeholder": "600"}),
    )
    field_order = ("once", "name", "project", "owner", "expires_on")

    def __init__(self, place: Place, *args: Any, **kwargs: Any) -> None:
        super().__init__(place, *args, **kwargs)
        projects = Project.objects.filter(organization=place.organization, archived_at=None)
        self._choose("project", [(each.slug, each.name) for each in projects.order_by("name")])
        if place.may(Right.MANAGE_ALL_KEYS):
            self._choose("owner", list_owners(place))
        else:
            del self.fields["owner"]
        if not place.may(Right.MANAGE_QUOTAS):
            del self.fields["monthly_usd"], self.fields["minutely_requests"]

    def _choose(self, name: str, choices: list[tuple[str, str]]) -> None:
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)
        field.choices = choices


class Rotation(Form):
    grace = forms.TypedChoiceField(
        label="The old secret stops", coerce=int, choices=GRACES, initial=86400
    )


def list_owners(place: Place) -> list[tuple[str, str]]:
    members = Membership.objects.filter(organization=place.organization, left_at=None)
    mine = place.standing.membership
    found = [
        (str(member.pk), f"{member.user.email} (you)" if member.pk == mine else member.user.email)
        for member in members.select_related("user").order_by("user__email")
    ]
    return [*sorted(found, key=lambda each: each[0] != str(mine)), (SERVICE, "Service key")]


def end_of_day(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day + timedelta(days=1), time(), tzinfo=zone)
