"""/providers, and the credential that is ours there: it goes in and never comes out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import Prefetch
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers, status
from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.fields import Fields, Flag, Query, SlugText, Text
from accounts.api.paging import answer_page, page_of
from accounts.api.views import View, find
from gateway.models import CapField, Credential, Protocol, Provider
from gateway.probing import MAX_NAME_LENGTH, Probe, TooManyProbes, probe
from gateway.providers import change_provider, make_provider, remove_provider, set_credential


class CredentialOut(serializers.ModelSerializer[Credential]):
    class Meta:
        model = Credential
        fields = ("source", "made_at")


class ProviderOut(serializers.ModelSerializer[Provider]):
    credential = serializers.SerializerMethodField(
        help_text="When it was set and where it came from; null where there is none."
    )

    class Meta:
        model = Provider
        fields = (
            *("name", "protocol", "base_url", "responses", "cap_field", "enabled"),
            *("credential", "made_at"),
        )

    @extend_schema_field(CredentialOut(allow_null=True))
    def get_credential(self, provider: Provider) -> dict[str, Any] | None:
        newest = next(iter(provider.credentials.all()), None)
        return None if newest is None else CredentialOut(newest).data


class ProviderChange(Fields):
    protocol = serializers.ChoiceField(Protocol.choices, required=False)
    base_url = Text(max_length=200, required=False, help_text="As its own SDK is given it.")
    responses = Flag(required=False, help_text="It has OpenAI's Responses too.")
    cap_field = serializers.ChoiceField(
        CapField.choices,
        required=False,
        allow_blank=True,
        help_text="The only name that it takes the output cap of chat completions under, if any.",
    )
    enabled = Flag(required=False)


class ProviderIn(ProviderChange):
    name = SlugText()
    protocol = serializers.ChoiceField(Protocol.choices)
    base_url = Text(max_length=200, help_text="As its own SDK is given it.")
    credential = Text(max_length=1000, required=False, help_text="Our API key there.")


class CredentialIn(Fields):
    credential = Text(max_length=1000, help_text="Our API key there. It is never shown again.")


class Question(Fields):
    upstream_model = Text(max_length=MAX_NAME_LENGTH, help_text="As the provider knows it.")


class ProbeOut(serializers.Serializer[Any]):
    """What came back from the provider, its own words without anything that could be a key."""

    provider = serializers.CharField()
    upstream_model = serializers.CharField()
    works = serializers.SerializerMethodField()
    trouble = serializers.CharField(help_text="What is wrong; empty where nothing is.")
    status = serializers.IntegerField(allow_null=True, help_text="Null where no answer came.")
    first_byte_ms = serializers.IntegerField(allow_null=True)
    total_ms = serializers.IntegerField(allow_null=True)
    said = serializers.CharField()
    input_tokens = serializers.IntegerField(allow_null=True, help_text="As it reports its usage.")
    output_tokens = serializers.IntegerField(allow_null=True)

    def get_works(self, probe: Probe) -> bool:
        return not probe.trouble


class TooManyTests(APIException):
    status_code = status.HTTP_429_TOO_MANY_REQUESTS
    default_code = "too_many_tests"
    wait = 5


class ProviderQuery(Query):
    enabled = serializers.BooleanField(required=False)


class Providers(View):
    @extend_schema(parameters=[ProviderQuery], responses=page_of(ProviderOut))
    def get(self, request: Request) -> Response:
        self.enter_platform()
        query = self.read_query(ProviderQuery)
        found = Provider.objects.all()
        if "enabled" in query:
            found = found.filter(enabled=query["enabled"])
        return answer_page(with_credentials(found), query, show_providers)

    @extend_schema(request=ProviderIn, responses={201: ProviderOut})
    def post(self, request: Request) -> Response:
        """Make a provider, with a credential or without one yet."""
        self.enter_platform()
        fields = self.read(ProviderIn)
        credential = fields.pop("credential", None)
        with self.writing():
            provider = make_provider(**fields)
            if credential is not None:
                set_credential(provider, credential, source="api")
        return self.answer(show_providers([provider])[0], status=201)


class OneProvider(View):
    @extend_schema(responses=ProviderOut)
    def get(self, request: Request, provider: str) -> Response:
        self.enter_platform()
        return self.answer(show_providers([self.find(provider)])[0])

    @extend_schema(request=ProviderChange, responses=ProviderOut)
    def patch(self, request: Request, provider: str) -> Response:
        """Change where its calls go, or switch it off. The name stays: prices and facts name it."""
        self.enter_platform()
        changes = self.read(ProviderChange)
        with self.writing():
            found = self.find_matching(provider)
            change_provider(found, changes)
        return self.answer(show_providers([found])[0])

    @extend_schema(responses={204: None})
    def delete(self, request: Request, provider: str) -> Response:
        """Take it away, with its credentials. Not while routes lead to it."""
        self.enter_platform()
        with self.writing():
            remove_provider(self.find_matching(provider))
        return Response(status=204)

    def find(self, provider: str) -> Provider:
        found: Provider = find(with_credentials(Provider.objects.all()), name=provider)
        return found

    def find_matching(self, provider: str) -> Provider:
        found = self.find(provider)
        self.require_match(show_providers([found])[0])
        return found


class SetCredential(OneProvider):
    http_method_names = ["post", "options"]
    changes_one = True

    @extend_schema(request=CredentialIn, responses=ProviderOut)
    def post(self, request: Request, provider: str) -> Response:
        """Use another credential there from now on, in every process within a second."""
        self.enter_platform()
        text = self.read(CredentialIn)["credential"]
        with self.writing():
            found = self.find_matching(provider)
            set_credential(found, text, source="api")
        return self.answer(show_providers([self.find(provider)])[0])


class AskProvider(OneProvider):
    http_method_names = ["post", "options"]

    @extend_schema(request=Question, responses=ProbeOut)
    def post(self, request: Request, provider: str) -> Response:
        """Make one small real call to it. It is counted for no organization; the provider may bill
        its few tokens. Two are made at a time; another is told to wait (429)."""
        self.enter_platform()
        asked = self.read(Question)["upstream_model"]
        try:
            found = probe(self.find(provider), asked)
        except TooManyProbes as error:
            raise TooManyTests(str(error)) from None
        return Response(ProbeOut(found).data)


def with_credentials(providers: Any) -> Any:
    """Have credentials read along: all but what is sealed in them."""
    unsealed = Credential.objects.defer("sealed")
    return providers.prefetch_related(Prefetch("credentials", queryset=unsealed))


def show_providers(providers: Sequence[Provider]) -> list[Any]:
    return list(ProviderOut(providers, many=True).data)
