"""/management-keys of an organization and of operators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.access import Right
from accounts.api.authentication import key_of, person_of
from accounts.api.fields import Fields, Moment, Nothing, Query, Text
from accounts.api.paging import answer_page, page_of
from accounts.api.views import View, find
from accounts.management_keys import issue_management_key, revoke_management_key
from accounts.models import ManagementKey


class ManagementKeyOut(serializers.ModelSerializer[ManagementKey]):
    id = serializers.CharField(source="public_id")
    made_by = serializers.EmailField(source="made_by.email")
    made_with = serializers.CharField(
        source="made_with.public_id",
        default=None,
        allow_null=True,
        help_text="The key that made it, and that it ends with.",
    )

    class Meta:
        model = ManagementKey
        fields: tuple[str, ...] = (
            "id",
            "name",
            "scope",
            "made_by",
            "made_with",
            "made_at",
            "expires_at",
            "revoked_at",
        )


class ManagementKeyMade(ManagementKeyOut):
    secret = serializers.CharField(help_text="The whole key: shown now and never again.")

    class Meta(ManagementKeyOut.Meta):
        fields = (*ManagementKeyOut.Meta.fields, "secret")


class ManagementKeyIn(Fields):
    name = Text(max_length=100)
    scope = serializers.ChoiceField(ManagementKey.Scope.choices, help_text="`write` reads as well.")
    expires_at = Moment(required=False, allow_null=True)


class ManagementKeyView(View):
    """The keys of one organization, or without one those of operators."""

    def enter_keys(self, organization: str | None) -> QuerySet[ManagementKey]:
        if organization is None:
            self.enter_platform()
            found = ManagementKey.objects.filter(organization=None)
        else:
            self.enter(organization, Right.MANAGE_ALL_KEYS)
            found = ManagementKey.objects.filter(organization=self.organization)
        return found.select_related("made_by", "made_with")


class ManagementKeys(ManagementKeyView):
    @extend_schema(parameters=[Query], responses=page_of(ManagementKeyOut))
    def get(self, request: Request, organization: str | None = None) -> Response:
        found = self.enter_keys(organization)
        return answer_page(found, self.read_query(Query), show_management_keys)

    @extend_schema(request=ManagementKeyIn, responses={201: ManagementKeyMade})
    def post(self, request: Request, organization: str | None = None) -> Response:
        """Make one. Its secret is in this answer and never shown again.

        One that a management key makes ends with that key.
        """
        self.enter_keys(organization)
        fields = self.read(ManagementKeyIn)
        with self.writing():
            issued = issue_management_key(
                organization=self.organization if organization else None,
                made_by=person_of(request),
                made_with=key_of(request),
                **fields,
            )
        shown = show_management_keys([issued.key])[0]
        answer = self.answer(shown, status=201)
        answer.data = {**shown, "secret": issued.plaintext}
        return answer


class OneManagementKey(ManagementKeyView):
    @extend_schema(responses=ManagementKeyOut)
    def get(
        self, request: Request, management_key: str, organization: str | None = None
    ) -> Response:
        found = find(self.enter_keys(organization), public_id=management_key)
        return self.answer(show_management_keys([found])[0])


class RevokeManagementKey(ManagementKeyView):
    changes_one = True

    @extend_schema(request=Nothing, responses=ManagementKeyOut)
    def post(
        self, request: Request, management_key: str, organization: str | None = None
    ) -> Response:
        """End it for good."""
        found = find(self.enter_keys(organization), public_id=management_key)
        self.read()
        with self.writing():
            found.refresh_from_db()
            self.require_match(show_management_keys([found])[0])
            revoke_management_key(found)
        return self.answer(show_management_keys([found])[0])


def show_management_keys(keys: Sequence[ManagementKey]) -> list[Any]:
    return list(ManagementKeyOut(keys, many=True).data)
