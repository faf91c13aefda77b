"""/health: how the installation is, as the operators' page of that name says it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.db import connection
from drf_spectacular.utils import extend_schema
from kombu.exceptions import OperationalError
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.errors import Unavailable
from accounts.api.fields import Nothing
from accounts.api.views import View
from billing.models import LedgerCheck
from billing.tasks import check_ledger
from gateway.overview import read_overview

PERCENTILE = "Milliseconds; null where nothing answered."


class TroubleOut(serializers.Serializer[Any]):
    name = serializers.CharField(help_text="Stable; docs/guides/operating.md has each.")
    text = serializers.CharField()


class ProcessOut(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    host = serializers.CharField()
    started_at = serializers.DateTimeField()
    silent_seconds = serializers.FloatField(allow_null=True)
    version = serializers.CharField()
    fresh_seconds = serializers.FloatField(allow_null=True)
    queue = serializers.IntegerField(help_text="Finished attempts that are not settled.")
    lag_seconds = serializers.FloatField(help_text="The age of the oldest of them.")
    spool_bytes = serializers.IntegerField()
    open_holds = serializers.IntegerField()
    degraded = serializers.ListField(child=serializers.CharField())
    failing_routes = serializers.ListField(
        child=serializers.IntegerField(),
        help_text="Those that have not answered since they failed.",
    )


class CheckOut(serializers.ModelSerializer[LedgerCheck]):
    differences = serializers.ListField(child=serializers.CharField())

    class Meta:
        model = LedgerCheck
        fields = (
            *("at", "seconds", "differences", "windows", "events", "adjustments", "conflicts"),
            "rejected",
        )


class RouteHealthOut(serializers.Serializer[Any]):
    provider = serializers.CharField()
    model = serializers.CharField()
    attempts = serializers.IntegerField()
    failed = serializers.IntegerField()
    refused = serializers.IntegerField()
    first_byte_p50 = serializers.FloatField(allow_null=True, help_text=PERCENTILE)
    first_byte_p95 = serializers.FloatField(allow_null=True, help_text=PERCENTILE)
    total_p50 = serializers.FloatField(allow_null=True, help_text=PERCENTILE)
    total_p95 = serializers.FloatField(allow_null=True, help_text=PERCENTILE)


class HealthOut(serializers.Serializer[Any]):
    at = serializers.DateTimeField()
    version = serializers.CharField()
    troubles = TroubleOut(many=True, help_text="What is wrong, the gravest first.")
    figures = serializers.DictField(child=serializers.FloatField())
    processes = ProcessOut(many=True, help_text="Those whose lease runs.")
    checks = CheckOut(many=True, help_text="The last checks of the ledger.")
    routes = RouteHealthOut(many=True, help_text="How each did in the last hour.")
    waiting_tasks = serializers.IntegerField(allow_null=True, help_text="Null: Redis is away.")


class Health(View):
    @extend_schema(operation_id="read_health", responses=HealthOut)
    def get(self, request: Request) -> Response:
        self.enter_platform()
        overview = read_overview(connection, now=datetime.now(UTC))
        return Response(HealthOut(overview).data)


class CheckLedger(View):
    @extend_schema(request=Nothing, responses={202: None})
    def post(self, request: Request) -> Response:
        """Have a worker check the ledger now; on a large one that takes minutes."""
        self.enter_platform()
        self.read()
        try:
            check_ledger.apply_async(retry=False)
        except OperationalError:
            raise Unavailable("Redis is away, so no worker can be asked.") from None
        return Response(status=202)
