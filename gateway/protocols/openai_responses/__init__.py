"""OpenAI's Responses. Pure.

Requests and answers as they pass: request.py, features.py, answer.py, stream.py. Read into the one
form and written from it: conversations.py and prompting.py, replies.py, events.py.
"""

from gateway.protocols.openai_responses.answer import read_answer
from gateway.protocols.openai_responses.conversations import read_conversation
from gateway.protocols.openai_responses.events import (
    ResponsesEventReader,
    ResponsesEventWriter,
)
from gateway.protocols.openai_responses.prompting import LEAST_CAP, write_conversation
from gateway.protocols.openai_responses.replies import read_reply, write_reply
from gateway.protocols.openai_responses.request import (
    ResponsesRequest,
    read_request,
    write_request,
)
from gateway.protocols.openai_responses.stream import ResponsesStream

__all__ = [
    "LEAST_CAP",
    "ResponsesEventReader",
    "ResponsesEventWriter",
    "ResponsesRequest",
    "ResponsesStream",
    "read_answer",
    "read_conversation",
    "read_reply",
    "read_request",
    "write_conversation",
    "write_reply",
    "write_request",
]
