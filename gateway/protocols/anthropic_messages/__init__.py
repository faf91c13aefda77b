"""Anthropic's messages: request.py, features.py, answer.py, stream.py, counting.py. Pure.

Tokens are counted on an endpoint of its own, /v1/messages/count_tokens: see counting.py.
"""

from gateway.protocols.anthropic_messages.answer import read_answer
from gateway.protocols.anthropic_messages.counting import (
    CountRequest,
    estimate_tokens,
    read_count_request,
    read_counted,
    write_count_request,
)
from gateway.protocols.anthropic_messages.request import (
    DEFAULT_VERSION,
    MessagesRequest,
    read_request,
    write_request,
)
from gateway.protocols.anthropic_messages.stream import MessagesStream

# What a provider has to speak for answers to pass untouched.
PROTOCOL = "anthropic"

__all__ = [
    "DEFAULT_VERSION",
    "PROTOCOL",
    "CountRequest",
    "MessagesRequest",
    "MessagesStream",
    "estimate_tokens",
    "read_answer",
    "read_count_request",
    "read_counted",
    "read_request",
    "write_count_request",
    "write_request",
]
