"""OpenAI's chat completions. Pure.

Requests and answers as they pass: request.py, features.py, answer.py, stream.py. Read into the one
form and written from it: conversations.py and prompting.py, replies.py, events.py.
"""

from gateway.protocols.openai_chat.answer import read_answer
from gateway.protocols.openai_chat.conversations import read_conversation
from gateway.protocols.openai_chat.events import ChatEventReader, ChatEventWriter
from gateway.protocols.openai_chat.prompting import write_conversation
from gateway.protocols.openai_chat.replies import read_reply, write_reply
from gateway.protocols.openai_chat.request import (
    CAP_FIELDS,
    DEFAULT_CAP_FIELD,
    ChatRequest,
    read_request,
    write_request,
)
from gateway.protocols.openai_chat.stream import ChatStream

# What a provider has to speak for answers to pass untouched.
PROTOCOL = "openai"

__all__ = [
    "CAP_FIELDS",
    "DEFAULT_CAP_FIELD",
    "PROTOCOL",
    "ChatEventReader",
    "ChatEventWriter",
    "ChatRequest",
    "ChatStream",
    "read_answer",
    "read_conversation",
    "read_reply",
    "read_request",
    "write_conversation",
    "write_reply",
    "write_request",
]
