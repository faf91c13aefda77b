"""What was asked, and by whom: read strictly, with errors that name the parameter."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import msgspec
from django.db import models

from accounts import access
from accounts.access import Right, Standing
from accounts.models import ManagementKey, Organization
from gateway.errors import BadRequest, NotFound, PermissionDenied

Row = TypeVar("Row", bound=models.Model)

MAX_VALUES = 200
LAST_SECOND = 2**37  # In the year 6325: far enough, and far from where calendars end.


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A request of a management key to an organization in which it has a standing."""

    key: ManagementKey
    organization: Organization
    standing: Standing
    writes: bool
    query: Mapping[str, Sequence[str]]
    body: bytes

    def may(self, right: Right) -> bool:
        return access.may(self.standing, right, organization=self.organization.pk)

    def require(self, *rights: Right) -> None:
        """Go on for whom one of the rights lets in."""
        if not any(self.may(right) for right in rights):
            raise PermissionDenied("This management key may not do this.")

    def know(self, *names: str) -> None:
        """Refuse every parameter of the query but these: none is passed over in silence."""
        for name in self.query:
            if name not in names:
                raise BadRequest(f"Unknown parameter: '{name[:100]}'.", name[:100])

    def text(self, name: str) -> str | None:
        values = self.query.get(name, ())
        return values[-1] if values else None

    def values(self, name: str) -> list[str] | None:
        """Return the values of a list, None where it is not given."""
        values = self.query.get(name)
        if values is not None and len(values) > MAX_VALUES:
            raise BadRequest(f"'{name}' has more than {MAX_VALUES} values.", name)
        return None if values is None else list(values)

    def choice(self, name: str, options: Collection[str], default: str) -> str:
        value = self.text(name) or default
        if value not in options:
            raise BadRequest(f"'{name}' must be one of {', '.join(options)}.", name)
        return value

    def choices(self, name: str, options: Collection[str]) -> list[str]:
        values = self.values(name) or []
        for value in values:
            if value not in options:
                raise BadRequest(f"'{name}' must be of {', '.join(options)}.", name)
        return list(dict.fromkeys(values))

    def flag(self, name: str) -> bool | None:
        value = self.text(name)
        if value is None:
            return None
        if value not in {"true", "false"}:
            raise BadRequest(f"'{name}' must be true or false.", name)
        return value == "true"

    def number(self, name: str, *, least: int, most: int, default: int | None) -> int | None:
        value = self.text(name)
        if value is None:
            return default
        if not re.fullmatch(r"[0-9]{1,18}", value) or not least <= int(value) <= most:
            raise BadRequest(f"'{name}' must be a number between {least} and {most}.", name)
        return int(value)

    def moment(self, name: str) -> datetime | None:
        """Return a time in Unix seconds."""
        seconds = self.number(name, least=0, most=LAST_SECOND, default=None)
        return None if seconds is None else datetime.fromtimestamp(seconds, UTC)

    def fields(self, known: Mapping[str, type | tuple[type, ...]]) -> dict[str, Any]:
        """Return the fields of the body: each of a known name and type, or null and left out."""
        try:
            found = msgspec.json.decode(self.body or b"{}")
        except msgspec.DecodeError:
            raise BadRequest("The body is not JSON.") from None
        if not isinstance(found, dict):
            raise BadRequest("The body must be an object.")
        for name, value in found.items():
            if name not in known:
                raise BadRequest(f"Unknown parameter: '{name[:100]}'.", name[:100])
            wanted = known[name]
            is_flag_for_number = isinstance(value, bool) and wanted is not bool
            if value is not None and (not isinstance(value, wanted) or is_flag_for_number):
                raise BadRequest(f"'{name}' is of another type.", name)
        return {name: value for name, value in found.items() if value is not None}


def read_query(query: bytes) -> dict[str, list[str]]:
    """Return the parameters by name; lists may be written `a=1&a=2`, `a[]=1` or `a[0]=1`."""
    found: dict[str, list[str]] = {}
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, max_num_fields=1_000)
    except ValueError:
        raise BadRequest("The query cannot be read.") from None
    for name, value in pairs:
        found.setdefault(re.sub(r"\[[0-9]*\]$", "", name), []).append(value)
    return found


def list_rows(
    asked: Asked,
    rows: models.QuerySet[Row],
    show: Callable[[Sequence[Row]], list[dict[str, Any]]],
    *,
    column: str,
) -> dict[str, Any]:
    """Return a page of rows in OpenAI's list: newest first, or `order=asc`, from `after` on.

    `column` is what rows are called by, which is their `id` outside.
    """
    limit = asked.number("limit", least=1, most=100, default=20)
    assert limit is not None
    ascends = asked.choice("order", ("asc", "desc"), "desc") == "asc"
    after = asked.text("after")
    if after is not None:
        place = rows.filter(**{column: after}).values_list("pk", flat=True).first()
        if place is None:
            raise BadRequest(f"'after' names nothing here: '{after[:100]}'.", "after")
        rows = rows.filter(**{"pk__gt" if ascends else "pk__lt": place})
    found = list(rows.order_by("pk" if ascends else "-pk")[: limit + 1])
    shown = show(found[:limit])
    return {
        "object": "list",
        "data": shown,
        "first_id": shown[0]["id"] if shown else None,
        "last_id": shown[-1]["id"] if shown else None,
        "has_more": len(found) > limit,
    }


def find_row(rows: models.QuerySet[Row], what: str, name: str, *, column: str) -> Row:
    """Return the row of that name, or raise a NotFound that tells nothing about why."""
    row = rows.filter(**{column: name}).first() if "\0" not in name else None
    if row is None:
        raise NotFound(what, name)
    return row


def seconds_of(moment: datetime | None) -> int | None:
    """Return a time as Unix seconds."""
    return None if moment is None else int(moment.timestamp())
