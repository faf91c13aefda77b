"""/models: the public names, with the bounds that calls of them are held at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.fields import Fields, Flag, Moment, Query, Text
from accounts.api.paging import answer_page, page_of
from accounts.api.views import View, find
from gateway.models import Model
from gateway.routes import MODEL_BOUNDS, change_model, make_model, remove_model


class ModelOut(serializers.ModelSerializer[Model]):
    class Meta:
        model = Model
        fields = (
            "name",
            "aliases",
            *MODEL_BOUNDS,
            "retires_at",
            "successor",
            "enabled",
            "made_at",
        )


def bound(name: str, **options: Any) -> serializers.IntegerField:
    """Return the field of a number of tokens, within its bounds."""
    least, most = MODEL_BOUNDS[name]
    return serializers.IntegerField(min_value=least, max_value=most, **options)


UNBOUNDED = "Null: such parts have no declared bound, and strict quotas refuse them."


class ModelChange(Fields):
    context_window = bound("context_window", required=False)
    max_output_tokens = bound("max_output_tokens", required=False)
    overhead_tokens = bound(
        "overhead_tokens", required=False, help_text="What may be counted beyond the body's bytes."
    )
    overhead_tokens_per_image = bound(
        "overhead_tokens_per_image", required=False, allow_null=True, help_text=UNBOUNDED
    )
    overhead_tokens_per_audio = bound(
        "overhead_tokens_per_audio", required=False, allow_null=True, help_text=UNBOUNDED
    )
    overhead_tokens_per_file = bound(
        "overhead_tokens_per_file", required=False, allow_null=True, help_text=UNBOUNDED
    )
    aliases = serializers.ListField(
        child=Text(max_length=200),
        max_length=50,
        required=False,
        help_text="Other names that callers may write.",
    )
    retires_at = Moment(
        required=False,
        allow_null=True,
        help_text="Its last day: callers are told in advance, and then its successor answers.",
    )
    successor = Text(
        required=False, allow_blank=True, max_length=200, help_text="Another model, or nothing."
    )
    enabled = Flag(required=False)


class ModelIn(ModelChange):
    name = Text(max_length=200, help_text="What callers write.")
    context_window = bound("context_window")
    max_output_tokens = bound("max_output_tokens")


class ModelQuery(Query):
    enabled = serializers.BooleanField(required=False)


class Models(View):
    @extend_schema(parameters=[ModelQuery], responses=page_of(ModelOut))
    def get(self, request: Request) -> Response:
        """List the models that calls can name; everybody with an account may."""
        query = self.read_query(ModelQuery)
        found = Model.objects.all()
        if "enabled" in query:
            found = found.filter(enabled=query["enabled"])
        return answer_page(found, query, show_models)

    @extend_schema(request=ModelIn, responses={201: ModelOut})
    def post(self, request: Request) -> Response:
        """Make a model (operators). It can be called once it has a route and a price."""
        self.enter_platform()
        fields = self.read(ModelIn)
        with self.writing():
            model = make_model(**fields)
        return self.answer(show_models([model])[0], status=201)


class OneModel(View):
    @extend_schema(responses=ModelOut)
    def get(self, request: Request, model: str) -> Response:
        return self.answer(show_models([self.find(model)])[0])

    @extend_schema(request=ModelChange, responses=ModelOut)
    def patch(self, request: Request, model: str) -> Response:
        """Change its bounds, or switch it off (operators)."""
        self.enter_platform()
        changes = self.read(ModelChange)
        with self.writing():
            found = self.find_matching(model)
            change_model(found, changes)
        return self.answer(show_models([found])[0])

    @extend_schema(responses={204: None})
    def delete(self, request: Request, model: str) -> Response:
        """Take it away with its routes; prices and history stay (operators)."""
        self.enter_platform()
        with self.writing():
            remove_model(self.find_matching(model))
        return Response(status=204)

    def find(self, model: str) -> Model:
        return find(Model.objects.all(), name=model)

    def find_matching(self, model: str) -> Model:
        found = self.find(model)
        self.require_match(show_models([found])[0])
        return found


def show_models(models: Sequence[Model]) -> list[Any]:
    return list(ModelOut(models, many=True).data)
