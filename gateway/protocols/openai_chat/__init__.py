"""OpenAI's chat completions: request.py, features.py, answer.py, stream.py. Pure; see form.py."""

from gateway.protocols.openai_chat.answer import read_answer
from gateway.protocols.openai_chat.request import (
    CAP_FIELDS,
    DEFAULT_CAP_FIELD,
    ChatRequest,
    read_request,
    write_request,
)
from gateway.protocols.openai_chat.stream import ChatStream

__all__ = [
    "CAP_FIELDS",
    "DEFAULT_CAP_FIELD",
    "ChatRequest",
    "ChatStream",
    "read_answer",
    "read_request",
    "write_request",
]
