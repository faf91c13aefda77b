"""What a caller's headers and query say to a provider of messages. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.protocols.anthropic_messages.request import DEFAULT_VERSION

FORWARDED = frozenset({b"anthropic-version", b"anthropic-beta"})
# What the beta namespace of Anthropic's clients adds to the address, beside its headers.
QUERIES = frozenset({b"beta=true"})
_VERSION = (b"anthropic-version", DEFAULT_VERSION.encode())
# What this beta allows is more input than the window that every model has without it.
_WIDE_WINDOW = b"context-1m"
_USUAL_WINDOW = 200_000


def write_headers(sent: Mapping[bytes, bytes], context_window: int) -> list[tuple[bytes, bytes]]:
    """Return the caller's version, or the default one, and its betas.

    Input is bounded by the window that the model is declared with, so a beta that widens it goes
    on only where that is wide.
    """
    version = sent.get(b"anthropic-version")
    headers = [_VERSION if version is None else (b"anthropic-version", version)]
    betas = [beta.strip() for beta in sent.get(b"anthropic-beta", b"").split(b",")]
    if context_window <= _USUAL_WINDOW:
        betas = [beta for beta in betas if not beta.startswith(_WIDE_WINDOW)]
    kept = b",".join(filter(None, betas))
    return [*headers, (b"anthropic-beta", kept)] if kept else headers
