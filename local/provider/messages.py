"""POST /v1/messages and /v1/messages/count_tokens, in Anthropic's dialect.

It refuses what Anthropic refuses: a missing version header, fields it does not
know, empty text blocks, and sampling parameters from version 2026-10-21 on. So
a translation that leaks a field fails here as it would there.
"""

from collections.abc import Iterator

import msgspec

from local.provider.caching import walk_prompt
from local.provider.composing import Answer, Ask, Finish, Tool, compose
from local.provider.echoing import write_echo
from local.provider.errors import Refused, invalid
from local.provider.fields import Call, as_object, read_count, read_messages, read_objects
from local.provider.frames import Frame, Kind, Reply, encode, event_frame, write_body
from local.provider.tokens import Json, split_tokens, text_of
from local.provider.usage import message_usage, report

SIGNATURE = "ZGVtby1zaWduYXR1cmU="
FRAGMENT_CHARACTERS = 8
_STOP_REASONS = {
    Finish.STOP: "end_turn",
    Finish.LENGTH: "max_tokens",
    Finish.TOOL_CALLS: "tool_use",
}
_SAMPLING = ("temperature", "top_p", "top_k")
_SAMPLING_ENDED = "2026-10-21"
_KNOWN = frozenset(
    (
        *("model", "messages", "max_tokens", "system", "stream", "stop_sequences", "metadata"),
        *("tools", "tool_choice", "thinking", "output_config", "output_format", "container"),
        *("context_management", "mcp_servers", "inference_geo", "cache_control", "speed"),
        *("service_tier", *_SAMPLING),
    )
)


def answer(call: Call) -> Reply:
    ask = _read_ask(call)
    made = compose(ask)
    usage = report(call.behaviour, message_usage(made.counts), ask.cap)
    message: Json = {
        "id": f"msg_{call.token}",
        "type": "message",
        "role": "assistant",
        "model": call.model,
        "content": list(_blocks(call, made)),
        "stop_reason": _STOP_REASONS[made.finish],
        "stop_sequence": None,
    }
    if call.stream:
        return Reply(id=message["id"], frames=list(_write_stream(call, message, made, usage)))
    body = write_body(call.behaviour, {**message, **usage})
    return Reply(id=message["id"], body=body, usage=usage.get("usage"))


def answer_count(call: Call) -> Reply:
    """Counts by the same rule; it has no usage and costs nothing."""
    _check(call)
    return Reply(id="", body=encode({"input_tokens": count_prompt(call.body)}))


def count_prompt(body: Json) -> int:
    """The prompt's tokens: tools, system and messages, whether cached or not."""
    return sum(tokens for tokens, _ in walk_prompt(body))


def _read_ask(call: Call) -> Ask:
    body = call.body
    _check(call)
    messages = read_messages(body)
    cap = read_count(body, "max_tokens")
    if cap is None:
        raise invalid("max_tokens", "max_tokens: Field required")
    users = [message for message in messages if message["role"] == "user"]
    choice = as_object(body.get("tool_choice"))
    return Ask(
        model=call.model,
        behaviour=call.behaviour,
        prompt=call.prompt_cache.count(body),
        user_text=_text_blocks(users[-1]) if users else "",
        tool_text=_find_tool_result(messages[-1]),
        cap=cap,
        tools=tuple(
            Tool(str(tool.get("name")), as_object(tool.get("input_schema")))
            for tool in read_objects(body, "tools")
        ),
        tool_choice=_read_tool_choice(choice),
        parallel_tools=choice.get("disable_parallel_tool_use") is not True,
        schema=_read_schema(body),
        thinking=_wants_thinking(body, cap),
        echo=write_echo(call),
    )


def _check(call: Call) -> None:
    version = call.request.headers.get(b"anthropic-version", b"").decode("latin-1")
    if not version:
        raise Refused(400, "anthropic-version: header is required")
    forbidden = [name for name in call.body if name not in _KNOWN]
    if version >= _SAMPLING_ENDED:
        forbidden += [name for name in _SAMPLING if name in call.body]
    if forbidden:
        raise invalid(forbidden[0], f"{forbidden[0]}: Extra inputs are not permitted")
    temperature = call.body.get("temperature")
    if isinstance(temperature, int | float) and not 0 <= temperature <= 1:
        raise invalid("temperature", "temperature: range: 0..1")
    read_objects(call.body, "tools")
    for at, message in enumerate(read_messages(call.body)):
        _check_message(message, is_first=at == 0)


def _check_message(message: Json, *, is_first: bool) -> None:
    """Instructions may be given on the way, and not at the start."""
    if message["role"] not in ("user", "assistant") and (is_first or message["role"] != "system"):
        raise invalid("messages", "messages: Unexpected role. Use the top-level system parameter.")
    content = message.get("content")
    for block in content if isinstance(content, list) else ():
        if isinstance(block, dict) and block.get("type") == "text" and not block.get("text"):
            raise invalid("messages", "messages: text content blocks must be non-empty")


