"""Cursor in agent mode: Responses bodies on the Chat route, Chat chunks back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from tests.api.openai.reader import read_stream
from tests.e2e.support import House, house

PATCH = "*** Begin Patch\n*** End Patch\n"
ORDER = orjson.dumps({"input": PATCH}).decode()
TOOLS: list[Any] = [
    {
        "type": "custom",
        "name": "ApplyPatch",
        "description": "Edits files.",
        "format": {"type": "grammar", "syntax": "lark", "definition": "start: BEGIN"},
    },
    {"type": "function", "name": "Read", "parameters": {"type": "object", "properties": {}}},
]


def body(given: Any, **more: Any) -> dict[str, Any]:
    return {"model": "claude-sonnet-4-5", "input": given, "tools": TOOLS, **more}


async def ask(home: House, given: Any, **more: Any) -> Any:
    return await home.send("POST", "/v1/chat/completions", body(given, **more))


async def test_text(tmp_path: Path) -> None:
    items = [
        {"role": "system", "content": "Be good."},
        {"role": "user", "content": [{"type": "input_text", "text": "[[sim:say hello]]"}]},
    ]
    options = {"stream_options": {"include_usage": True}}
    async with house(tmp_path) as home:
        whole = await ask(home, items)
        streamed = await ask(home, items, stream=True, **options)
    assert whole.json["object"] == "chat.completion"
    assert whole.json["choices"][0]["message"]["content"] == "hello"
    got = read_stream(streamed.body)
    assert (got.text, got.finish) == ("hello", "stop")
    assert got.usage is not None


async def test_custom_call_is_an_ordinary_one_with_raw_text(tmp_path: Path) -> None:
    prompt = f'[[sim:tool ApplyPatch {ORDER}]][[sim:tool Read {{"a":1}}]]'
    async with house(tmp_path) as home:
        whole = await ask(home, prompt)
        streamed = await ask(home, prompt, stream=True)
    calls = [call["function"] for call in whole.json["choices"][0]["message"]["tool_calls"]]
    assert calls == [
        {"name": "ApplyPatch", "arguments": PATCH},
        {"name": "Read", "arguments": '{"a":1}'},
    ]
    assert [call["function"] for call in read_stream(streamed.body).calls] == calls


async def test_history_with_a_custom_call(tmp_path: Path) -> None:
    items = [
        {"role": "user", "content": "Patch it."},
        {"type": "custom_tool_call", "call_id": "c", "name": "ApplyPatch", "input": PATCH},
        {"type": "custom_tool_call_output", "call_id": "c", "output": "patched"},
    ]
    async with house(tmp_path) as home:
        answer = await ask(home, items)
        assert not any(entry.violations for entry in home.kiro.received("chat"))
    assert answer.json["choices"][0]["message"]["content"] == "Done. The result begins: patched"


async def test_errors_name_the_field_of_the_body_that_came(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        wrong = await ask(home, [{"role": "wizard"}])
        unknown = await ask(home, "hi", previous_response_id="resp_1")
    assert (wrong.status, wrong.error["param"]) == (400, "input[0].role")
    assert (unknown.status, unknown.error["param"]) == (400, "previous_response_id")
