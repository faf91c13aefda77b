"""POST /v1/responses: the response object, and the grammar of its events.

An answer is a list of items: reasoning (if any), then a message or function
calls. Each event has an event line and a sequence number; the last one carries
the whole response with its usage.
"""

from collections.abc import Iterator
from typing import Any

from local.provider.composing import Answer, Ask, Finish, Tool, compose
from local.provider.echoing import write_echo
from local.provider.errors import invalid
from local.provider.fields import Call, as_object, read_count, read_object, read_objects
from local.provider.frames import Frame, Kind, Reply, event_frame, write_body
from local.provider.tokens import Counts, Json, count_content, count_json, split_tokens, text_of
from local.provider.usage import report, response_usage

FRAGMENT_CHARACTERS = 8

Event = tuple[str, Json, Kind]


def answer(call: Call) -> Reply:
    ask = _read_ask(call)
    made = compose(ask)
    usage = report(call.behaviour, response_usage(made.counts), ask.cap)
    cut = made.finish is Finish.LENGTH
    response = {
        **_head(call),
        "status": "incomplete" if cut else "completed",
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "output": list(_items(call, made)),
        **usage,
    }
    if call.stream:
        return Reply(id=response["id"], frames=list(_write_stream(call, made, response)))
    body = write_body(call.behaviour, response)
    return Reply(id=response["id"], body=body, usage=usage.get("usage"))


def _head(call: Call) -> Json:
    """The fields that do not depend on the answer; the SDK's model requires them."""
    body = call.body
    return {
        "id": f"resp_{call.token}",
        "object": "response",
        "created_at": call.created,
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "model": call.model,
        "output": [],
        "parallel_tool_calls": body.get("parallel_tool_calls") is not False,
        "previous_response_id": body.get("previous_response_id"),
        "reasoning": {"effort": None, "summary": None},
        "store": body.get("store") is not False,
        "temperature": body.get("temperature", 1.0),
        "text": body.get("text") or {"format": {"type": "text"}},
        "tool_choice": body.get("tool_choice") or "auto",
        "tools": body.get("tools") or [],
        "top_p": body.get("top_p", 1.0),
        "truncation": "disabled",
        "usage": None,
        "metadata": body.get("metadata") or {},
    }


def _read_ask(call: Call) -> Ask:
    body = call.body
    items = read_items(body)
    users = [item for item in items if item.get("role") == "user"]
    last = items[-1]
    ended_in_tool = last.get("type") == "function_call_output"
    return Ask(
        model=call.model,
        behaviour=call.behaviour,
        prompt=Counts(input=count_prompt(body)),
        user_text=text_of(users[-1].get("content")) if users else "",
        tool_text=text_of(last.get("output")) if ended_in_tool else None,
        cap=read_count(body, "max_output_tokens"),
        tools=tuple(
            Tool(str(tool.get("name")), as_object(tool.get("parameters")))
            for tool in read_objects(body, "tools")
            if tool.get("type") == "function"
        ),
        tool_choice=_read_tool_choice(body.get("tool_choice") or "auto"),
        parallel_tools=body.get("parallel_tool_calls") is not False,
        schema=_read_schema(body),
        thinking=_wants_summary(body),
        echo=write_echo(call),
    )


def read_items(body: Json) -> list[Json]:
    """The input as a list of items; a string is one message of the user."""
    if isinstance(body.get("input"), str):
        return [{"role": "user", "content": body["input"]}]
    items = read_objects(body, "input")
    if not items:
        raise invalid("input", "'input' must be a string or a list of at least one item.")
    return items


def count_prompt(body: Json) -> int:
    """The prompt's tokens: instructions, every input item, and the tools' definitions."""
    items = sum(count_content(item) for item in read_items(body))
    return items + count_content(body.get("instructions")) + count_json(body.get("tools"))


def _read_tool_choice(choice: Any) -> str:
    return str(choice.get("name")) if isinstance(choice, dict) else str(choice)


def _read_schema(body: Json) -> Json | None:
    wanted = as_object(read_object(body, "text").get("format"))
    if wanted.get("type") == "json_object":
        return {}
    return as_object(wanted.get("schema")) if wanted.get("type") == "json_schema" else None


