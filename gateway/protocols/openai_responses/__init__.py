"""OpenAI's Responses. Pure.

Requests and answers as they pass: request.py, features.py, answer.py, stream.py. For providers of
other endpoints requests are read into the one form by conversations.py, and answers written from
it by replies.py and events.py.
"""

from gateway.protocols.openai_responses.answer import read_answer
from gateway.protocols.openai_responses.conversations import read_conversation
from gateway.protocols.openai_responses.events import ResponsesEventWriter
from gateway.protocols.openai_responses.replies import write_reply
from gateway.protocols.openai_responses.request import (
    ResponsesRequest,
    read_request,
    write_request,
)
from gateway.protocols.openai_responses.stream import ResponsesStream

__all__ = [
    "ResponsesEventWriter",
    "ResponsesRequest",
    "ResponsesStream",
    "read_answer",
    "read_conversation",
    "read_request",
    "write_reply",
    "write_request",
]
