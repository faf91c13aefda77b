"""Column types of PostgreSQL that Django has no field for, and checks of a column's value."""

from __future__ import annotations

import ipaddress
from typing import Any
from zoneinfo import available_timezones

from django import forms
from django.core.exceptions import ValidationError
from django.db import models

from accounts.addresses import Network


class CidrField(models.Field[Any, Any]):
    """A `cidr` column: an IPv4 or IPv6 network; a host bit set is an error, as in PostgreSQL."""

    description = "An IPv4 or IPv6 network"

    def db_type(self, connection: Any) -> str:
        return "cidr"

    def from_db_value(self, value: Any, *_: Any) -> Network | None:
        return self.to_python(value)

    def to_python(self, value: Any) -> Network | None:
        if value is None or isinstance(value, ipaddress.IPv4Network | ipaddress.IPv6Network):
            return value
        try:
            return ipaddress.ip_network(str(value).strip())
        except ValueError as error:
            raise ValidationError(f"{value!r} is not a network: {error}") from error

    def get_prep_value(self, value: Any) -> str | None:
        network = self.to_python(value)
        return None if network is None else str(network)

    def formfield(self, **kwargs: Any) -> Any:
        return super().formfield(**{"form_class": NetworkField, **kwargs})

    def value_to_string(self, obj: models.Model) -> str:
        return str(self.value_from_object(obj))


class NetworkField(forms.CharField):
    """A network as a person types it, such as 10.0.0.0/8."""

    def to_python(self, value: Any) -> Any:
        return CidrField().to_python(value) if value else None


def validate_time_zone(name: str) -> None:
    """Refuse what is no IANA name: windows could not be computed in it."""
    if name not in available_timezones():
        raise ValidationError(f"{name!r} is not a time zone such as Europe/Berlin.")
