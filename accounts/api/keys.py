"""/organizations/X/keys: lists, one key, its changes. Ends and new secrets: keychanges.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import (
    OpenApiParameter,
    extend_schema,
    extend_schema_field,
)
from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import access, issuance
from accounts.access import Right
from accounts.api.authentication import actor_of
from accounts.api.fields import Fields, Moment, Query, SlugText, Text
from accounts.api.paging import answer_page, page_of
from accounts.api.views import View, find
from accounts.errors import InvalidField
from accounts.models import ApiKey, ApiKeySecret, Membership, Organization, Project
from accounts.repeats import find_repeat, keep_repeat

IDEMPOTENCY = OpenApiParameter(
    "Idempotency-Key",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description="A repeat under the same one answers the same key, without its secret.",
)


class SecretOut(serializers.ModelSerializer[ApiKeySecret]):
    class Meta:
        model = ApiKeySecret
        fields = ("made_at", "ends_at")


class KeyOut(serializers.ModelSerializer[ApiKey]):
    """A key as it is shown: by its public id, without any part of a secret."""

    id = serializers.CharField(source="public_id", help_text="The public id, for life.")
    project = serializers.SlugField(source="project.slug")
    owner = serializers.IntegerField(
        source="owner_id", allow_null=True, help_text="A member's id; null for a service key."
    )
    models = serializers.ListField(source="allowed_models", child=serializers.CharField())
    endpoints = serializers.ListField(source="allowed_endpoints", child=serializers.CharField())
    networks = serializers.ListField(source="allowed_networks", child=serializers.CharField())
    tags = serializers.DictField(child=serializers.CharField())
    secrets = serializers.SerializerMethodField(help_text="When each was made and when it ends.")

    class Meta:
        model = ApiKey
        fields: tuple[str, ...] = (
            *("id", "name", "project", "owner", "status", "expires_at", "models", "endpoints"),
            *("networks", "tags", "secrets", "made_at", "changed_at", "revoked_at"),
            "revoke_reason",
        )

    @extend_schema_field(SecretOut(many=True))
    def get_secrets(self, key: ApiKey) -> list[Any]:
        # In an order of their own, or the ETag would change where nothing did.
        oldest_first = sorted(key.secrets.all(), key=lambda secret: secret.pk)
        return list(SecretOut(oldest_first, many=True).data)


class KeyMade(KeyOut):
    secret = serializers.CharField(help_text="The whole key: shown now and never again.")

    class Meta(KeyOut.Meta):
        fields = (*KeyOut.Meta.fields, "secret")


class KeyChange(Fields):
    """What can be changed of a key. Empty lists restrict nothing."""

    name = Text(max_length=issuance.MAX_NAME_LENGTH, required=False)
    expires_at = Moment(required=False, allow_null=True)
    models = serializers.ListField(child=Text(max_length=200), required=False)
    endpoints = serializers.ListField(child=Text(max_length=100), required=False)
    networks = serializers.ListField(child=Text(max_length=50), required=False)
    tags = serializers.DictField(child=Text(max_length=256, allow_blank=True), required=False)


class KeyIn(KeyChange):
    name = Text(max_length=issuance.MAX_NAME_LENGTH)
    project = SlugText()
    owner = serializers.IntegerField(
        required=False,
        allow_null=True,
        min_value=1,
        max_value=2**63 - 1,
        help_text="A member's id; null for a service key. Left out: you, unless you may make both.",
    )


class KeyQuery(Query):
    status = serializers.ChoiceField(ApiKey.Status.choices, required=False)
    project = SlugText(required=False)
    owner = serializers.IntegerField(required=False, min_value=1, max_value=2**63 - 1)
    name = Text(max_length=100, required=False)
    tag = Text(max_length=330, required=False, help_text="name:value")


class KeyView(View):
    """What the views of keys have in common: members see and manage their own ones alone."""

    def enter_keys(self, organization: str) -> QuerySet[ApiKey]:
        """Enter, and return the keys that may be seen."""
        self.enter(organization, Right.SEE_ORGANIZATION)
        found = ApiKey.objects.filter(organization=self.organization)
        if not self.may(self.standing, Right.SEE_ALL_KEYS):
            found = found.filter(owner=self.standing.membership, owner__isnull=False)
        return found.select_related("project").prefetch_related("secrets")

    def require_manage(self, owner: int | None) -> None:
        if not access.may_manage_key(self.standing, organization=self.organization.pk, owner=owner):
            raise PermissionDenied("Your role in this organization does not allow this.")


class Keys(KeyView):
    @extend_schema(parameters=[KeyQuery], responses=page_of(KeyOut))
    def get(self, request: Request, organization: str) -> Response:
        found = self.enter_keys(organization)
        query = self.read_query(KeyQuery)
        columns = {"status": "status", "project": "project__slug", "owner": "owner", "name": "name"}
        found = found.filter(
            **{column: query[name] for name, column in columns.items() if name in query}
        )
        if "tag" in query:
            name, colon, value = query["tag"].partition(":")
            if not colon:
                raise ValidationError({"tag": "must be name:value"})
            found = found.filter(tags__contains={name: value})
        return answer_page(found, query, show_keys)

    @extend_schema(request=KeyIn, parameters=[IDEMPOTENCY], responses={200: KeyOut, 201: KeyMade})
    def post(self, request: Request, organization: str) -> Response:
        """Make a key. Its secret is in this answer and never shown again."""
        self.enter(organization, Right.MANAGE_ALL_KEYS, Right.MAKE_OWN_KEYS)
        fields = self.read(KeyIn)
        project, owner = self.find_place(fields)
        repeat_id = request.headers.get("Idempotency-Key")
        if repeat_id is not None and not 0 < len(repeat_id) <= 255:
            raise InvalidField("Idempotency-Key", "must be 1 to 255 characters")
        with self.writing():
            whose: dict[str, Any] = {
                "organization": self.organization,
                "actor": actor_of(request),
            }
            if repeat_id is not None:
                made = find_repeat(**whose, idempotency_key=repeat_id, request=fields)
                if made is not None:
                    return self.answer(show_keys([made])[0])
            rest = {name: fields[name] for name in fields.keys() - {"project", "owner"}}
            issued = issuance.issue_key(project=project, owner=owner, **rest)
            if repeat_id is not None:
                keep_repeat(issued.key, **whose, idempotency_key=repeat_id, request=fields)
        return answer_secret(self, issued, status=201)

    def find_place(self, fields: dict[str, Any]) -> tuple[Project, Membership | None]:
        """Return the project and the owner of a new key, both of this organization."""
        if "owner" in fields:
            number = fields["owner"]
        else:
            may_all = self.may(self.standing, Right.MANAGE_ALL_KEYS)
            number = None if may_all else self.standing.membership
        self.require_manage(number)
        projects = Project.objects.filter(organization=self.organization)
        project = projects.filter(slug=fields["project"]).first()
        if project is None:
            raise InvalidField("project", "is no project of this organization")
        return project, find_owner(self.organization, number)


class OneKey(KeyView):
    @extend_schema(responses=KeyOut)
    def get(self, request: Request, organization: str, key: str) -> Response:
        found = find(self.enter_keys(organization), public_id=key)
        return self.answer(show_keys([found])[0])

    @extend_schema(request=KeyChange, responses=KeyOut)
    def patch(self, request: Request, organization: str, key: str) -> Response:
        """Change its name or what it may be used for."""
        visible = self.enter_keys(organization)
        with self.writing():
            found = find(visible, public_id=key)
            self.require_manage(found.owner_id)
            changes = self.read(KeyChange)
            self.require_match(show_keys([found])[0])
            issuance.change_key(found, changes)
        return self.answer(show_keys([found])[0])


def find_owner(organization: Organization, number: int | None) -> Membership | None:
    """Return a member by number; None, for a service key, by none. Raises InvalidField."""
    if number is None:
        return None
    members = Membership.objects.filter(organization=organization, left_at=None)
    owner = members.filter(pk=number).first()
    if owner is None:
        raise InvalidField("owner", "is no member of this organization")
    return owner


def answer_secret(view: View, issued: issuance.IssuedKey, *, status: int = 200) -> Response:
    """Answer a key with its secret, this once."""
    shown = show_keys([issued.key])[0]
    answer = view.answer(shown, status=status)
    answer.data = {**shown, "secret": issued.plaintext}
    return answer


def show_keys(keys: Sequence[ApiKey]) -> list[Any]:
    return list(KeyOut(keys, many=True).data)
