"""What goes in: bodies and queries read strictly, by the same rules.

A name that is not a field, or is one that cannot be written, is an error that names it: a setting
that is silently passed over is worse than one that is refused.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from rest_framework import serializers, status
from rest_framework.exceptions import APIException, ParseError, ValidationError
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import JSONParser
from rest_framework.request import Request

MAX_PAGE = 200
MAX_BODY_BYTES = 2**20


class Text(serializers.CharField):
    """Text that came as text: a number is not taken for its digits."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            raise ValidationError("must be text")
        if self.max_length is not None and len(data) > self.max_length:
            # Asked before spaces are trimmed: what is described is what is sent.
            raise ValidationError(f"is longer than {self.max_length} characters")
        return super().to_internal_value(data)


class Flag(serializers.BooleanField):
    """True or false, and nothing that could be taken for them. Queries hold text: not for them."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            raise ValidationError("must be true or false")
        return data


class SlugText(Text):
    """The name in an address of an object of the organization."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=options.pop("max_length", 50), **options)


class Fields(serializers.Serializer[Any]):
    """Reads a mapping, and refuses every name that it does not know."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            known = {name for name, field in self.fields.items() if not field.read_only}
            unknown = sorted(str(name) for name in data if name not in known)
            if unknown:
                raise ValidationError({unknown[0]: "is no field that can be given here"})
        return super().to_internal_value(data)


class Query(Fields):
    """The query of a list: how many, and from where on."""

    limit = serializers.IntegerField(min_value=1, max_value=MAX_PAGE, default=50)
    cursor = Text(required=False, max_length=200, help_text="`next` of the page before.")


class Nothing(Fields):
    """Where nothing can be given."""


class Moment(serializers.DateTimeField):
    """A time with its zone; one without is UTC."""

    def enforce_timezone(self, value: datetime) -> datetime:
        try:
            return super().enforce_timezone(value)
        except OverflowError:
            raise ValidationError("is no time that can be kept") from None


class StrictParser(JSONParser):
    """JSON without NaN, of a bounded size, and without a depth that Python cannot follow."""

    def parse(self, stream: Any, *args: Any, **kwargs: Any) -> Any:
        body = stream.read(MAX_BODY_BYTES + 1)
        if len(body) > MAX_BODY_BYTES:
            raise TooLarge
        try:
            return super().parse(io.BytesIO(body), *args, **kwargs)
        except RecursionError:
            raise ParseError("The JSON is nested too deeply.") from None


class TooLarge(APIException):
    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_code = "too_large"
    default_detail = f"The body is longer than {MAX_BODY_BYTES} bytes."


class Negotiation(DefaultContentNegotiation):
    """Answers in the one format there is, whatever is asked for."""

    def select_renderer(self, request: Request, renderers: Any, format_suffix: Any = None) -> Any:
        return renderers[0], renderers[0].media_type


def read(serializer: type[Fields], data: Any) -> dict[str, Any]:
    """Return what is given, checked. Raises ValidationError with the first field at fault."""
    reader = serializer(data=data)
    reader.is_valid(raise_exception=True)
    given: dict[str, Any] = reader.validated_data
    return given