def _text_blocks(message: Json) -> str:
    """What the user wrote, without the results of tools."""
    content = message.get("content")
    if not isinstance(content, list):
        return text_of(content)
    return text_of([block for block in content if as_object(block).get("type") == "text"])


def _find_tool_result(message: Json) -> str | None:
    content = message.get("content")
    for block in content if isinstance(content, list) else ():
        if as_object(block).get("type") == "tool_result":
            return text_of(as_object(block).get("content"))
    return None


def _read_tool_choice(choice: Json) -> str:
    """Anthropic's any is our required; a tool is chosen by its name."""
    kind = str(choice.get("type", "auto"))
    return {"any": "required", "tool": str(choice.get("name"))}.get(kind, kind)


def _read_schema(body: Json) -> Json | None:
    wanted = as_object(as_object(body.get("output_config")).get("format"))
    return as_object(wanted.get("schema")) if wanted.get("type") == "json_schema" else None


def _wants_thinking(body: Json, cap: int) -> bool:
    thinking = as_object(body.get("thinking"))
    if thinking.get("type") != "enabled":
        return thinking.get("type") == "adaptive"
    budget = read_count(thinking, "budget_tokens")
    if budget is None or not 1024 <= budget < cap:
        raise invalid("thinking", "thinking.budget_tokens must be at least 1024, below max_tokens")
    return True


def _blocks(call: Call, made: Answer) -> Iterator[Json]:
    if made.thoughts:
        yield {"type": "thinking", "thinking": made.thoughts, "signature": SIGNATURE}
    if made.pieces:
        yield {"type": "text", "text": made.text}
    for place, one in enumerate(made.calls):
        used = msgspec.json.decode(one.arguments)
        yield {
            "type": "tool_use",
            "id": f"toolu_{call.token}{place}",
            "name": one.name,
            "input": used,
        }


def _write_stream(call: Call, message: Json, made: Answer, usage: Json) -> Iterator[Frame]:
    started = {**message, "content": [], "stop_reason": None, **_usage_at_start(made, usage)}
    yield event_frame({"type": "message_start", "message": started}, Kind.OPEN)
    for index, block in enumerate(message["content"]):
        yield from _write_block(index, block, made)
    delta = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    last = event_frame({"type": "message_delta", "delta": delta, **_at_end(usage)}, Kind.USAGE)
    yield last
    if call.behaviour.base == "demo-usage-twice":
        yield last
    yield event_frame({"type": "message_stop"}, Kind.DONE)


def _usage_at_start(made: Answer, usage: Json) -> Json:
    """Input is known at the start; of the output, one token is, as Anthropic says it."""
    if not isinstance(usage.get("usage"), dict):
        return usage
    started = {**usage["usage"], "output_tokens": min(made.counts.reported_output, 1)}
    started.pop("output_tokens_details")
    return {"usage": started}


def _at_end(usage: Json) -> Json:
    """message_delta has the cumulative figures, without the parts of cache creation."""
    if not isinstance(usage.get("usage"), dict):
        return usage
    left_out = ("cache_creation", "service_tier")
    return {"usage": {n: value for n, value in usage["usage"].items() if n not in left_out}}


def _write_block(index: int, block: Json, made: Answer) -> Iterator[Frame]:
    empty = {"thinking": {"thinking": "", "signature": ""}, "text": {"text": ""}}
    opened = {**block, **empty.get(block["type"], {"input": {}})}
    start = {"type": "content_block_start", "index": index, "content_block": opened}
    yield event_frame(start, Kind.OPEN)
    if index == 0:
        yield event_frame({"type": "ping"}, Kind.OPEN)
    for delta in _deltas(block, made):
        # A signature is no content: a stream is not cut between a thought and its signature.
        kind = Kind.CLOSE if delta["type"] == "signature_delta" else Kind.CONTENT
        yield event_frame({"type": "content_block_delta", "index": index, "delta": delta}, kind)
    yield event_frame({"type": "content_block_stop", "index": index}, Kind.CLOSE)


def _deltas(block: Json, made: Answer) -> Iterator[Json]:
    if block["type"] == "thinking":
        for word in split_tokens(block["thinking"]):
            yield {"type": "thinking_delta", "thinking": word}
        yield {"type": "signature_delta", "signature": SIGNATURE}
    elif block["type"] == "text":
        for piece in made.pieces:
            yield {"type": "text_delta", "text": piece}
    else:
        written = encode(block["input"]).decode()
        for at in range(0, len(written), FRAGMENT_CHARACTERS):
            fragment = written[at : at + FRAGMENT_CHARACTERS]
            yield {"type": "input_json_delta", "partial_json": fragment}
