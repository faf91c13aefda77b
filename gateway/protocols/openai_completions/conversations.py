"""Completions requests, read into the one form. Pure.

The two tables of names below say what is carried and what is refused; all else is dropped.
docs/protocols.md shows them to people.
"""

from __future__ import annotations

import msgspec

from gateway.protocols.answer import is_truthy
from gateway.protocols.body import ABSENT, decode_as, encode_members
from gateway.protocols.conversation import Conversation, Role, Text, Turn
from gateway.protocols.openai_completions.request import CompletionRequest
from gateway.protocols.parts import refuse

CARRIED = frozenset(
    {
        *("model", "prompt", "stream", "stream_options", "max_tokens", "temperature", "top_p"),
        *("stop", "user"),
    }
)
# Fields that ask for something without which the answer would be another one.
REFUSED = {
    "n": "more than one answer",
    "best_of": "more than one answer",
    "suffix": "text that goes before a given one",
    "echo": "an answer that begins with its prompt",
}


class _Asked(msgspec.Struct):
    temperature: float | None = None
    top_p: float | None = None
    stop: str | list[str] | None = None
    user: str | None = None


_asked = msgspec.json.Decoder(_Asked)


def read_conversation(request: CompletionRequest) -> Conversation:
    """Read one prompt of text as what a user says. Raises BadRequest for anything else."""
    asked = decode_as(_asked, encode_members(request.members))
    for name, what in REFUSED.items():
        sent = request.members.get(name, ABSENT)
        if is_truthy(sent) and bytes(sent) != b"1":
            raise refuse(name, what)
    stop = [asked.stop] if isinstance(asked.stop, str) else asked.stop
    return Conversation(
        turns=(Turn(Role.USER, (Text(_read_prompt(request)),)),),
        temperature=asked.temperature,
        top_p=asked.top_p,
        stop=tuple(stop or ()),
        user=asked.user,
    )


def _read_prompt(request: CompletionRequest) -> str:
    prompt = request.prompt
    if isinstance(prompt, list) and len(prompt) == 1 and isinstance(prompt[0], str):
        return prompt[0]
    if isinstance(prompt, str):
        return prompt
    raise refuse("prompt", "more than one prompt, or one of token numbers")
