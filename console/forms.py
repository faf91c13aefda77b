"""What the forms of the console have in common: one look, and names that no form takes twice."""

from __future__ import annotations

from datetime import date
from typing import Any
from zoneinfo import available_timezones

from django import forms
from django.core.validators import MaxValueValidator

from accounts.rows import LAST_YEAR

LAST_DAY = date(LAST_YEAR, 12, 30)


class Form(forms.Form):
    """A form whose fields are drawn by console/parts/field.html."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("label_suffix", "")
        super().__init__(*args, **kwargs)


class Day(forms.DateField):
    """A day that is chosen from a calendar; its end is still a moment in every time zone."""

    widget = forms.DateInput(attrs={"type": "date"})
    default_validators = [MaxValueValidator(LAST_DAY, f"Choose a day until {LAST_DAY}.")]


def time_zones() -> list[tuple[str, str]]:
    """Return what a select of time zones offers, UTC first."""
    names = sorted(name for name in available_timezones() if "/" in name and name[0].isupper())
    kept = [name for name in names if not name.startswith(("Etc/", "SystemV/"))]
    return [("UTC", "UTC"), *((name, name.replace("_", " ")) for name in kept)]


class Reason(Form):
    """A sentence that says why, kept with what is done."""

    reason = forms.CharField(max_length=200, required=False, label="Reason")
