"""/docs: how to call, for people with a key. Anybody may read it; nothing here needs a login.

Model and address in the examples are this installation's own, so that what is copied works.
"""

from __future__ import annotations

from typing import NamedTuple

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse

from console.catalog import list_endpoints, list_models
from console.shell import show
from console.snippets import compose_snippets
from gateway.errors.listing import list_kinds

TITLES = {
    "quickstart": "Quickstart",
    "authentication": "Authentication",
    "streaming": "Streaming",
    "sdks": "SDKs and coding agents",
    "errors": "Errors",
    "limits": "Limits",
}
# For whom nothing can be called yet.
EXAMPLE_MODEL = "gpt-4o"
# What to do about an error, by its code, where its message alone does not say it.
ADVICE = {
    "invalid_value": "Change the field that the message names.",
    "invalid_json": "Send one JSON object in UTF-8; the message says where it is none.",
    "missing_required_parameter": "Add the field that the message names.",
    "duplicate_field": "Send each field once.",
    "too_many_elements": "Send fewer or larger parts: at most 100,000 elements in one body.",
    "number_out_of_range": "Send a number that fits into 64 bits.",
    "unsupported_for_model": "Leave the field out, or choose a model whose provider has it.",
    "state_not_kept": "Send the whole input with every request: nothing is kept.",
    "unbounded_feature": "Leave the named part out, or ask the operator to declare its bound.",
    "hold_exceeds_limit": "Set max_tokens to what the message says, or less.",
    "invalid_api_key": "Check that the key was copied whole, or make a new one.",
    "permission_denied": "The key is good and may not do this; its page says what it may.",
    "organization_suspended": "Ask the operator why the organization is suspended.",
    "project_archived": "Use a key of another project, or have this one brought back.",
    "address_not_allowed": "Call from a network that the key is restricted to.",
    "read_only_key": "Use a management key that may write.",
    "not_found": "There is nothing of that name, or it may not be seen.",
    "conflict": "It contradicts what is there already; the message says how.",
    "model_not_found": "GET /v1/models lists what the key may use.",
    "unknown_url": "Check the address: it begins with /v1.",
    "endpoint_not_offered": "It cannot be metered yet, so nothing of it is passed on.",
    "endpoint_unsupported": "Call the model at another endpoint, or another model.",
    "idempotency_call_running": "Wait as long as retry-after says: the first call still runs.",
    "idempotency_answer_not_kept": "Call again with another Idempotency-Key.",
    "idempotency_key_reused": "Give each call an Idempotency-Key of its own.",
    "price_unknown": "Ask the operator for a price of this model.",
    "route_suspended": "Ask the operator to look at this model's routes.",
    "method_not_allowed": "Use the method of the allow header.",
    "request_timeout": "Send the body faster.",
    "request_too_large": "Send less.",
    "uri_too_long": "Shorten the address.",
    "headers_too_large": "Send fewer or shorter headers.",
    "unsupported_content_encoding": "Send the body as it is, without compression.",
    "too_many_wrong_keys": "Wait as long as retry-after says, then send a right key.",
    "insufficient_quota": "A budget is spent. Ask for more at the address in the message.",
    "rate_limit_exceeded": "Wait as long as retry-after says; SDKs do so by themselves.",
    "upstream_error": "The provider failed. Try again; the call id finds it in the log.",
    "upstream_timeout": "The provider was too slow. Try again, or ask for a shorter answer.",
    "internal_error": "Tell the operator the call id.",
}
UNAVAILABLE = "The gateway cannot take the call now. Try again."


class ErrorKind(NamedTuple):
    status: int
    code: str
    advice: str


def show_start(request: HttpRequest) -> HttpResponse:
    return show_one(request, "quickstart")


def show_one(request: HttpRequest, name: str) -> HttpResponse:
    if name not in TITLES:
        raise Http404
    models = list_models()
    return show(
        request,
        f"docs/{name}",
        documents=TITLES,
        name=name,
        document_title=TITLES[name],
        model=models[0] if models else EXAMPLE_MODEL,
        models=models[:50],
        errors=list_errors() if name == "errors" else [],
        endpoints=list_endpoints(),
        snippets=compose_snippets(
            public_url=settings.PUBLIC_URL,
            key=None,
            model=models[0] if models else EXAMPLE_MODEL,
            endpoints=list_endpoints(),
        ),
    )


def list_errors() -> list[ErrorKind]:
    """Return every error there is, by status: what the gateway can say cannot be missing here."""
    return [
        ErrorKind(kind.status, kind.code, ADVICE.get(kind.code, UNAVAILABLE))
        for kind in list_kinds()
    ]
