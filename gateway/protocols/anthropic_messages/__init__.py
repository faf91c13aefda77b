"""Anthropic's messages. Pure.

Requests and answers as they pass: request.py, features.py, answer.py, stream.py; tokens are counted
on an endpoint of its own, by counting.py. Read into the one form and written from it:
conversations.py and prompting.py, replies.py, events.py.
"""

from gateway.protocols.anthropic_messages.answer import read_answer
from gateway.protocols.anthropic_messages.conversations import read_conversation
from gateway.protocols.anthropic_messages.counting import (
    CountRequest,
    estimate_tokens,
    read_count_request,
    read_counted,
    write_count_request,
)
from gateway.protocols.anthropic_messages.events import MessagesEventReader, MessagesEventWriter
from gateway.protocols.anthropic_messages.headers import FORWARDED, QUERIES, write_headers
from gateway.protocols.anthropic_messages.prompting import write_conversation
from gateway.protocols.anthropic_messages.replies import read_reply, write_reply
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
    "FORWARDED",
    "PROTOCOL",
    "QUERIES",
    "CountRequest",
    "MessagesEventReader",
    "MessagesEventWriter",
    "MessagesRequest",
    "MessagesStream",
    "estimate_tokens",
    "read_answer",
    "read_conversation",
    "read_count_request",
    "read_counted",
    "read_reply",
    "read_request",
    "write_conversation",
    "write_count_request",
    "write_headers",
    "write_reply",
    "write_request",
]
