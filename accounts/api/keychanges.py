"""What ends, pauses or renews a key: rotate, disable, enable, revoke; one or many at once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import issuance
from accounts.access import Right, may_manage_key
from accounts.api.fields import Fields, Nothing, Text
from accounts.api.keys import KeyMade, KeyOut, KeyView, answer_secret, find_owner, show_keys
from accounts.api.views import find
from accounts.errors import InvalidField
from accounts.leaving import hand_over
from accounts.models import ApiKey

MAX_BULK = 200


class Rotation(Fields):
    grace_seconds = serializers.IntegerField(
        min_value=0,
        max_value=int(issuance.MAX_GRACE.total_seconds()),
        default=0,
        help_text="How long the secret before goes on working.",
    )


class Revocation(Fields):
    reason = Text(max_length=200, allow_blank=True, default="")


class Bulk(Revocation):
    action = serializers.ChoiceField(["disable", "revoke"])
    ids = serializers.ListField(child=Text(max_length=12), min_length=1, max_length=MAX_BULK)


BulkOut = inline_serializer(
    "BulkResult",
    {
        "done": serializers.ListField(child=serializers.CharField()),
        "unchanged": serializers.ListField(
            child=serializers.CharField(), help_text="They were so before."
        ),
        "unknown": serializers.ListField(
            child=serializers.CharField(), help_text="No key of yours has this id."
        ),
    },
)


class Handover(Fields):
    owner = serializers.IntegerField(
        allow_null=True,
        min_value=1,
        max_value=2**63 - 1,
        help_text="A member's id; null makes service keys.",
    )
    ids = serializers.ListField(child=Text(max_length=12), min_length=1, max_length=MAX_BULK)


HandoverOut = inline_serializer(
    "HandoverResult",
    {"moved": serializers.IntegerField(help_text="Revoked keys stay where they are.")},
)


class KeyChangeView(KeyView):
    """A change of one key, by someone who may manage it."""

    changes_one = True

    def find_managed(self, organization: str, key: str) -> ApiKey:
        found = find(self.enter_keys(organization), public_id=key)
        self.require_manage(found.owner_id)
        return found

    def prepare(self, key: ApiKey) -> None:
        """Read the key as it is now that nobody else writes, and compare it with If-Match."""
        key.refresh_from_db()
        self.require_match(show_keys([key])[0])


class Rotate(KeyChangeView):
    @extend_schema(request=Rotation, responses=KeyMade)
    def post(self, request: Request, organization: str, key: str) -> Response:
        """Add a secret, in this answer and never again; the one before ends after the grace."""
        found = self.find_managed(organization, key)
        grace = timedelta(seconds=self.read(Rotation)["grace_seconds"])
        with self.writing():
            self.prepare(found)
            issued = issuance.rotate_key(found, grace)
        return answer_secret(self, issued)


class Disable(KeyChangeView):
    @extend_schema(request=Nothing, responses=KeyOut)
    def post(self, request: Request, organization: str, key: str) -> Response:
        """Refuse its calls until it is enabled again."""
        found = self.find_managed(organization, key)
        self.read()
        with self.writing():
            self.prepare(found)
            issuance.disable_key(found)
        return self.answer(show_keys([found])[0])


class Enable(KeyChangeView):
    @extend_schema(request=Nothing, responses=KeyOut)
    def post(self, request: Request, organization: str, key: str) -> Response:
        found = self.find_managed(organization, key)
        self.read()
        with self.writing():
            self.prepare(found)
            issuance.enable_key(found)
        return self.answer(show_keys([found])[0])


class Revoke(KeyChangeView):
    @extend_schema(request=Revocation, responses=KeyOut)
    def post(self, request: Request, organization: str, key: str) -> Response:
        """End it with all its secrets, for good."""
        found = self.find_managed(organization, key)
        reason = self.read(Revocation)["reason"]
        with self.writing():
            self.prepare(found)
            issuance.revoke_key(found, reason)
        return self.answer(show_keys([found])[0])


class HandOver(KeyView):
    """What keeps keys alive when their owner leaves, before or afterwards."""

    @extend_schema(request=Handover, responses=HandoverOut)
    def post(self, request: Request, organization: str) -> Response:
        """Give keys to another member, or make them service keys; all or none.

        Secrets, quotas and history stay with a key.
        """
        self.enter(organization, Right.MANAGE_ALL_KEYS)
        asked = self.read(Handover)
        ids = set(asked["ids"])
        with self.writing():
            keys = ApiKey.objects.filter(organization=self.organization, public_id__in=ids)
            unknown = ids - {key.public_id for key in keys}
            if unknown:
                raise InvalidField("ids", f"{min(unknown)} is no key of this organization")
            moved = hand_over(keys, find_owner(self.organization, asked["owner"]))
        return Response({"moved": moved})


class BulkChange(KeyView):
    """Many keys at once, all or none; ids that are not yours are listed and not touched."""

    @extend_schema(request=Bulk, responses=BulkOut)
    def post(self, request: Request, organization: str) -> Response:
        visible = self.enter_keys(organization)
        self.require_manage(self.standing.membership)
        asked = self.read(Bulk)
        ids = list(dict.fromkeys(asked["ids"]))
        sorted_out: dict[str, list[str]] = {"done": [], "unchanged": [], "unknown": []}
        with self.writing():
            keys = {key.public_id: key for key in visible.filter(public_id__in=ids)}
            for public_id in ids:
                key = keys.get(public_id)
                if key is None or not self.may_manage(key):
                    sorted_out["unknown"].append(public_id)
                else:
                    done = self.change(key, asked)
                    sorted_out["done" if done else "unchanged"].append(public_id)
        return Response(sorted_out)

    def may_manage(self, key: ApiKey) -> bool:
        return may_manage_key(self.standing, organization=self.organization.pk, owner=key.owner_id)

    def change(self, key: ApiKey, asked: dict[str, Any]) -> bool:
        if asked["action"] == "revoke":
            return issuance.revoke_key(key, asked["reason"])
        return key.status != ApiKey.Status.REVOKED and issuance.disable_key(key)
