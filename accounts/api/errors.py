"""Every error of the management API in one shape, with one table that maps what goes wrong to it.

{"error": {"code": ..., "message": ..., "field": ... | null, "request_id": ...}}

NotFound, PermissionDenied, ... (Django REST framework)   as they are
AccountsError                                              its code, with a status from STATUSES
anything else                                              500 `internal`, told to the log alone
"""

from __future__ import annotations

import logging
import sys
import uuid
from typing import Any

from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.core.exceptions import SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views import defaults
from rest_framework import status
from rest_framework.exceptions import (
    APIException,
    NotFound,
    ParseError,
    PermissionDenied,
    ValidationError,
)
from rest_framework.response import Response

from accounts.errors import (
    AccountsError,
    AnsweredAlready,
    InUse,
    InvalidField,
    InvitationIsOver,
    KeyIsRevoked,
    LastOperator,
    LastOwner,
    OrganizationIsActive,
    OrganizationIsDeleted,
    RepeatDiffers,
    RotationInProgress,
)
from accounts.keys import hide

log = logging.getLogger(__name__)

STATUSES: dict[type[AccountsError], int] = {
    InvalidField: status.HTTP_400_BAD_REQUEST,
    KeyIsRevoked: status.HTTP_409_CONFLICT,
    RotationInProgress: status.HTTP_409_CONFLICT,
    LastOwner: status.HTTP_409_CONFLICT,
    InvitationIsOver: status.HTTP_409_CONFLICT,
    RepeatDiffers: status.HTTP_409_CONFLICT,
    OrganizationIsDeleted: status.HTTP_409_CONFLICT,
    OrganizationIsActive: status.HTTP_409_CONFLICT,
    InUse: status.HTTP_409_CONFLICT,
    AnsweredAlready: status.HTTP_409_CONFLICT,
    LastOperator: status.HTTP_409_CONFLICT,
}


class PreconditionFailed(APIException):
    """The object is no longer what the If-Match of the request names."""

    status_code = status.HTTP_412_PRECONDITION_FAILED
    default_code = "precondition_failed"
    default_detail = "The object has changed since: read it again, and decide again."


class LengthRequired(APIException):
    """A body in chunks: the server in front would have to keep what it cannot judge."""

    status_code = status.HTTP_411_LENGTH_REQUIRED
    default_code = "length_required"
    default_detail = "Send the body with a Content-Length."


class Unavailable(APIException):
    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_code = "unavailable"
    default_detail = "The database does not answer. Try again."


def answer_error(error: Exception, context: dict[str, Any]) -> Response:
    """Return what a view answers to an exception; Django REST framework asks this."""
    request = context["request"]
    headers = {}
    if isinstance(error, AccountsError):
        code, message, field = error.code, error.message, None
        if isinstance(error, InvalidField):
            message, field = error.reason, error.field
        http_status = STATUSES.get(type(error), status.HTTP_409_CONFLICT)
    else:
        known = _translate(error, request)
        code, message, field = _read(known)
        http_status = known.status_code
        if auth_header := getattr(known, "auth_header", None):
            headers["WWW-Authenticate"] = auth_header
        if wait := getattr(known, "wait", None):
            headers["Retry-After"] = str(int(wait))
    body = describe(request, code=code, message=message, field=field)
    return Response(body, status=http_status, headers=headers)


def describe(
    request: HttpRequest, *, code: str, message: str, field: str | None = None
) -> dict[str, Any]:
    """Return the body of an error."""
    return {
        "error": {
            "code": code,
            # They name what was sent, and people paste keys into the wrong places.
            "message": hide(message),
            "field": None if field is None else hide(field),
            "request_id": request_id_of(request),
        }
    }


def answer_plainly(request: HttpRequest, *, status: int, code: str, message: str) -> JsonResponse:
    """Return an error from outside of any view."""
    response = JsonResponse(describe(request, code=code, message=message), status=status)
    response["x-request-id"] = request_id_of(request)
    return response


def answer_unreadable(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer a request that Django could not read; pages get Django's own page."""
    if not _is_ours(request):
        return defaults.bad_request(request, exception)
    return answer_plainly(
        request, status=400, code="parse_error", message="This request cannot be read."
    )


def answer_missing(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer for an address that is no page and no resource."""
    if not _is_ours(request):
        return defaults.page_not_found(request, exception)
    return answer_plainly(request, status=404, code="not_found", message="Not found.")


def answer_failure(request: HttpRequest) -> HttpResponse:
    """Answer what failed before or after a view, such as a session that cannot be read."""
    if not _is_ours(request):
        return defaults.server_error(request)
    known = _translate(sys.exc_info()[1] or APIException(), request)
    code, message, _ = _read(known)
    return answer_plainly(request, status=known.status_code, code=code, message=message)


def _is_ours(request: HttpRequest) -> bool:
    return request.path_info.startswith("/api/")


def request_id_of(request: Any) -> str:
    """Return the id of this request, which the answer, its error and the log share."""
    inner = getattr(request, "_request", request)
    if not hasattr(inner, "tollgate_request_id"):
        inner.tollgate_request_id = str(uuid.uuid4())
    return str(inner.tollgate_request_id)


def _translate(error: BaseException, request: Any) -> APIException:
    if isinstance(error, APIException):
        return error
    if isinstance(error, Http404):
        return NotFound()
    if isinstance(error, DjangoPermissionDenied):
        return PermissionDenied()
    if isinstance(error, SuspiciousOperation):
        return ParseError("This request cannot be read.")
    if isinstance(error, OperationalError | InterfaceError):
        log.error("request %s: the database does not answer: %s", request_id_of(request), error)
        return Unavailable()
    log.error("request %s failed", request_id_of(request), exc_info=error)
    return APIException(
        "Something went wrong here; the log has it under the request id.", "internal"
    )


def _read(error: APIException) -> tuple[str, str, str | None]:
    """Return code, message and field of the first thing that an exception complains about."""
    detail: Any = error.detail
    path: list[str] = []
    while isinstance(detail, dict | list) and detail:
        if isinstance(detail, dict):
            name, detail = next(iter(detail.items()))
            if name != "non_field_errors":
                path.append(str(name))
        else:
            index = next(n for n, each in enumerate(detail) if each)
            detail = detail[index]
            if isinstance(detail, dict | list):
                path.append(str(index))
    code = "invalid" if isinstance(error, ValidationError) else getattr(detail, "code", "error")
    return code, str(detail), ".".join(path) or None
