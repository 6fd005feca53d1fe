"""Both OpenAI dialects: keys of inner objects that nobody reads are named; harmless ones are not."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from kiroproxy.api.openai.chat_history import _ROLES
from kiroproxy.api.openai.chat_request import parse_chat_request
from kiroproxy.api.openai.keys import ITEMS, MESSAGES, PARTS
from kiroproxy.api.openai.parts import _PARSERS
from kiroproxy.api.openai.responses_input import _ITEMS
from kiroproxy.api.openai.responses_request import parse_responses_request
from tests.api.turns import PDF, PNG

URL = f"data:image/png;base64,{PNG}"
FILE = {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"}
SCHEMA = {"type": "object", "foo": 1}
FUNCTION = {"name": "f", "description": "d", "parameters": SCHEMA}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
OUTPUT = {"type": "function_call_output", "call_id": "c", "output": "x"}
CALLED = {"name": "f", "input": "a"}
GRAMMAR = {"syntax": "lark", "definition": "start: A"}
NESTED = {"type": "grammar", "grammar": GRAMMAR}


def chat(**fields: Any) -> list[str]:
    messages = [{"role": "user", "content": "hi"}]
    body = {"model": "m", "messages": messages, **fields}
    return parse_chat_request(orjson.dumps(body), {}.get).ignored


def responses(**fields: Any) -> list[str]:
    body = {"model": "m", "input": "hi", **fields}
    return parse_responses_request(orjson.dumps(body), {}.get).ignored


def content(part: dict[str, Any]) -> list[str]:
    """What both dialects name, which must be the same."""
    in_chat = chat(messages=[{"role": "user", "content": [part]}])
    in_item = responses(input=[{"type": "message", "role": "user", "content": [part]}])
    in_output = responses(input=[{**OUTPUT, "output": [part]}])
    assert in_chat == in_item == in_output
    return in_chat


@pytest.mark.parametrize(
    ("part", "names"),
    [
        ({"type": "text", "text": "a", "foo": 1}, ["content.text.foo"]),
        ({"type": "input_text", "text": "a", "foo": 1}, ["content.input_text.foo"]),
        ({"type": "text", "text": "a", "cache_control": {"type": "e"}}, ["cache_control"]),
        ({"type": "output_text", "text": "a", "annotations": [{}], "logprobs": [{}]}, []),
        ({"type": "image_url", "image_url": {"url": URL, "foo": 1}}, ["content.image_url.foo"]),
        (
            {"type": "image_url", "image_url": {"url": URL}, "detail": "low"},
            ["content.image_url.detail"],
        ),
        (
            {"type": "input_image", "image_url": URL, "file_id": "a"},
            ["content.input_image.file_id"],
        ),
        ({"type": "input_image", "image_url": URL, "file_id": None, "detail": "auto"}, []),
        ({"type": "file", "file": {**FILE, "foo": 1}}, ["content.file.foo"]),
        ({"type": "file", "file": FILE, "filename": "b"}, ["content.file.filename"]),
        ({"type": "input_file", **FILE, "foo": 1}, ["content.input_file.foo"]),
        ({"type": "input_file", **FILE, "file_id": "a"}, ["content.input_file.file_id"]),
        ({"type": "input_file", **FILE, "detail": "high"}, ["content.input_file.detail"]),
        ({"type": "input_file", **FILE, "detail": "auto"}, []),
        (
            {"type": "image", "source": {"type": "url", "url": URL, "foo": 1}},
            ["content.image.source.foo"],
        ),
    ],
    ids=lambda value: str(value)[:60],
)
def test_keys_of_parts(part: dict[str, Any], names: list[str]) -> None:
    assert content(part) == names


def test_keys_of_blocks_among_parts() -> None:
    result = {"type": "tool_result", "tool_use_id": "c", "content": "a", "foo": 1}
    assert chat(messages=[{"role": "user", "content": [result]}]) == ["content.tool_result.foo"]


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"tool_calls": [{**CALL, "foo": 1}]}, "messages.tool_calls.foo"),
        (
            {"tool_calls": [{**CALL, "function": {**CALL["function"], "foo": 1}}]},
            "messages.tool_calls.function.foo",
        ),
        (
            {"tool_calls": [{"id": "c", "type": "custom", "custom": {**CALLED, "foo": 1}}]},
            "messages.tool_calls.custom.foo",
        ),
        ({"function_call": {**CALL["function"], "foo": 1}}, "messages.function_call.foo"),
    ],
    ids=lambda value: str(value)[:60],
)  # fmt: skip
def test_keys_of_calls(fields: dict[str, Any], name: str) -> None:
    user = {"role": "user", "content": "hi"}
    assert chat(messages=[user, {"role": "assistant", "content": None, **fields}]) == [name]


@pytest.mark.parametrize(
    ("tool", "names"),
    [
        ({"type": "function", "function": FUNCTION, "foo": 1}, ["tools.foo"]),
        ({"type": "function", "function": {**FUNCTION, "foo": 1}}, ["tools.foo"]),
        ({"type": "function", **FUNCTION, "foo": 1}, ["tools.foo"]),
        ({"type": "function", "function": FUNCTION, "strict": True}, ["tools.strict"]),
        ({"type": "function", "function": FUNCTION, "name": "f"}, []),
        ({"type": "function", "function": FUNCTION, "name": "g"}, ["tools.name"]),
        ({"type": "function", **FUNCTION, "input_schema": {"a": 1}}, ["tools.input_schema"]),
        ({"type": "function", **FUNCTION, "input_schema": SCHEMA}, []),
        ({"type": "function", **FUNCTION, "strict": False, "defer_loading": True}, []),
        ({"type": "function", "function": FUNCTION, "cache_control": {"a": 1}}, ["cache_control"]),
        ({"type": "custom", "name": "f", "foo": 1}, ["tools.foo"]),
        ({"type": "custom", "custom": {"name": "f", "foo": 1}}, ["tools.foo"]),
        (
            {"type": "custom", "name": "f", "format": {"type": "grammar", **GRAMMAR, "foo": 1}},
            ["tools.format.foo"],
        ),
        (
            {"type": "custom", "custom": {"name": "f", "format": {**NESTED, "foo": 1}}},
            ["tools.format.foo"],
        ),
        ({"type": "custom", "name": "f", "format": {"type": "text", "foo": 1}}, ["tools.format.foo"]),
        ({"type": "web_search", "web_search": {"foo": 1}, "bar": 1}, ["tools.bar", "tools.foo"]),
    ],
    ids=lambda value: str(value)[:80],
)  # fmt: skip
def test_keys_of_tools(tool: dict[str, Any], names: list[str]) -> None:
    assert chat(tools=[tool]) == names
    if "web_search" not in tool:
        assert responses(tools=[tool]) == names


@pytest.mark.parametrize(
    "tool",
    [
        {"type": "namespace", "name": "n", "tools": [{"type": "function", **FUNCTION}], "foo": 1},
        {"type": "namespace", "name": "n", "tools": [{"type": "function", **FUNCTION, "foo": 1}]},
        {"type": "local_shell", "foo": 1},
        {"type": "tool_search", "execution": "client", "parameters": SCHEMA, "foo": 1},
    ],
    ids=str,
)
def test_keys_of_tools_of_responses(tool: dict[str, Any]) -> None:
    assert responses(tools=[tool]) == ["tools.foo"]
    listed = {"type": "additional_tools", "role": "developer", "tools": [tool]}
    assert responses(input=[{"role": "user", "content": "a"}, listed]) == ["tools.foo"]


def test_keys_of_the_older_functions() -> None:
    legacy = {"functions": [{**FUNCTION, "foo": 1}], "function_call": {"name": "f", "foo": 1}}
    assert chat(**legacy) == ["function_call.foo", "functions.foo"]


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        ({"type": "function", "function": {"name": "f", "foo": 1}}, ["tool_choice.foo"]),
        ({"type": "function", "function": {"name": "f"}, "foo": 1}, ["tool_choice.foo"]),
        ({"type": "any", "disable_parallel_tool_use": True},
         ["tool_choice.disable_parallel_tool_use"]),
        ({"type": "allowed_tools", "mode": "auto", "tools": [{"name": "f"}], "foo": 1},
         ["tool_choice.foo"]),
        ({"type": "allowed_tools", "allowed_tools": {"tools": [{"name": "f", "foo": 1}]}},
         ["tool_choice.foo"]),
        ({"type": "function", "name": "f"}, []),
    ],
    ids=str,
)  # fmt: skip
def test_keys_of_the_choice(choice: dict[str, Any], names: list[str]) -> None:
    assert chat(tools=[{"type": "function", "function": FUNCTION}], tool_choice=choice) == names


@pytest.mark.parametrize(
    ("form", "names"),
    [
        ({"type": "text", "foo": 1}, ["foo"]),
        ({"type": "json_object", "schema": SCHEMA}, ["schema"]),
        ({"type": "json_schema", "name": "n", "strict": True, "schema": SCHEMA}, []),
        ({"type": "json_schema", "name": "n", "strict": False, "schema": SCHEMA}, []),
        ({"type": "json_schema", "schema": {**SCHEMA, "description": "e"}, "description": "d"},
         ["description"]),
        ({"type": "json_schema", "schema": {**SCHEMA, "description": "d"}, "description": "d"}, []),
        ({"type": "json_schema", "schema": SCHEMA, "description": "d"}, []),
        ({"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA, "foo": 1}},
         ["json_schema.foo"]),
        ({"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}, "foo": 1}, ["foo"]),
    ],
    ids=str,
)  # fmt: skip
def test_keys_of_formats(form: dict[str, Any], names: list[str]) -> None:
    assert chat(response_format=form) == [f"response_format.{name}" for name in names]
    assert responses(text={"format": form}) == [f"text.format.{name}" for name in names]


def test_keys_of_text() -> None:
    assert responses(text={"foo": 1, "verbosity": "medium"}) == ["text.foo"]


_ITEM_BODIES: dict[str, dict[str, Any]] = {
    "message": {"role": "user", "content": "a"},
    "function_call": {"call_id": "c", "name": "f", "arguments": "{}", "namespace": "n"},
    "function_call_output": {"call_id": "c", "output": "x"},
    "custom_tool_call": {"call_id": "c", "name": "f", "input": "a"},
    "custom_tool_call_output": {"call_id": "c", "output": "x"},
    "local_shell_call": {"call_id": "c", "action": {"type": "exec", "command": ["ls"], "foo": 1}},
    "local_shell_call_output": {"call_id": "c", "output": "x"},
    "tool_search_call": {"call_id": "c", "arguments": {}, "execution": "client"},
    "tool_search_output": {"call_id": "c", "tools": [], "execution": "client"},
    "additional_tools": {"role": "developer", "tools": []},
    "reasoning": {"summary": [{"type": "summary_text", "text": "a"}], "content": None},
    "web_search_call": {"action": {"type": "search", "query": "q", "sources": []}},
}


@pytest.mark.parametrize("kind", _ITEM_BODIES)
def test_keys_of_items(kind: str) -> None:
    item = {"type": kind, "id": "i", "status": "completed", **_ITEM_BODIES[kind]}
    assert responses(input=[item]) == []
    assert responses(input=[{**item, "foo": 1}] * 3) == [f"input.{kind}.foo"]
    assert responses(input=[{**item, "internal_chat_message_metadata": {"a": 1}}]) == []


def test_keys_inside_items() -> None:
    thought = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "a", "foo": 1}]}
    assert responses(input=[thought]) == ["input.reasoning.summary.foo"]
    search = {"type": "web_search_call", "action": {"type": "search", "query": "q", "foo": 1}}
    assert responses(input=[search]) == ["input.web_search_call.action.foo"]


def test_what_the_sdks_send_back_is_not_named() -> None:
    function = {**CALL["function"], "parsed_arguments": {"a": 1}}
    message = {
        "role": "assistant", "content": "{}", "parsed": {"a": 1}, "refusal": None, "annotations": [],
        "audio": None, "function_call": None, "tool_calls": [{**CALL, "index": 0, "function": function}],
    }  # fmt: skip
    assert chat(messages=[{"role": "user", "content": "hi"}, message]) == []
    part = {"type": "output_text", "text": "{}", "annotations": [], "logprobs": [], "parsed": None}
    item = {"type": "message", "id": "m", "status": "completed", "role": "assistant"}
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    call = {**call, "parsed_arguments": {"a": 1}, "id": "fc", "status": "completed"}
    assert responses(input=[{**item, "content": [part]}, call]) == []


def test_every_kind_that_is_read_has_its_keys() -> None:
    assert PARTS.keys() == _PARSERS.keys()
    assert ITEMS.keys() == _ITEMS.keys()
    assert MESSAGES.keys() == _ROLES.keys()
