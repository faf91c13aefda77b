"""/routes: which provider serves a model, under which name, in which order (operators)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.fields import Fields, Flag, Query, SlugText, Text
from accounts.api.paging import answer_page, page_of
from accounts.api.views import View, find
from accounts.errors import InvalidField
from gateway.models import Model, Provider, Route
from gateway.routes import ROUTE_BOUNDS, change_route, make_route, remove_route


class RouteOut(serializers.ModelSerializer[Route]):
    model = serializers.CharField(source="model.name")
    provider = serializers.CharField(source="provider.name")

    class Meta:
        model = Route
        fields = (
            *("id", "model", "provider", "upstream_model"),
            *ROUTE_BOUNDS,
            *("cap_bounds_reasoning", "hides_reasoning", "only_responses", "enabled"),
        )


def bound(name: str) -> serializers.IntegerField:
    least, most = ROUTE_BOUNDS[name]
    return serializers.IntegerField(min_value=least, max_value=most, required=False)


class RouteChange(Fields):
    priority = bound("priority")
    weight = bound("weight")
    connect_timeout_ms = bound("connect_timeout_ms")
    first_byte_timeout_ms = bound("first_byte_timeout_ms")
    idle_timeout_ms = bound("idle_timeout_ms")
    total_timeout_ms = bound("total_timeout_ms")
    cap_bounds_reasoning = Flag(
        required=False, help_text="False where the output cap leaves reasoning unbounded."
    )
    hides_reasoning = Flag(
        required=False, help_text="True where the model may reason unasked and unseen."
    )
    only_responses = Flag(
        required=False, help_text="True where the model has OpenAI's Responses alone."
    )
    enabled = Flag(required=False)


class RouteIn(RouteChange):
    model = Text(max_length=200)
    provider = SlugText()
    upstream_model = Text(max_length=200, help_text="The model's name at the provider.")


class RouteQuery(Query):
    model = Text(max_length=200, required=False)
    provider = SlugText(required=False)
    enabled = serializers.BooleanField(required=False)


class Routes(View):
    @extend_schema(parameters=[RouteQuery], responses=page_of(RouteOut))
    def get(self, request: Request) -> Response:
        self.enter_platform()
        query = self.read_query(RouteQuery)
        columns = {"model": "model__name", "provider": "provider__name", "enabled": "enabled"}
        found = Route.objects.filter(
            **{column: query[name] for name, column in columns.items() if name in query}
        )
        return answer_page(found.select_related("model", "provider"), query, show_routes)

    @extend_schema(request=RouteIn, responses={201: RouteOut})
    def post(self, request: Request) -> Response:
        """Let a provider serve a model."""
        self.enter_platform()
        fields = self.read(RouteIn)
        with self.writing():
            model = Model.objects.filter(name=fields.pop("model")).first()
            provider = Provider.objects.filter(name=fields.pop("provider")).first()
            if model is None:
                raise InvalidField("model", "there is no such model")
            if provider is None:
                raise InvalidField("provider", "there is no such provider")
            route = make_route(model, provider, **fields)
        return self.answer(show_routes([route])[0], status=201)


class OneRoute(View):
    @extend_schema(responses=RouteOut)
    def get(self, request: Request, route: int) -> Response:
        self.enter_platform()
        return self.answer(show_routes([self.find(route)])[0])

    @extend_schema(request=RouteChange, responses=RouteOut)
    def patch(self, request: Request, route: int) -> Response:
        """Change its order, weight or timeouts, or switch it off."""
        self.enter_platform()
        changes = self.read(RouteChange)
        with self.writing():
            found = self.find_matching(route)
            change_route(found, changes)
        return self.answer(show_routes([found])[0])

    @extend_schema(responses={204: None})
    def delete(self, request: Request, route: int) -> Response:
        """Take it away; calls that are on their way there go on."""
        self.enter_platform()
        with self.writing():
            remove_route(self.find_matching(route))
        return Response(status=204)

    def find(self, route: int) -> Route:
        return find(Route.objects.select_related("model", "provider"), pk=route)

    def find_matching(self, route: int) -> Route:
        found = self.find(route)
        self.require_match(show_routes([found])[0])
        return found


def show_routes(routes: Sequence[Route]) -> list[Any]:
    return list(RouteOut(routes, many=True).data)
