"""A provider's own refusals and failures, turned into ours; the one place that reads their text.

What a provider says to us it says to the operator: its 401, 402, 403 and everything about keys,
accounts and billing become a plain 502. A sentence about the request itself is passed on once
nothing in it looks like any of those. Exceptions of the HTTP client are mapped in upstream.py.
"""

from __future__ import annotations

import datetime
import email.utils
import math
import re
from collections.abc import Mapping

import msgspec

from gateway.errors.upstream import (
    UpstreamError,
    UpstreamFailed,
    UpstreamRefused,
    UpstreamTimeout,
)

MAX_MESSAGE_LENGTH = 500
MAX_DETAIL_LENGTH = 2000
MAX_RETRY_AFTER_SECONDS = 86_400

# The caller can act on these, so they keep their status.
_KEPT = frozenset({400, 404, 409, 413, 422, 429})
_NEUTRAL = {
    400: "The model provider did not accept this request.",
    404: "The model provider does not know what this request asks for.",
    409: "The model provider reports a conflict with another request.",
    413: "The request is too large for the model provider.",
    422: "The model provider could not process this request.",
    429: "The model provider's rate limit is reached. Try again later.",
}
_CODES = {404: "not_found", 413: "request_too_large", 429: "rate_limit_exceeded"}

# Whose account we are at the provider, what it owes, and how we prove who we are.
_OF_THE_OPERATOR = re.compile(
    r"""
      \b(?: api[\s_-]*keys? | x-api-key | bearer | credentials? | authori[sz]ation | authenticat\w+
          | unauthori[sz]ed | permissions?
          | billing | billed | credits? | balance | payments? | invoices? | subscriptions? | plan
          | quota | spend\w* | spent | budget | funds | purchase\w* | hard\ limit | usage\ tier
          | organi[sz]ations? | org | teams? | accounts? | tenants? | workspaces? | projects?
          | subscription | deployments? | resource\ group )\b
      | \b(?: org | proj | acct | team | user | req | wrkspc | usr )[-_][A-Za-z0-9]{12,}
      | [A-Za-z0-9]\*{3,} | \*{3,}[A-Za-z0-9] | [A-Za-z0-9]\.\.\.[A-Za-z0-9]
      | \b(?: sk | xai | pk | rk | gsk | tgp | tg | AIza | ak )[-_][A-Za-z0-9_-]{6,}
      | [0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}
      | (?<![A-Za-z0-9+/=_-])(?=[A-Za-z0-9+/=_-]*[0-9])[A-Za-z0-9+/=_-]{32,}
    """,
    re.IGNORECASE | re.VERBOSE,
)
# Billing and credentials can come under any status: xAI answers 400 for a bad key, OpenAI 429 for
# an empty account. Then the status itself is about the operator, not about the request.
_OUR_FAULT = re.compile(
    r"""\b(?: api[\s_-]*keys? | x-api-key | invalid_api_key | insufficient_quota
        | account_deactivated | billing\w* | payments? | current\ quota | spend(?:ing)?[\s_]limits?
        | credit\ balance | (?:your|no|more|out\ of|insufficient|enough|prepaid|purchase)\ credits?
        | authentication[\s_](?:error|failed|failure) | (?:un|not\ )authori[sz]ed )\b""",
    re.IGNORECASE | re.VERBOSE,
)
_KEY_LIKE = re.compile(
    r"\b(?:sk|xai|pk|rk|gsk|tgp|key|tg|AIza|ak)[-_][A-Za-z0-9*._-]{4,}|[A-Za-z0-9+/=_-]{32,}"
    r"|(?<=Bearer )\S+"
)
_ADDRESS = re.compile(
    r"""\b[a-z][a-z0-9+.-]{0,20}://\S+ | \bwww\.\S+ | \b[\w.+-]{1,64}@[\w.-]+
      | \b(?:[a-z0-9-]{1,63}\.){1,6}(?:com|net|org|io|ai|dev|cloud|app|internal|local)\b\S*
      | \b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b""",
    re.IGNORECASE | re.VERBOSE,
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_CODE = re.compile(r"[a-z][a-z0-9_]{0,63}")
_FIELD = re.compile(r"[A-Za-z0-9_.\[\]-]{1,100}")


def read_refusal(
    status: int,
    body: bytes,
    headers: Mapping[str, str],
    *,
    upstream_model: str = "",
    model: str = "",
    credential: str = "",
    now: float | None = None,
) -> UpstreamError:
    """Map an upstream answer other than 2xx. `headers` are looked up by lower-case names.

    `upstream_model` is written as `model` wherever the provider's sentence names it; `credential`
    is taken out of everything, the log's detail included. Never raises, whatever the body is.
    """
    told = _Told.read(body, credential)
    error = _choose(status, told, upstream_model, model)
    error.upstream_status = status
    error.detail = told.detail
    if error.should_retry is not False and error.status in {429, 503, 504}:
        error.retry_after_seconds = read_retry_after(headers, now=now)
    return error


def read_stream_error(
    payload: bytes, *, upstream_model: str = "", model: str = "", credential: str = ""
) -> UpstreamError:
    """Map an error that came inside a 200: its status is gone, so only its sentence is read."""
    told = _Told.read(payload, credential)
    message = None if told.is_our_fault else told.speak(upstream_model, model)
    failed = UpstreamFailed(message, detail=told.detail)
    failed.anthropic_status = 529 if told.type == "overloaded_error" else None
    return failed


def _choose(status: int, told: _Told, upstream_model: str, model: str) -> UpstreamError:
    if status in {401, 402, 403} or (status < 500 and told.is_our_fault):
        # No retry of the client can mend the operator's account.
        return UpstreamRefused(should_retry=False)
    if status in _KEPT:
        return UpstreamRefused(
            told.speak(upstream_model, model) or _NEUTRAL[status],
            status=status,
            code=told.find_code() or _CODES.get(status, "upstream_refused"),
            field=told.find_field(),
        )
    if status in {408, 504}:
        return UpstreamTimeout()
    if 400 <= status < 500:
        return UpstreamRefused()
    # Overloaded is 529 at Anthropic only; elsewhere it is said with 503.
    failed = UpstreamFailed(status={500: 500, 503: 503, 529: 503}.get(status))
    failed.anthropic_status = 529 if status == 529 else None
    return failed


def read_retry_after(headers: Mapping[str, str], *, now: float | None = None) -> float | None:
    """Seconds to wait, from `retry-after-ms` or `retry-after` (seconds or an HTTP date)."""
    milliseconds = _read_number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return min(milliseconds / 1000, MAX_RETRY_AFTER_SECONDS)
    text = headers.get("retry-after")
    seconds = _read_number(text)
    if seconds is None and text is not None and now is not None:
        seconds = _read_date(text, now)
    return None if seconds is None else min(seconds, MAX_RETRY_AFTER_SECONDS)


def redact(text: str, *, upstream_model: str = "", model: str = "") -> str | None:
    """Return the sentence as a caller may read it, None where it is about the operator."""
    text = _CONTROL.sub(" ", text[: 2 * MAX_MESSAGE_LENGTH])
    if upstream_model and model:
        text = text.replace(upstream_model, model)
    text = _ADDRESS.sub("[address]", text).strip()
    if not text or _OF_THE_OPERATOR.search(text):
        return None
    return text if len(text) <= MAX_MESSAGE_LENGTH else text[:MAX_MESSAGE_LENGTH] + "…"


def show_to_operator(said: bytes, *, credential: str) -> str:
    """Return what a provider said as its operator may read it: no key in it, and no end of it."""
    return _Told.read(said, credential).detail


class _Told(msgspec.Struct, frozen=True):
    """What an error body says: all of it as text, and its sentence, code, type and field."""

    text: str
    message: object = None
    code: object = None
    type: object = None
    field: object = None

    @classmethod
    def read(cls, body: bytes, credential: str) -> _Told:
        if credential:
            body = body.replace(credential.encode(), b"[credential]")
        text = body[: 2 * MAX_DETAIL_LENGTH].decode("utf-8", "replace")
        try:
            whole = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return cls(text)
        if not isinstance(whole, dict):
            return cls(text)
        error = whole.get("error")
        inner = error if isinstance(error, dict) else whole
        message = inner.get("message") or whole.get("detail") or error
        return cls(text, message, inner.get("code"), inner.get("type"), inner.get("param"))

    @property
    def detail(self) -> str:
        """The text for the operator's log, without anything that could be a key."""
        return _KEY_LIKE.sub("[key]", _CONTROL.sub(" ", self.text))[:MAX_DETAIL_LENGTH]

    @property
    def is_our_fault(self) -> bool:
        said = [part for part in (self.message, self.code, self.type) if isinstance(part, str)]
        return _OUR_FAULT.search(" ".join(said) if said else self.text) is not None

    def speak(self, upstream_model: str, model: str) -> str | None:
        """The provider's own sentence, if it is fit to be passed on."""
        if not isinstance(self.message, str):
            return None
        return redact(self.message, upstream_model=upstream_model, model=model)

    def find_code(self) -> str | None:
        """Codes such as context_length_exceeded are what programs look at."""
        usable = isinstance(self.code, str) and _CODE.fullmatch(self.code)
        return str(self.code) if usable else None

    def find_field(self) -> str | None:
        usable = isinstance(self.field, str) and _FIELD.fullmatch(self.field)
        return str(self.field) if usable else None


def _read_number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _read_date(text: str, now: float) -> float | None:
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    return max(0.0, moment.timestamp() - now)
