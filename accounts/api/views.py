"""What every view of the management API does: who, may they, in turn, in whose name, which version.

A view first enters an organization (or the platform) with the right it needs, and only then reads
what was sent: whoever may not learns nothing from errors. What one may not see is a 404.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, ClassVar, TypeVar

from django.db import models, transaction
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from rest_framework import permissions
from rest_framework.exceptions import NotFound, PermissionDenied
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import access
from accounts.access import Right, Standing
from accounts.api.authentication import (
    ManagementKeyAuthentication,
    SessionAuthentication,
    actor_of,
    key_of,
    person_of,
)
from accounts.api.errors import LengthRequired, PreconditionFailed, request_id_of
from accounts.api.fields import Fields, Negotiation, Nothing, StrictParser, read
from accounts.audit import acting, client_address
from accounts.changes import wait_for_turn
from accounts.models import ManagementKey, Organization

Row = TypeVar("Row", bound=models.Model)


class View(APIView):
    """One address of the API."""

    authentication_classes = (ManagementKeyAuthentication, SessionAuthentication)
    permission_classes = (permissions.IsAuthenticated,)
    parser_classes = (StrictParser,)
    renderer_classes = (JSONRenderer,)
    content_negotiation_class = Negotiation

    standing: Standing
    organization: Organization
    # Whether a POST here changes one object that exists, and so compares If-Match.
    changes_one = False
    # What changes by itself, such as a figure of use: it is no part of a version.
    volatile: ClassVar[frozenset[str]] = frozenset()

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        with ExitStack() as self._acting:
            return super().dispatch(request, *args, **kwargs)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        key = key_of(request)
        is_write = request.method not in permissions.SAFE_METHODS
        if key is not None and is_write and key.scope != ManagementKey.Scope.WRITE:
            raise PermissionDenied("This management key may only read.", "read_only_key")
        self._acting.enter_context(
            acting(actor_of(request), via="api", address=client_address(request._request))
        )

    def finalize_response(
        self, request: Request, response: Response, *args: Any, **kwargs: Any
    ) -> Response:
        final = super().finalize_response(request, response, *args, **kwargs)
        final.headers["x-request-id"] = request_id_of(request)
        final.headers["cache-control"] = "no-store"
        return final

    def enter(self, slug: str, *rights: Right) -> Standing:
        """Enter an organization, or raise: 404 for a stranger, 403 for whom no right lets in.

        Any one of the rights is enough; with none given, every standing is.
        """
        organization = Organization.objects.filter(slug=slug).first()
        standing = None if organization is None else self.find_standing(organization)
        if organization is None or standing is None:
            raise NotFound
        if rights and not any(self.may(standing, right) for right in rights):
            raise PermissionDenied("Your role in this organization does not allow this.")
        self.organization, self.standing = organization, standing
        return standing

    def enter_platform(self) -> None:
        """Go on for operators only."""
        if not access.may_manage_platform(person_of(self.request), key_of(self.request)):
            raise PermissionDenied("Only operators of this installation may do this.")

    def require_person(self) -> None:
        """Go on for people only: a program that was let in does not let others in."""
        if key_of(self.request) is not None:
            raise PermissionDenied(
                "A management key cannot do this: log in, and do it in person.", "person_needed"
            )

    def find_standing(self, organization: Organization) -> Standing | None:
        key = key_of(self.request)
        if key is not None:
            return access.find_key_standing(key, organization)
        return access.find_standing(person_of(self.request), organization)

    def may(self, standing: Standing, right: Right) -> bool:
        return access.may(standing, right, organization=standing.organization)

    def read(self, serializer: type[Fields] = Nothing) -> dict[str, Any]:
        """Return the body, checked."""
        if "chunked" in self.request.headers.get("Transfer-Encoding", "").lower():
            raise LengthRequired  # Without a length Django would take it for empty.
        return read(serializer, self.request.data)

    def read_query(self, serializer: type[Fields] = Nothing) -> dict[str, Any]:
        """Return the query, checked."""
        query = self.request.query_params
        return read(serializer, {name: query[name] for name in query})

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Write all of this block or nothing, with no other writer of watched tables in between:
        what the block reads is still so when it commits."""
        with transaction.atomic():
            wait_for_turn()
            yield

    def require_match(self, shown: Mapping[str, Any]) -> None:
        """Raise PreconditionFailed unless If-Match, if there is one, names what is `shown`."""
        wanted = self.request.headers.get("If-Match")
        if wanted is None or wanted.strip() == "*":
            return
        if self.make_etag(shown) not in {tag.strip() for tag in wanted.split(",")}:
            raise PreconditionFailed

    def answer(self, shown: Mapping[str, Any], *, status: int = 200) -> Response:
        """Answer one object with its ETag; 304 where the asker has it already."""
        etag = self.make_etag(shown)
        known = self.request.headers.get("If-None-Match", "")
        asks_anew = self.request.method == "GET" and not self.volatile
        if asks_anew and etag in {tag.strip() for tag in known.split(",")}:
            return Response(status=304, headers={"ETag": etag})
        return Response(shown, status=status, headers={"ETag": etag})

    def make_etag(self, shown: Mapping[str, Any]) -> str:
        """Return the version of an object as it is shown."""
        lasting = {name: value for name, value in shown.items() if name not in self.volatile}
        text = json.dumps(lasting, sort_keys=True, default=str)
        return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


class NothingHere(View):
    """Whatever address no other view has: an error like any other, in the one shape."""

    schema = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        raise NotFound("There is nothing at this address; /docs/api lists what there is.")


def find(rows: models.QuerySet[Row], **identity: Any) -> Row:
    """Return the one row, or raise a NotFound that tells nothing about why."""
    row = rows.filter(**identity).first()
    if row is None:
        raise NotFound
    return row
