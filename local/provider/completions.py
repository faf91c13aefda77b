"""POST /v1/completions and POST /v1/embeddings, OpenAI's two older endpoints.

Vectors are made from a hash of the text: the same text has the same vector of
length one, and vectors are pairwise as good as orthogonal.
"""

import base64
import hashlib
import math
import random
import struct
from typing import Any

from local.provider.composing import Answer, Ask, compose
from local.provider.echoing import write_echo
from local.provider.errors import invalid
from local.provider.fields import MAX_CHOICES, Call, read_count, read_object
from local.provider.frames import DONE, Frame, Kind, Reply, data_frame, write_body
from local.provider.tokens import Counts, Json, count_tokens
from local.provider.usage import completion_usage, report

DIMENSIONS = {"text-embedding-3-large": 3072}
DEFAULT_DIMENSIONS = 1536


def answer_completion(call: Call) -> Reply:
    prompts = _read_texts(call.body, "prompt")
    ask = Ask(
        model=call.model,
        behaviour=call.behaviour,
        prompt=Counts(input=sum(tokens for _, tokens in prompts)),
        user_text=prompts[-1][0],
        cap=read_count(call.body, "max_tokens"),
        choices=(read_count(call.body, "n", highest=MAX_CHOICES) or 1) * len(prompts),
        echo=write_echo(call),
    )
    made = compose(ask)
    usage = report(call.behaviour, completion_usage(made.counts), ask.cap)
    head: Json = {
        "id": f"cmpl-{call.token}",
        "object": "text_completion",
        "created": call.created,
        "model": call.model,
    }
    if call.stream:
        return Reply(id=head["id"], frames=_write_stream(call, ask, made, head, usage))
    choices = [_choice(index, made.text, made.finish.value) for index in range(ask.choices)]
    payload = {**head, "choices": choices, **usage}
    return Reply(id=head["id"], body=write_body(call.behaviour, payload), usage=usage.get("usage"))


def _choice(index: int, text: str, finish_reason: str | None) -> Json:
    return {"text": text, "index": index, "logprobs": None, "finish_reason": finish_reason}


def _write_stream(call: Call, ask: Ask, made: Answer, head: Json, usage: Json) -> list[Frame]:
    wanted = read_object(call.body, "stream_options").get("include_usage") is True
    extra: Json = {"usage": None} if wanted else {}
    frames = []
    for piece in made.pieces:
        for index in range(ask.choices):
            payload = {**head, "choices": [_choice(index, piece, None)], **extra}
            frames.append(data_frame(payload, Kind.CONTENT))
    for index in range(ask.choices):
        payload = {**head, "choices": [_choice(index, "", made.finish.value)], **extra}
        frames.append(data_frame(payload, Kind.CLOSE))
    if wanted:
        last = data_frame({**head, "choices": [], **usage}, Kind.USAGE)
        frames += [last, last] if call.behaviour.base == "demo-usage-twice" else [last]
    return [*frames, DONE]


def answer_embedding(call: Call) -> Reply:
    """The answer has no id at OpenAI, so the receipt has none either."""
    texts = _read_texts(call.body, "input")
    default = DIMENSIONS.get(call.model, DEFAULT_DIMENSIONS)
    dimensions = read_count(call.body, "dimensions", highest=4096) or default
    as_text = call.body.get("encoding_format") == "base64"
    data = [
        {
            "object": "embedding",
            "index": index,
            "embedding": _write_vector(make_vector(text, dimensions), as_text),
        }
        for index, (text, _) in enumerate(texts)
    ]
    counted = sum(tokens for _, tokens in texts)
    usage = report(call.behaviour, {"prompt_tokens": counted, "total_tokens": counted}, None)
    payload = {"object": "list", "data": data, "model": call.model, **usage}
    return Reply(id="", body=write_body(call.behaviour, payload), usage=usage.get("usage"))


def make_vector(text: str, dimensions: int) -> list[float]:
    numbers = random.Random(hashlib.sha256(text.encode()).digest())
    vector = [numbers.uniform(-1, 1) for _ in range(dimensions)]
    length = math.sqrt(sum(value * value for value in vector))
    return [value / length for value in vector]


def _write_vector(vector: list[float], as_text: bool) -> list[float] | str:
    if not as_text:
        return vector
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def _read_texts(body: Json, name: str) -> list[tuple[str, int]]:
    """Texts with their tokens: a string, a list of token numbers, or a list of either."""
    value = body.get(name)
    if isinstance(value, str) or _is_token_list(value):
        value = [value]
    if not isinstance(value, list) or not value or len(value) > 2048:
        raise invalid(name, f"'{name}' must be a string or a list of 1 to 2048 of them.")
    return [_read_text(one, name) for one in value]


def _read_text(value: Any, name: str) -> tuple[str, int]:
    if isinstance(value, str):
        return value, count_tokens(value)
    if _is_token_list(value):
        return " ".join(map(str, value)), len(value)
    raise invalid(name, f"'{name}' must hold strings or lists of token numbers.")


def _is_token_list(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, int) for one in value)
