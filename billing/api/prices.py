"""/prices: what tokens cost from a time on (operators). A price never changes: a new one begins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.fields import Fields, Moment, Query, Text
from accounts.api.paging import answer_page, page_of
from accounts.api.views import View, find
from accounts.errors import InvalidField
from billing.models import Price
from billing.prices import add_price
from billing.pricing import PRICES, format_price, parse_prices

MAX_TIERS = 16


class PerMillion(serializers.CharField):
    """Ticks per token, shown as USD per million tokens."""

    def to_representation(self, value: Any) -> str:
        return format_price(int(value))


class TierOut(serializers.Serializer[Any]):
    """A tier names the prices that it changes, and no others."""

    input_tokens = serializers.IntegerField(help_text="From so many input tokens on.")
    input = PerMillion(required=False)
    cache_read = PerMillion(required=False)
    cache_write_5m = PerMillion(required=False)
    cache_write_1h = PerMillion(required=False)
    audio_input = PerMillion(required=False)
    image_input = PerMillion(required=False)
    output = PerMillion(required=False)
    reasoning = PerMillion(required=False)
    audio_output = PerMillion(required=False)


class PriceOut(serializers.ModelSerializer[Price]):
    provider = serializers.CharField(help_text="Empty: for any provider.")
    input = PerMillion()
    cache_read = PerMillion(allow_null=True)
    cache_write_5m = PerMillion(allow_null=True)
    cache_write_1h = PerMillion(allow_null=True)
    audio_input = PerMillion(allow_null=True)
    image_input = PerMillion(allow_null=True)
    output = PerMillion()
    reasoning = PerMillion(allow_null=True)
    audio_output = PerMillion(allow_null=True)
    above = TierOut(source="tiers", many=True)

    class Meta:
        model = Price
        fields = ("id", "model", "provider", "effective_from", *PRICES, "above", "made_at")


def usd(**options: Any) -> Text:
    """Return the field of a price, as text: a number would have been rounded on its way."""
    return Text(max_length=50, help_text='USD per million tokens, such as "2.50".', **options)


class PriceNames(Fields):
    input = usd(required=False)
    cache_read = usd(required=False)
    cache_write_5m = usd(required=False)
    cache_write_1h = usd(required=False)
    audio_input = usd(required=False)
    image_input = usd(required=False)
    output = usd(required=False)
    reasoning = usd(required=False)
    audio_output = usd(required=False)


class TierIn(PriceNames):
    input_tokens = serializers.IntegerField(min_value=1, max_value=2**40)


class PriceIn(PriceNames):
    """Buckets without a price of their own cost as `input` or `output` do."""

    model = Text(max_length=200)
    provider = Text(
        max_length=50, allow_blank=True, default="", help_text="Left out: for any provider."
    )
    effective_from = Moment(required=False, help_text="Left out: now.")
    input = usd()
    output = usd()
    above = serializers.ListField(child=TierIn(), required=False, max_length=MAX_TIERS)


class PriceQuery(Query):
    model = Text(max_length=200, required=False)
    provider = Text(max_length=50, required=False, allow_blank=True)
    since = Moment(required=False, help_text="Those that begin from then on.")
    until = Moment(required=False, help_text="Those that begin before.")


class Prices(View):
    @extend_schema(parameters=[PriceQuery], responses=page_of(PriceOut))
    def get(self, request: Request) -> Response:
        """List prices, those that are past and those to come among them."""
        self.enter_platform()
        query = self.read_query(PriceQuery)
        columns = {
            "model": "model",
            "provider": "provider",
            "since": "effective_from__gte",
            "until": "effective_from__lt",
        }
        found = Price.objects.filter(
            **{column: query[name] for name, column in columns.items() if name in query}
        )
        return answer_page(found, query, show_prices)

    @extend_schema(request=PriceIn, responses={200: PriceOut, 201: PriceOut})
    def post(self, request: Request) -> Response:
        """Let a price begin. The very same one again is answered with what is there (200)."""
        self.enter_platform()
        fields = self.read(PriceIn)
        identity = {"model": fields.pop("model"), "provider": fields.pop("provider")}
        begins = fields.pop("effective_from", None) or timezone.now()
        figures = parse_prices(fields)
        with self.writing():
            try:
                price, is_new = add_price(**identity, effective_from=begins, figures=figures)
            except InvalidField as error:
                name = "effective_from" if error.field == "effective" else error.field
                raise InvalidField(name, error.reason) from None
        return self.answer(show_prices([price])[0], status=201 if is_new else 200)


class OnePrice(View):
    @extend_schema(responses=PriceOut)
    def get(self, request: Request, price: int) -> Response:
        self.enter_platform()
        return self.answer(show_prices([find(Price.objects.all(), pk=price)])[0])


def show_prices(prices: Sequence[Price]) -> list[Any]:
    return list(PriceOut(prices, many=True).data)
