"""OpenAI's chat completions: request.py, features.py, answer.py, stream.py. Pure; see form.py.

A dialect is a module with these names: PROTOCOL, read_request, write_request, read_answer, Stream.
"""

from gateway.protocols.openai_chat.answer import read_answer
from gateway.protocols.openai_chat.request import (
    CAP_FIELDS,
    DEFAULT_CAP_FIELD,
    ChatRequest,
    read_request,
    write_request,
)
from gateway.protocols.openai_chat.stream import ChatStream
from gateway.protocols.openai_chat.stream import ChatStream as Stream

# What a provider has to speak for answers to pass untouched.
PROTOCOL = "openai"

__all__ = [
    "CAP_FIELDS",
    "DEFAULT_CAP_FIELD",
    "PROTOCOL",
    "ChatRequest",
    "ChatStream",
    "Stream",
    "read_answer",
    "read_request",
    "write_request",
]
