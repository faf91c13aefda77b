"""POST /v1/chat/completions in OpenAI's dialect: the body, and the stream's chunks.

Without `stream_options.include_usage` a stream carries no usage; with it every
chunk says `usage: null` and one more, without choices, has the figures.
"""

from collections.abc import Iterator

from local.provider.composing import Answer, Ask, Tool, ToolCall, compose
from local.provider.echoing import write_echo
from local.provider.errors import invalid
from local.provider.fields import (
    MAX_CHOICES,
    Call,
    as_object,
    read_count,
    read_messages,
    read_object,
    read_objects,
)
from local.provider.frames import DONE, Frame, Kind, Reply, data_frame, write_body
from local.provider.tokens import Counts, Json, count_content, count_json, split_tokens, text_of
from local.provider.usage import completion_usage, report

FINGERPRINT = "fp_demo"
FRAGMENT_CHARACTERS = 8


def answer(call: Call) -> Reply:
    ask = read_ask(call)
    made = compose(ask)
    usage = report(call.behaviour, completion_usage(made.counts), ask.cap)
    head: Json = {
        "id": f"chatcmpl-{call.token}",
        "object": "chat.completion.chunk" if call.stream else "chat.completion",
        "created": call.created,
        "model": call.model,
    }
    if call.stream:
        return Reply(id=head["id"], frames=_write_stream(call, ask, made, head, usage))
    choices = [
        {
            "index": index,
            "message": _message(call, made),
            "logprobs": None,
            "finish_reason": made.finish.value,
        }
        for index in range(ask.choices)
    ]
    payload = {**head, "choices": choices, **usage, "system_fingerprint": FINGERPRINT}
    return Reply(id=head["id"], body=write_body(call.behaviour, payload), usage=usage.get("usage"))


def read_ask(call: Call) -> Ask:
    body = call.body
    messages = read_messages(body)
    _check(body)
    last = messages[-1]
    users = [message for message in messages if message["role"] == "user"]
    return Ask(
        model=call.model,
        behaviour=call.behaviour,
        prompt=Counts(input=count_prompt(body)),
        user_text=text_of(users[-1].get("content")) if users else "",
        tool_text=text_of(last.get("content")) if last["role"] == "tool" else None,
        cap=read_count(body, "max_completion_tokens", "max_tokens"),
        choices=read_count(body, "n", highest=MAX_CHOICES) or 1,
        tools=_read_tools(body),
        tool_choice=_read_tool_choice(body),
        parallel_tools=body.get("parallel_tool_calls") is not False,
        schema=_read_schema(body),
        echo=write_echo(call),
    )


def count_prompt(body: Json) -> int:
    """The prompt's tokens: every message's content and tool calls, and the tools' definitions."""
    counted = count_json(body.get("tools"))
    for message in body["messages"]:
        counted += count_content(message.get("content"))
        counted += count_content(message.get("tool_calls"))
    return counted


def _check(body: Json) -> None:
    """Refuse what OpenAI refuses and a gateway may get wrong."""
    if body.get("tools") == []:
        raise invalid("tools", "[] is too short - 'tools'")
    if body.get("tool_choice") is not None and not body.get("tools"):
        raise invalid("tool_choice", "'tool_choice' is only allowed when 'tools' are specified.")
    if body.get("stream_options") is not None and body.get("stream") is not True:
        raise invalid("stream_options", "'stream_options' is only allowed when 'stream' is on.")


def _read_tools(body: Json) -> tuple[Tool, ...]:
    functions = [as_object(tool.get("function")) for tool in read_objects(body, "tools")]
    return tuple(
        Tool(str(function.get("name")), as_object(function.get("parameters")))
        for function in functions
    )


def _read_tool_choice(body: Json) -> str:
    choice = body.get("tool_choice") or "auto"
    if isinstance(choice, dict):
        return str(as_object(choice.get("function")).get("name"))
    return str(choice)


def _read_schema(body: Json) -> Json | None:
    wanted = read_object(body, "response_format")
    if wanted.get("type") == "json_object":
        return {}
    if wanted.get("type") == "json_schema":
        return as_object(as_object(wanted.get("json_schema")).get("schema"))
    return None


def _message(call: Call, made: Answer) -> Json:
    message: Json = {"role": "assistant", "content": made.text or None, "refusal": None}
    if made.thoughts:
        message["reasoning_content"] = made.thoughts
    if made.calls:
        message["tool_calls"] = [
            _tool_call(call, place, one) for place, one in enumerate(made.calls)
        ]
    elif message["content"] is None:
        message["content"] = ""
    return message


def _tool_call(call: Call, place: int, one: ToolCall) -> Json:
    function = {"name": one.name, "arguments": one.arguments}
    return {"id": f"call_{call.token}{place}", "type": "function", "function": function}


def _write_stream(call: Call, ask: Ask, made: Answer, head: Json, usage: Json) -> list[Frame]:
    """All frames of the stream; each choice gets each delta, as OpenAI interleaves them."""
    cumulative = call.behaviour.base == "demo-cumulative-usage"
    wanted = read_object(call.body, "stream_options").get("include_usage") is True
    head = {**head, "system_fingerprint": FINGERPRINT}
    frames: list[Frame] = []
    said = 0
    for delta, kind, tokens in _deltas(call, made):
        said += tokens * ask.choices
        extra: Json = {"usage": None} if wanted else {}
        if cumulative:
            extra = {"usage": _usage_so_far(made.counts, said)}
        for index in range(ask.choices):
            reason = made.finish.value if kind is Kind.CLOSE else "" if cumulative else None
            choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": reason}
            frames.append(data_frame({**head, "choices": [choice], **extra}, kind))
    if wanted and not cumulative:
        last = data_frame({**head, "choices": [], **usage}, Kind.USAGE)
        frames += [last, last] if call.behaviour.base == "demo-usage-twice" else [last]
    return [*frames, DONE]


def _deltas(call: Call, made: Answer) -> Iterator[tuple[Json, Kind, int]]:
    """Each delta of one choice, what it is for, and how many tokens it brings."""
    yield {"role": "assistant", "content": "", "refusal": None}, Kind.OPEN, 0
    for word in split_tokens(made.thoughts):
        yield {"reasoning_content": word}, Kind.CONTENT, 0
    for piece in made.pieces:
        yield {"content": piece}, Kind.CONTENT, len(piece.split())
    for place, one in enumerate(made.calls):
        whole = _tool_call(call, place, ToolCall(one.name, ""))
        yield {"tool_calls": [{"index": place, **whole}]}, Kind.CONTENT, 1
        for at in range(0, len(one.arguments), FRAGMENT_CHARACTERS):
            function = {"arguments": one.arguments[at : at + FRAGMENT_CHARACTERS]}
            yield {"tool_calls": [{"index": place, "function": function}]}, Kind.CONTENT, 0
    yield {}, Kind.CLOSE, 0


def _usage_so_far(counts: Counts, said: int) -> Json:
    """As the reference page shows it: three figures, counted on to this chunk."""
    return {
        "prompt_tokens": counts.input,
        "completion_tokens": said,
        "total_tokens": counts.input + said,
    }
