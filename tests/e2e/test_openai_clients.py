"""Bodies as known clients of the OpenAI dialects write them: Cline, opencode, Cursor, web UIs, Codex.

Each is answered, breaks no rule of the service, and loses nothing.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import orjson
import pytest

from kiroproxy.api.tools import sent_name
from tests.e2e.support import House, house

MODEL = "claude-sonnet-4-5"
CHAT = "/v1/chat/completions"
RESPONSES = "/v1/responses"
LONG = "mcp__plugin_with_a_long_name_server__" + "tool_" * 9
OPTIONAL: Any = {"anyOf": [{"type": "integer"}, {"type": "null"}]}
READ: Any = {
    "type": "function",
    "function": {
        "name": "read_file",
        "description": "d",
        "parameters": {
            "type": "object",
            "properties": {"path": {"type": "string"}, "limit": OPTIONAL},
            "required": ["path", "limit"],
            "additionalProperties": False,
        },
        "strict": True,
    },
}


def call(call_id: str, **arguments: Any) -> dict[str, Any]:
    body = {"name": "read_file", "arguments": orjson.dumps(arguments).decode()}
    return {"id": call_id, "type": "function", "function": body}


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


CHAT_BODIES: dict[str, dict[str, Any]] = {
    "Cline: reasoning comes back, optional parameters": {
        "messages": [
            {"role": "system", "content": "KEEP-0"},
            user([{"type": "text", "text": "KEEP-1"}]),
            {
                "role": "assistant",
                "content": "KEEP-2",
                "reasoning_content": "Hm.",
                "tool_calls": [call("c1", path="KEEP-3")],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "KEEP-4"},
        ],
        "tools": [READ],
        "temperature": 0,
        "stream_options": {"include_usage": True},
    },
    "opencode: two user messages in a row, cache_control, a budget": {
        "messages": [
            {"role": "system", "content": "KEEP-0", "cache_control": {"type": "ephemeral"}},
            user("KEEP-1"),
            user([{"type": "text", "text": "KEEP-2", "cache_control": {"type": "ephemeral"}}]),
        ],
        "thinking": {"type": "enabled", "budget_tokens": 15_999},
        "max_tokens": 47_999,
    },
    "opencode: compaction, calls in the history and no tools": {
        "messages": [
            user("KEEP-0"),
            {"role": "assistant", "content": None, "tool_calls": [call("c1", path="KEEP-1")]},
            {"role": "tool", "tool_call_id": "c1", "content": "KEEP-2"},
            user("KEEP-3"),
        ],
    },
    "a system message as the last one": {
        "messages": [user("KEEP-0"), {"role": "system", "content": "KEEP-1"}],
    },
    "the assistant first, and last": {
        "messages": [
            {"role": "assistant", "content": "KEEP-0"},
            user("KEEP-1"),
            {"role": "assistant", "content": "KEEP-2"},
        ],
    },
    "a call without a result, a result without a call, two results": {
        "messages": [
            user("KEEP-0"),
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [call("c1", path="KEEP-1"), call("c2", path="KEEP-2")],
            },
            {"role": "tool", "tool_call_id": "c2", "content": "KEEP-3"},
            {"role": "tool", "tool_call_id": "c2", "content": "KEEP-4"},
            {"role": "tool", "tool_call_id": "c9", "content": "KEEP-5"},
        ],
        "tools": [READ],
    },
    "Cursor: blocks and tools of the Messages API": {
        "messages": [
            user([{"type": "text", "text": "KEEP-0"}]),
            {
                "role": "assistant",
                "content": [
                    {"type": "text", "text": "KEEP-1"},
                    {"type": "tool_use", "id": "t1", "name": "grep", "input": {"q": "KEEP-2"}},
                ],
            },
            user(
                [
                    {
                        "type": "tool_result",
                        "tool_use_id": "t1",
                        "content": [{"type": "text", "text": "KEEP-3"}],
                    },
                    {"type": "text", "text": "KEEP-4"},
                ]
            ),
        ],
        "tools": [{"name": "grep", "description": "d", "input_schema": {"type": "object"}}],
        "tool_choice": {"type": "auto"},
    },
    "older Cline: tools as words in the prompt": {
        "messages": [
            {"role": "system", "content": "<tools>KEEP-0</tools>"},
            user("KEEP-1 " * 2000),
            {"role": "assistant", "content": "<read_file><path>KEEP-2</path></read_file>"},
            user("[read_file for 'x'] Result:\nKEEP-3"),
        ],
        "temperature": 0,
    },
    "web UIs: parameters that Kiro does not have": {
        "messages": [user("KEEP-0")],
        "temperature": 0.7,
        "top_p": 0.9,
        "presence_penalty": 0.1,
        "frequency_penalty": 0.1,
        "n": 1,
        "seed": 7,
        "user": "u",
        "logit_bias": {"50256": -100},
        "unheard_of": {"a": 1},
    },
}
RESPONSES_BODIES: dict[str, dict[str, Any]] = {
    "Vercel AI SDK": {
        "input": [
            {"role": "system", "content": "KEEP-0"},
            user([{"type": "input_text", "text": "KEEP-1"}]),
            {"role": "assistant", "content": [{"type": "output_text", "text": "KEEP-2"}]},
            user([{"type": "input_text", "text": "KEEP-3"}]),
        ],
        "store": False,
        "include": ["reasoning.encrypted_content"],
        "max_output_tokens": 1000,
        "prompt_cache_key": "k",
    },
    "Codex: calls first, then their outputs; keys of its own": {
        "input": [
            {
                "type": "message",
                "role": "developer",
                "internal_id": 1,
                "content": [{"type": "input_text", "text": "KEEP-0"}],
            },
            user("KEEP-1"),
            {
                "type": "reasoning",
                "id": "rs_1",
                "summary": [],
                "content": None,
                "encrypted_content": "of another provider",
            },
            *(
                {
                    "type": "function_call",
                    "id": f"fc_{n}",
                    "status": "completed",
                    "name": "exec_command",
                    "call_id": f"c{n}",
                    "arguments": orjson.dumps({"cmd": f"KEEP-{n}"}).decode(),
                }
                for n in (2, 3)
            ),
            {"type": "function_call_output", "call_id": "c2", "output": "KEEP-4"},
            {
                "type": "function_call_output",
                "call_id": "c3",
                "output": [{"type": "input_text", "text": "KEEP-5"}],
            },
        ],
        "tools": [],
        "reasoning": {},
        "client_metadata": {"a": "b"},
        "store": False,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
    },
}
BODIES = [(CHAT, name) for name in CHAT_BODIES] + [(RESPONSES, name) for name in RESPONSES_BODIES]


def body_of(route: str, name: str) -> dict[str, Any]:
    return (CHAT_BODIES if route == CHAT else RESPONSES_BODIES)[name]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(("route", "name"), BODIES)
async def test_body_of_a_client(route: str, name: str, stream: bool, tmp_path: Path) -> None:
    body = body_of(route, name)
    async with house(tmp_path) as home:
        answer = await home.send("POST", route, {"model": MODEL, "stream": stream, **body})
        assert answer.status == 200, answer.body
        sent = last_sent(home)
    end = b"data: [DONE]" if route == CHAT else b"event: response.completed"
    assert not stream or end in answer.body
    words = set(re.findall(r"KEEP-\d", orjson.dumps(body).decode()))
    assert words == set(re.findall(r"KEEP-\d", sent))


def last_sent(home: House) -> str:
    (entry,) = home.kiro.received("chat")
    assert not entry.violations
    return entry.body.decode()


@pytest.mark.parametrize("route", [CHAT, RESPONSES])
async def test_long_name_of_a_tool_comes_back(route: str, tmp_path: Path) -> None:
    """The service takes 64 characters."""
    assert len(LONG) == 82
    function = {"name": LONG, "description": "d", "parameters": {"type": "object"}}
    tool = {"type": "function", **(function if route == RESPONSES else {"function": function})}
    prompt = f"[[sim:tool {sent_name(LONG)} {{}}]]"
    given = {"input": prompt} if route == RESPONSES else {"messages": [user(prompt)]}
    async with house(tmp_path) as home:
        answer = await home.send("POST", route, {"model": MODEL, "tools": [tool], **given})
        last_sent(home)
    made: list[Any] = answer.json["output"] if route == RESPONSES else chat_calls(answer.json)
    assert [call["name"] for call in made] == [LONG]


def chat_calls(answer: dict[str, Any]) -> list[Any]:
    return [call["function"] for call in answer["choices"][0]["message"]["tool_calls"]]
