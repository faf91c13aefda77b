"""Refusals of the demo provider, in the shapes and words of the real providers.

The texts name the operator's organization, team and billing, and a 401 repeats
part of the credential, because real ones do: a gateway has to hide all of it,
and tests look for these words. Nothing here touches a socket.
"""

from dataclasses import dataclass, field
from enum import Enum

from local.provider.tokens import Json

# Words that must never reach a caller of the gateway.
OPERATOR_ORGANIZATION = "org-OperatorDemo7f3c"
OPERATOR_TEAM = "7c1a6e0e-0f3b-4f1d-9d55-operatordemo"


class Dialect(Enum):
    OPENAI = "openai"
    ANTHROPIC = "anthropic"


_ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    422: "invalid_request_error",
    429: "rate_limit_error",
    529: "overloaded_error",
}
_OPENAI_TYPES = {401: "invalid_request_error", 402: "billing_error", 429: "requests"}


@dataclass
class Refused(Exception):
    """The provider refuses a request; `shape` writes it in the dialect of the path."""

    status: int
    message: str
    code: str | None = None
    type: str | None = None
    param: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    xai: bool = False

    def shape(self, dialect: Dialect, request_id: str) -> Json:
        if self.xai:
            return {"code": self.code, "error": self.message}
        if dialect is Dialect.ANTHROPIC:
            return anthropic_error(self.status, self.message, request_id)
        return openai_error(self)


def openai_error(refused: Refused) -> Json:
    """All four fields, as OpenAI's schema requires."""
    fallback = "server_error" if refused.status >= 500 else "invalid_request_error"
    return {
        "error": {
            "message": refused.message,
            "type": refused.type or _OPENAI_TYPES.get(refused.status, fallback),
            "param": refused.param,
            "code": refused.code,
        }
    }


def anthropic_error(status: int, message: str, request_id: str) -> Json:
    kind = _ANTHROPIC_TYPES.get(status, "api_error")
    return {
        "type": "error",
        "error": {"type": kind, "message": message},
        "request_id": request_id,
    }


def bad_credential(credential: str, dialect: Dialect) -> Refused:
    """OpenAI's message repeats part of the key; Anthropic's does not."""
    if dialect is Dialect.ANTHROPIC:
        return Refused(401, "invalid x-api-key")
    message = (
        f"Incorrect API key provided: {mask(credential)}. You can find your API key at "
        "https://platform.openai.com/account/api-keys."
    )
    return Refused(401, message, code="invalid_api_key")


def mask(credential: str) -> str:
    """As OpenAI writes it: the first eight and last four characters of a long key."""
    if len(credential) < 16:
        return credential
    return f"{credential[:8]}{'*' * (len(credential) - 12)}{credential[-4:]}"


def unknown_model(model: str) -> Refused:
    message = f"The model `{model}` does not exist or you do not have access to it."
    return Refused(404, message, code="model_not_found", param="model")


def invalid(param: str, message: str) -> Refused:
    return Refused(400, message, param=param)


REFUSALS = {
    "demo-400": Refused(400, f"Invalid value in a request of {OPERATOR_ORGANIZATION}.", param="n"),
    "demo-400-xai": Refused(
        400,
        "Incorrect API key provided: xa***mo. You can obtain an API key from https://console.x.ai.",
        code="Client specified an invalid argument",
        xai=True,
    ),
    "demo-402": Refused(
        402,
        f"The credit balance of {OPERATOR_ORGANIZATION} is too low. Go to Plans & Billing.",
        code="insufficient_credit",
    ),
    "demo-403": Refused(
        403,
        f"Project proj_operator of {OPERATOR_ORGANIZATION} does not have access to this model.",
        code="model_not_allowed",
    ),
    "demo-404": unknown_model("demo-404"),
    "demo-413": Refused(413, "Request exceeds the maximum size.", code="request_too_large"),
    "demo-422": Refused(422, "Failed to deserialize the body: missing field `role`."),
    "demo-429": Refused(
        429,
        f"Too many requests for team {OPERATOR_TEAM} and model demo-429. Your team's rate limit "
        "is: Requests per Minute (actual/limit): 61/60.",
        code="rate_limit_exceeded",
        headers={
            "retry-after": "2",
            "retry-after-ms": "1500",
            "x-ratelimit-limit-requests": "60",
            "x-ratelimit-remaining-requests": "0",
            "x-ratelimit-reset-requests": "1.5s",
        },
    ),
    "demo-429-quota": Refused(
        429,
        "You exceeded your current quota, please check your plan and billing details "
        f"({OPERATOR_ORGANIZATION}).",
        type="insufficient_quota",
        code="insufficient_quota",
    ),
    "demo-500": Refused(500, "The server had an error while processing your request."),
    "demo-503": Refused(503, "The engine is currently overloaded, please try again later."),
    "demo-529": Refused(529, "Overloaded"),
}
