"""Rows written after their model's own checks, whose findings come out as InvalidField.

Whatever is set by people goes through here, so that a value that a form would refuse is refused
for programs too. A change writes the named columns alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeVar

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db import models

from accounts.errors import InvalidField

Row = TypeVar("Row", bound=models.Model)

# Dates end with the year 9999, and a day of an organization may end in the next of UTC.
LAST_YEAR = 9998


def insert(row: Row) -> Row:
    """Store a new row. Raises InvalidField for the first field that its model refuses."""
    _check(row)
    row.save(force_insert=True)
    return row


def change(row: Row, changes: Mapping[str, Any]) -> Row:
    """Write the columns that differ, and nothing where none does. Raises InvalidField."""
    different = {name: value for name, value in changes.items() if getattr(row, name) != value}
    for name, value in different.items():
        setattr(row, name, value)
    if different:
        _check(row)
        row.save(update_fields=list(different))
    return row


def check_far(field: str, at: datetime) -> None:
    """Raise InvalidField for a moment that not every time zone can write."""
    if at.year > LAST_YEAR:
        raise InvalidField(field, f"lies after the year {LAST_YEAR}")


def _check(row: models.Model) -> None:
    try:
        row.full_clean()
    except ValidationError as error:
        field, messages = next(iter(error.message_dict.items()))
        name = "slug" if field == NON_FIELD_ERRORS and hasattr(row, "slug") else field
        raise InvalidField(name, messages[0]) from None