def _wants_summary(body: Json) -> bool:
    return read_object(body, "reasoning").get("summary") is not None


def _items(call: Call, made: Answer) -> Iterator[Json]:
    if made.counts.reasoning:
        summary = [{"type": "summary_text", "text": made.thoughts}] if made.thoughts else []
        yield {"id": f"rs_{call.token}", "type": "reasoning", "summary": summary}
    if not made.calls:
        yield {
            "id": f"msg_{call.token}",
            "type": "message",
            "status": "incomplete" if made.finish is Finish.LENGTH else "completed",
            "role": "assistant",
            "content": [_text_part(made.text)],
        }
    for place, one in enumerate(made.calls):
        yield {
            "id": f"fc_{call.token}{place}",
            "type": "function_call",
            "status": "completed",
            "call_id": f"call_{call.token}{place}",
            "name": one.name,
            "arguments": one.arguments,
        }


def _text_part(text: str) -> Json:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _write_stream(call: Call, made: Answer, response: Json) -> Iterator[Frame]:
    for number, (kind_of_event, fields, kind) in enumerate(_events(call, made, response)):
        event = {"type": f"response.{kind_of_event}", "sequence_number": number, **fields}
        yield event_frame(event, kind)
        if kind is Kind.USAGE and call.behaviour.base == "demo-usage-twice":
            yield event_frame({**event, "sequence_number": number + 1}, kind)


def _events(call: Call, made: Answer, response: Json) -> Iterator[Event]:
    head = _head(call)
    yield "created", {"response": head}, Kind.OPEN
    yield "in_progress", {"response": head}, Kind.OPEN
    for index, item in enumerate(response["output"]):
        at = {"output_index": index}
        begun = {**item, **_EMPTY[item["type"]]}
        yield "output_item.added", {**at, "item": begun}, Kind.OPEN
        yield from _inner_events(item, made, {"item_id": item["id"], **at})
        yield "output_item.done", {**at, "item": item}, Kind.CLOSE
    yield response["status"], {"response": response}, Kind.USAGE


_EMPTY: dict[str, Json] = {
    "reasoning": {"summary": []},
    "message": {"content": [], "status": "in_progress"},
    "function_call": {"arguments": "", "status": "in_progress"},
}


def _inner_events(item: Json, made: Answer, at: Json) -> Iterator[Event]:
    if item["type"] == "message":
        yield from _text_events(made, at)
    elif item["type"] == "function_call":
        yield from _call_events(item, at)
    elif item["summary"]:
        yield from _summary_events(made.thoughts, at)


def _text_events(made: Answer, at: Json) -> Iterator[Event]:
    at = {**at, "content_index": 0}
    yield "content_part.added", {**at, "part": _text_part("")}, Kind.OPEN
    for piece in made.pieces:
        yield "output_text.delta", {**at, "delta": piece, "logprobs": []}, Kind.CONTENT
    yield "output_text.done", {**at, "text": made.text, "logprobs": []}, Kind.CLOSE
    yield "content_part.done", {**at, "part": _text_part(made.text)}, Kind.CLOSE


def _call_events(item: Json, at: Json) -> Iterator[Event]:
    arguments = item["arguments"]
    for start in range(0, len(arguments), FRAGMENT_CHARACTERS):
        fragment = arguments[start : start + FRAGMENT_CHARACTERS]
        yield "function_call_arguments.delta", {**at, "delta": fragment}, Kind.CONTENT
    done = {**at, "name": item["name"], "arguments": arguments}
    yield "function_call_arguments.done", done, Kind.CLOSE


def _summary_events(thoughts: str, at: Json) -> Iterator[Event]:
    at = {**at, "summary_index": 0}
    part = {"type": "summary_text", "text": thoughts}
    yield "reasoning_summary_part.added", {**at, "part": {**part, "text": ""}}, Kind.OPEN
    for word in split_tokens(thoughts):
        yield "reasoning_summary_text.delta", {**at, "delta": word}, Kind.CONTENT
    yield "reasoning_summary_text.done", {**at, "text": thoughts}, Kind.CLOSE
    yield "reasoning_summary_part.done", {**at, "part": part}, Kind.CLOSE
