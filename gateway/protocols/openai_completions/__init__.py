"""OpenAI's completions, the older endpoint that some programs still use. Pure.

Answers and streams pass by the readers of chat completions, whose grammar they share. For
providers of other dialects prompting with plain text is carried: conversations.py, replies.py.
"""

from gateway.protocols.openai_completions.conversations import read_conversation
from gateway.protocols.openai_completions.replies import CompletionEventWriter, write_reply
from gateway.protocols.openai_completions.request import (
    CompletionRequest,
    read_request,
    write_request,
)

__all__ = [
    "CompletionEventWriter",
    "CompletionRequest",
    "read_conversation",
    "read_request",
    "write_reply",
    "write_request",
]
