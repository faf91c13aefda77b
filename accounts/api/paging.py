"""Lists by keyset: newest first, each page from a cursor on, never counted.

A cursor is the primary key of the last row seen, so a list that grows while it is read neither
repeats nor skips a row.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, TypeVar

from django.core.exceptions import ValidationError as ModelValidationError
from django.db import models
from drf_spectacular.utils import inline_serializer
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.response import Response

Row = TypeVar("Row", bound=models.Model)


def answer_page(
    rows: models.QuerySet[Row],
    query: Mapping[str, Any],
    show: Callable[[Sequence[Row]], list[Any]],
) -> Response:
    """Answer `{"items": [...], "next": cursor or null}`; `show` is given the rows of the page."""
    if cursor := query.get("cursor"):
        rows = rows.filter(pk__lt=_read_cursor(cursor, rows.model))
    found = list(rows.order_by("-pk")[: query["limit"] + 1])
    page = found[: query["limit"]]
    more = _make_cursor(page[-1].pk) if len(found) > len(page) else None
    return Response({"items": show(page), "next": more})


@cache
def page_of(serializer: type[serializers.BaseSerializer[Any]]) -> Any:
    """Return the schema of a page of these."""
    name = serializer.__name__.removesuffix("Out")
    return inline_serializer(
        f"{name}Page",
        {
            "items": serializer(many=True),
            "next": serializers.CharField(allow_null=True, help_text="The next page's cursor."),
        },
    )


def _make_cursor(pk: object) -> str:
    return base64.urlsafe_b64encode(str(pk).encode()).decode().rstrip("=")


def _read_cursor(cursor: str, model: type[models.Model]) -> Any:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        key = model._meta.pk
        assert key is not None
        return key.to_python(text)
    except (binascii.Error, ValueError, ModelValidationError):
        raise ValidationError({"cursor": "is not one that a list gave"}) from None
