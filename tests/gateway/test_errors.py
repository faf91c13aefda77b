"""Every error in the caller's dialect: its shape, its status, its headers."""

import ast
import inspect
import json
from pathlib import Path
from typing import Any

import pytest

from accounts.errors import REFUSALS
from gateway import errors
from gateway.errors import GatewayError, QuotaExplanation
from gateway.errors.listing import list_kinds
from gateway.errors.tree import _FORBIDDEN_REFUSALS

CALL = "0192f0c1-0000-7000-8000-000000000000"

QUOTA = QuotaExplanation(
    quota=7,
    scope="project",
    name="default",
    unit="cost",
    window="month",
    limit=5 * 10**10,
    used=49_700_000_000,
    held=200_000_000,
    needed=500_000_000,
    resets_at=1_764_543_600.0,
    time_zone="Europe/Berlin",
)
RATE = QuotaExplanation(
    quota=8,
    scope="key",
    name="ci",
    unit="total_tokens",
    window="minute",
    limit=100,
    used=90,
    held=5,
    needed=10,
    resets_at=1030.5,
)
EVERY: list[GatewayError] = [
    errors.GatewayError(),
    errors.BadRequest("'n' is not acceptable.", "n"),
    errors.UnboundedFeature("tools[0]", "hosted_tool"),
    errors.HoldExceedsLimit(QUOTA, cap_field="max_tokens", largest_cap=12),
    errors.NotAuthenticated("This API key does not exist."),
    errors.PermissionDenied("No."),
    errors.ModelNotFound("gpt-9"),
    errors.ModelRetired("gpt-3", 1_767_225_600.0),
    errors.NotFound("project", "never"),
    errors.Conflict("This organization was deleted, which is final.", "organization_deleted"),
    errors.UnknownEndpoint("GET", "/v1/nothing"),
    errors.EndpointNotOffered("POST", "/v1/images/generations", "Images"),
    errors.EndpointUnsupported("claude", "embeddings"),
    errors.MethodNotAllowed(("GET", "POST")),
    errors.RequestTimeout(),
    errors.RepeatDiffers(),
    errors.RepeatRunning("0192"),
    errors.RepeatOver("0192"),
    errors.RepeatsAway(),
    errors.TooLarge(1000),
    errors.EncodedBody(),
    errors.TooManyWrongKeys(1.5),
    errors.QuotaRefused(QUOTA),
    errors.RateLimited(RATE),
    errors.Unavailable(),
    errors.NotFresh(),
    errors.SpoolFull(),
    errors.ShuttingDown(),
    errors.LedgerAway(),
    errors.NoRoute(),
    errors.PriceUnknown(),
    errors.RouteSuspended(),
    errors.TooManyPages(),
    errors.OfficeBusy(),
    errors.UpstreamError(),
    errors.UpstreamRefused(),
    errors.UpstreamFailed(),
    errors.UpstreamUnreachable(),
    errors.UpstreamTimeout(),
]
each_error = pytest.mark.parametrize("error", EVERY, ids=lambda error: type(error).__name__)


def openai(error: GatewayError) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(errors.openai_body(error, CALL))["error"]
    return fields


def headers(error: GatewayError) -> dict[str, str]:
    return {k.decode(): v.decode() for k, v in errors.error_headers(error, CALL)}


def test_no_error_of_the_tree_is_missing_here() -> None:
    named = {
        value
        for _, value in inspect.getmembers(errors, inspect.isclass)
        if issubclass(value, GatewayError)
    }
    assert named == {type(error) for error in EVERY}


@each_error
def test_openai_clients_find_all_four_fields(error: GatewayError) -> None:
    fields = openai(error)
    assert fields.keys() >= {"message", "type", "param", "code"}
    assert all(isinstance(fields[name], str) and fields[name] for name in ("message", "type"))
    assert fields["code"] == error.code
    assert b"\n" not in errors.openai_body(error, CALL)


@each_error
def test_anthropic_clients_find_their_shape(error: GatewayError) -> None:
    body = json.loads(errors.anthropic_body(error, CALL))
    assert (body["type"], body["request_id"]) == ("error", CALL)
    assert body["error"]["type"].endswith(("_error", "request_too_large"))
    assert body["error"]["message"]


@each_error
def test_either_client_finds_the_call_id(error: GatewayError) -> None:
    found = headers(error)
    assert found["x-request-id"] == found["request-id"] == CALL
    assert found["content-type"] == "application/json"


