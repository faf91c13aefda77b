"""Tools that take free text, and tools in namespaces, where a provider knows functions only."""

import json
from typing import Any

import pytest

from gateway.protocols import openai_responses as responses
from gateway.protocols.conversation import Reply, Stop, ToolCall
from gateway.protocols.openai_responses.tools import read_free
from tests.wire.making import DONE, event, finish, relay
from tests.wire.responses import body
from tests.wire.test_translated_responses import to_chat
from tests.wire.test_translated_streams import call
from tests.wire.translating import CALL_ID, head, read_response, to_responses

PATCH = '*** Begin Patch\n*** Add File: "a.txt"\n+hé\n*** End Patch'
GRAMMAR = {"type": "grammar", "syntax": "lark", "definition": "start: /.+/s"}
APPLY = {"type": "custom", "name": "apply_patch", "description": "Edits files.", "format": GRAMMAR}
SEND = {"type": "function", "name": "send", "parameters": {"type": "object"}}
NOTE = {"type": "custom", "name": "note"}
SPACE = {"type": "namespace", "name": "team", "description": "Others.", "tools": [SEND, NOTE]}
PLAIN = {"type": "function", "name": "shell", "parameters": {"type": "object"}}
TOOLS = [APPLY, SPACE, PLAIN, {"type": "web_search"}]


def request(**fields: Any) -> Any:
    return responses.read_request(body(**{"tools": TOOLS, **fields}))


def test_each_is_declared_as_a_function() -> None:
    declared = [tool["function"] for tool in to_chat(tools=TOOLS)["tools"]]
    assert [one["name"] for one in declared] == ["apply_patch", "team__send", "team__note", "shell"]
    free = declared[0]
    assert free["parameters"]["required"] == ["input"]
    assert "Edits files." in free["description"]
    assert "lark" in free["description"]
    assert "start: /.+/s" in free["description"]


def test_tools_that_are_declared_on_the_way_are_declared() -> None:
    more = {"type": "additional_tools", "role": "developer", "tools": [SPACE]}
    written = to_chat(input=[more, {"role": "user", "content": "Hello"}])
    assert [one["function"]["name"] for one in written["tools"]] == ["team__send", "team__note"]


def test_earlier_calls_and_their_results_are_carried() -> None:
    written = to_chat(
        tools=TOOLS,
        input=[
            {"type": "custom_tool_call", "call_id": "c1", "name": "apply_patch", "input": PATCH},
            {"type": "custom_tool_call_output", "call_id": "c1", "output": "Done"},
            {"type": "web_search_call", "id": "ws", "status": "completed", "action": {}},
            {
                "type": "function_call",
                "call_id": "c2",
                "namespace": "team",
                "name": "send",
                "arguments": "{}",
            },
            {"type": "function_call_output", "call_id": "c2", "output": "Sent"},
        ],
        tool_choice={"type": "custom", "name": "apply_patch"},
    )
    first, done, second, sent = written["messages"]
    function = first["tool_calls"][0]["function"]
    assert function["name"] == "apply_patch"
    assert json.loads(function["arguments"]) == {"input": PATCH}
    assert second["tool_calls"][0]["function"]["name"] == "team__send"
    assert (done["content"], sent["content"]) == ("Done", "Sent")
    assert written["tool_choice"]["function"]["name"] == "apply_patch"


CALLS = (
    ToolCall("c1", "apply_patch", json.dumps({"input": PATCH})),
    ToolCall("c2", "team__send", '{"a":1}'),
    ToolCall("c3", "team__note", '{"input":"x"}'),
    ToolCall("c4", "shell", ""),
)
EXPECTED = [
    {"type": "custom_tool_call", "call_id": "c1", "name": "apply_patch", "input": PATCH},
    {
        "type": "function_call",
        "call_id": "c2",
        "name": "send",
        "namespace": "team",
        "arguments": '{"a":1}',
    },
    {
        "type": "custom_tool_call",
        "call_id": "c3",
        "name": "note",
        "namespace": "team",
        "input": "x",
    },
    {"type": "function_call", "call_id": "c4", "name": "shell", "arguments": "{}"},
]


def bare(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    assert len({item["id"] for item in items}) == len(items)
    return [{name: item[name] for name in item if name not in {"id", "status"}} for item in items]


def test_calls_are_told_as_the_items_that_were_declared() -> None:
    reply = Reply(parts=CALLS, stop=Stop.TOOL_CALLS)
    told = json.loads(responses.write_reply(reply, head(request()), None))
    assert bare(told["output"]) == EXPECTED


def test_so_they_are_in_a_stream() -> None:
    sent = []
    for at, one in enumerate(CALLS):
        half = len(one.arguments) // 2
        sent.append(call(at, one.arguments[:half], id=one.id, type="function", name=one.name))
        sent.append(call(at, one.arguments[half:] or "{}"))
    told = relay(to_responses(request()), *sent, event(finish("tool_calls")), DONE)
    assert bare(read_response(told)["output"]) == EXPECTED
    assert told.count(b"event: response.custom_tool_call_input.delta") == 2
    assert CALL_ID.replace("-", "").encode() in told


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ('{"input":"a"}', "a"),
        ("", ""),
        ('"a"', "a"),
        ('{"patch":"a"}', '{"patch":"a"}'),
        ("*** Begin Patch", "*** Begin Patch"),
        ("[" * 2000, "[" * 2000),
    ],
)
def test_what_a_model_wrote_otherwise_is_not_lost(arguments: str, text: str) -> None:
    assert read_free(arguments) == text


def test_only_hosted_tools_are_without_a_bound() -> None:
    more = {"type": "additional_tools", "role": "developer", "tools": [SPACE, {"type": "mcp"}]}
    asked = request(input=[more, {"role": "user", "content": "Hello"}])
    assert [one.field for one in asked.features] == ["input[0].tools[1]", "tools[3]"]
