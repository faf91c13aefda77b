"""From a request below /v1/organization to an answer: who asks, for which organization, and what.

Everything that goes wrong leaves as a GatewayError, in OpenAI's shape. A write happens as a whole,
in turn with all other writers, in the name of the key.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

import msgspec
from django.db import Error as DatabaseFailure
from django.db import transaction

from accounts import access
from accounts.audit import acting
from accounts.changes import wait_for_turn
from accounts.errors import AccountsError, InvalidField, KeyRefused, MustWait
from accounts.management_keys import recognize
from accounts.models import ManagementKey, Organization
from gateway.caller import Caller
from gateway.endpoints.organization import (
    admin_keys,
    api_keys,
    audit_logs,
    projects,
    usage,
)
from gateway.endpoints.organization.asking import Asked, read_query
from gateway.errors import (
    BadRequest,
    Conflict,
    LedgerAway,
    MethodNotAllowed,
    NotAuthenticated,
    PermissionDenied,
    TooManyWrongKeys,
    UnknownEndpoint,
)

if TYPE_CHECKING:
    from gateway.process import GatewayProcess

MAX_BODY_BYTES = 2**16

PROJECT = r"projects/(?P<project>[^/]+)"
RESOURCES: list[tuple[str, str, Any]] = [
    ("GET", r"usage/completions", usage.show_completions),
    ("GET", r"costs", usage.show_costs),
    ("GET", r"projects", projects.list_projects),
    ("POST", r"projects", projects.create_project),
    ("GET", PROJECT, projects.show_project),
    ("POST", PROJECT, projects.change_project),
    ("POST", rf"{PROJECT}/archive", projects.archive),
    ("GET", rf"{PROJECT}/api_keys", api_keys.list_keys),
    ("GET", rf"{PROJECT}/api_keys/(?P<key>[^/]+)", api_keys.show_key),
    ("DELETE", rf"{PROJECT}/api_keys/(?P<key>[^/]+)", api_keys.delete_key),
    ("GET", rf"{PROJECT}/service_accounts", api_keys.list_service_accounts),
    ("POST", rf"{PROJECT}/service_accounts", api_keys.create_service_account),
    ("GET", rf"{PROJECT}/service_accounts/(?P<key>[^/]+)", api_keys.show_service_account),
    ("DELETE", rf"{PROJECT}/service_accounts/(?P<key>[^/]+)", api_keys.delete_service_account),
    ("GET", r"audit_logs", audit_logs.list_logs),
    ("GET", r"admin_api_keys", admin_keys.list_keys),
    ("POST", r"admin_api_keys", admin_keys.create_key),
    ("GET", r"admin_api_keys/(?P<key>[^/]+)", admin_keys.show_key),
    ("DELETE", r"admin_api_keys/(?P<key>[^/]+)", admin_keys.delete_key),
]
_COMPILED = [(method, re.compile(path), answer) for method, path, answer in RESOURCES]
_encode = msgspec.json.Encoder(decimal_format="number").encode


async def answer_organization(process: GatewayProcess, caller: Caller) -> None:
    """Answer a request of a management key, or raise what refuses it."""
    process.check(time.monotonic())
    path = caller.path.removeprefix("/v1/organization/")
    answer, arguments = find_resource(caller, path)
    body = await caller.read_body(MAX_BODY_BYTES) if caller.method == "POST" else b""
    address = caller.address(process.configuration.trusted_proxies)

    def work() -> bytes:
        return _work(caller, answer, arguments, body, address)

    shown = await process.office.run(work)
    headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
    await caller.respond(200, [*headers, *caller.identity()], shown)


def find_resource(caller: Caller, path: str) -> tuple[Any, dict[str, str]]:
    """Return what answers a path, and what the path names."""
    allowed = []
    for method, pattern, answer in _COMPILED:
        if match := pattern.fullmatch(path):
            if method == caller.method:
                return answer, match.groupdict()
            allowed.append(method)
    if allowed:
        raise MethodNotAllowed(tuple(allowed))
    raise UnknownEndpoint(caller.method, caller.path)


def _work(
    caller: Caller, answer: Any, arguments: dict[str, str], body: bytes, address: str | None
) -> bytes:
    """Do what was asked, in a thread, and return the body of the answer."""
    try:
        asked = _enter(caller, body, address)
        if not asked.writes:
            return _encode(answer(asked, **arguments))
        actor = f"management key {asked.key.public_id}"
        with acting(actor, via="api", address=address), transaction.atomic():
            wait_for_turn()
            return _encode(answer(asked, **arguments))
    except InvalidField as error:
        raise BadRequest(f"{error.field}: {error.reason}.", error.field) from None
    except AccountsError as error:
        raise Conflict(error.message, error.code) from None
    except DatabaseFailure as error:
        raise LedgerAway from error


def _enter(caller: Caller, body: bytes, address: str | None) -> Asked:
    try:
        key = recognize(caller.token(), address=address)
    except MustWait as error:
        raise TooManyWrongKeys(error.seconds) from None
    except KeyRefused as error:
        raise NotAuthenticated(f"{error.message} This address is for management keys.") from None
    writes = caller.method != "GET"
    if writes and key.scope != ManagementKey.Scope.WRITE:
        raise PermissionDenied("This management key may only read.", "read_only_key")
    organization = _find_organization(key, caller)
    standing = None if organization is None else access.find_key_standing(key, organization)
    if organization is None or standing is None:
        raise PermissionDenied("This management key may do nothing in this organization.")
    return Asked(
        key=key,
        organization=organization,
        standing=standing,
        writes=writes,
        query=read_query(caller.query),
        body=body,
    )


def _find_organization(key: ManagementKey, caller: Caller) -> Organization | None:
    """Return the key's own organization, or the one that an operator's key names by header."""
    named = [value.decode("latin-1") for value in caller.header_values(b"openai-organization")]
    if key.organization is not None:
        return key.organization if set(named) <= {key.organization.slug} else None
    if not named:
        raise BadRequest(
            "An operator's key is of no organization: name one in 'OpenAI-Organization'.",
            "OpenAI-Organization",
        )
    return Organization.objects.filter(slug=named[0]).first()