TYPES = [
    (errors.NotAuthenticated("No."), 401, "invalid_request_error", "authentication_error"),
    (errors.PermissionDenied("No."), 403, "permission_error", "permission_error"),
    (errors.ModelNotFound("m"), 404, "invalid_request_error", "not_found_error"),
    (errors.TooLarge(1), 413, "invalid_request_error", "request_too_large"),
    (errors.EncodedBody(), 415, "invalid_request_error", "invalid_request_error"),
    (errors.QuotaRefused(QUOTA), 429, "insufficient_quota", "rate_limit_error"),
    (errors.RateLimited(RATE), 429, "tokens", "rate_limit_error"),
    (errors.UpstreamFailed(), 502, "server_error", "api_error"),
    (errors.SpoolFull(), 503, "server_error", "api_error"),
    (errors.UpstreamTimeout(), 504, "server_error", "timeout_error"),
]


@pytest.mark.parametrize(("error", "status", "openai_type", "anthropic_type"), TYPES)
def test_status_and_types_are_those_of_the_vendors(
    error: GatewayError, status: int, openai_type: str, anthropic_type: str
) -> None:
    assert error.status == status
    assert openai(error)["type"] == openai_type
    assert json.loads(errors.anthropic_body(error, CALL))["error"]["type"] == anthropic_type


def test_a_spent_budget_explains_itself_and_is_not_retried() -> None:
    error = errors.refuse_for_quota(QUOTA, now=1_764_500_000.0)
    assert (error.status, error.code) == (429, "insufficient_quota")
    assert headers(error)["x-should-retry"] == "false"
    assert openai(error)["message"] == (
        "The monthly cost quota of project 'default' has no room for this call: limit $5.00, "
        "used $4.97, held by running calls $0.02, needed at most $0.05. It resets at "
        "2025-12-01 00:00 Europe/Berlin. It can be raised by an owner or admin of the "
        f"organization. (call {CALL})"
    )


def test_programs_can_read_the_quota_too() -> None:
    quota = openai(errors.QuotaRefused(QUOTA))["quota"]
    assert (quota["limit"], quota["used"], quota["unit"]) == ("5.00", "4.97", "cost")
    assert quota["resets_at"] == "2025-12-01T00:00:00+01:00"
    assert openai(errors.RateLimited(RATE))["quota"]["limit"] == 100


def test_a_rate_tells_when_to_come_back() -> None:
    error = errors.refuse_for_quota(RATE, now=1000.0)
    assert error.code == "rate_limit_exceeded"
    found = headers(error)
    assert (found["retry-after"], found["retry-after-ms"]) == ("31", "31000")
    assert "x-should-retry" not in found


def test_a_lifetime_quota_does_not_reset() -> None:
    forever = QuotaExplanation(
        **{f: getattr(QUOTA, f) for f in QUOTA.__struct_fields__}
        | {"window": "lifetime", "resets_at": None}
    )
    error = errors.refuse_for_quota(forever, now=0.0)
    assert "It does not reset." in error.message
    assert "retry-after" not in headers(error)


def test_a_call_that_can_never_fit_is_told_what_would() -> None:
    fits = errors.HoldExceedsLimit(QUOTA, cap_field="max_tokens", largest_cap=12)
    assert "Set max_tokens to 12 or less." in fits.message
    assert (fits.status, fits.code, fits.field) == (400, "hold_exceeds_limit", "max_tokens")
    never = errors.HoldExceedsLimit(QUOTA, cap_field="max_tokens", largest_cap=None)
    assert "Not even the shortest answer" in never.message


def test_every_refusal_of_a_key_has_a_status() -> None:
    statuses = {code: errors.refuse_key(code, text).status for code, text in REFUSALS.items()}
    forbidden = {code for code, status in statuses.items() if status == 403}
    assert forbidden == {"organization_suspended", "project_archived", "address_not_allowed"}
    assert set(statuses.values()) == {401, 403}


def test_methods_that_would_do_are_named() -> None:
    assert headers(errors.MethodNotAllowed(("GET", "HEAD")))["allow"] == "GET, HEAD"


def test_who_is_not_authenticated_is_told_how() -> None:
    assert headers(errors.NotAuthenticated("No."))["www-authenticate"] == "Bearer"


def test_what_a_caller_wrote_is_bounded_in_a_message() -> None:
    assert len(errors.ModelNotFound("m" * 10_000).message) < 300
    assert len(errors.UnknownEndpoint("GET", "/" * 10_000).message) < 300


def test_every_code_that_is_told_where_an_error_is_raised_stands_in_the_list() -> None:
    """The third argument of BadRequest, the second of PermissionDenied, and `code=` of either."""
    places = {"BadRequest": 2, "PermissionDenied": 1}
    told = set()
    for path in Path("gateway").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or getattr(node.func, "id", "") not in places:
                continue
            place = places[getattr(node.func, "id", "")]
            codes = [*node.args[place:], *(k.value for k in node.keywords if k.arg == "code")]
            told |= {code.value for code in codes if isinstance(code, ast.Constant)}
    assert len(told) > 5
    assert told <= {kind.code for kind in list_kinds()}
    assert set(_FORBIDDEN_REFUSALS) <= {kind.code for kind in list_kinds()}
