"""Messages requests: keys of inner objects that nobody reads are named; those without meaning are not."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from kiroproxy.api.anthropic.blocks import _PARSERS
from kiroproxy.api.anthropic.keys import BLOCKS
from kiroproxy.api.anthropic.request import parse_messages_request
from tests.api.turns import PDF, PNG

CACHED = {"cache_control": {"type": "ephemeral"}}
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
PAPER = {
    "type": "document",
    "source": {"type": "base64", "media_type": "application/pdf", "data": PDF},
}
CALL = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "t", "content": "x"}
TOOL = {"name": "f", "input_schema": {"type": "object", "foo": 1}}
FORM = {"type": "json_schema", "schema": {"type": "object"}}


def ignored(**fields: Any) -> list[str]:
    messages = [{"role": "user", "content": "hi"}]
    body = {"model": "m", "max_tokens": 9, "messages": messages, **fields}
    return parse_messages_request(orjson.dumps(body), {}.get).ignored


def holding(*blocks: dict[str, Any], role: str = "user") -> list[str]:
    return ignored(messages=[{"role": role, "content": [*blocks]}])


def with_source(block: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {**block, "source": {**block["source"], **more}}


@pytest.mark.parametrize(
    ("block", "name"),
    [
        ({"type": "text", "text": "a", "foo": 1}, "content.text.foo"),
        ({**IMAGE, "foo": 1}, "content.image.foo"),
        (with_source(IMAGE, foo=1), "content.image.source.foo"),
        (with_source(IMAGE, url="http://a.example"), "content.image.source.url"),
        ({**PAPER, "foo": False}, "content.document.foo"),
        (with_source(PAPER, foo="a"), "content.document.source.foo"),
        ({"type": "search_result", "source": "a", "title": "b", "content": [], "foo": 1},
         "content.search_result.foo"),
        ({"type": "search_result", "source": "a", "title": "b", "content": [],
          "citations": {"enabled": True}}, "citations"),
        ({"type": "thinking", "thinking": "a", "signature": "b", "foo": 1}, "content.thinking.foo"),
        ({**CALL, "foo": 1}, "content.tool_use.foo"),
        ({**RESULT, "foo": 1}, "content.tool_result.foo"),
        ({**RESULT, "content": [{"type": "text", "text": "a", "foo": 1}]}, "content.text.foo"),
        ({"type": "mcp_tool_use", "id": "a", "name": "b", "input": {}, "server_name": "c"},
         "content.mcp_tool_use.server_name"),
        ({"type": "hologram", **CACHED}, "cache_control"),
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_keys_of_blocks(block: dict[str, Any], name: str) -> None:
    assert name in holding(block)
    assert len(holding(block)) == 1 + (block["type"] == "hologram")


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"system": [{"type": "text", "text": "a", "foo": 1}]}, "system.foo"),
        ({"messages": [{"role": "user", "content": "a", "name": "b"}]}, "messages.name"),
        ({"messages": [{"role": "user", "content": "a", **CACHED}]}, "cache_control"),
        (
            {"messages": [{"role": "user", "content": "a", "output_config": {"foo": 1}}]},
            "messages.output_config.foo",
        ),
        ({"tools": [{**TOOL, "foo": 1}]}, "tools.foo"),
        ({"tools": [{"type": "bash_20250124", "name": "bash", "foo": 1}]}, "tools.foo"),
        (
            {"tools": [{"type": "text_editor_20250728", "max_characters": 9}]},
            "tools.max_characters",
        ),
        ({"tools": [{"type": "bash_20250124", "input_schema": {"a": 1}}]}, "tools.input_schema"),
        ({"tool_choice": {"type": "auto", "name": "f"}}, "tool_choice.name"),
        ({"thinking": {"type": "adaptive", "foo": 1}}, "thinking.foo"),
        ({"thinking": {"type": "adaptive", "budget_tokens": 2000}}, "thinking.budget_tokens"),
        ({"output_config": {"task_budget": {"total": 9}}}, "output_config.task_budget"),
        ({"output_config": {"format": {**FORM, "foo": "a"}}}, "output_config.format.foo"),
        ({"output_format": {**FORM, "foo": "a"}}, "output_format.foo"),
        ({"metadata": {"user_id": "a", "foo": "b"}}, "metadata.foo"),
    ],
    ids=lambda value: str(value)[:50],
)
def test_keys_elsewhere(fields: dict[str, Any], name: str) -> None:
    assert ignored(**fields) == [name]


def test_one_name_however_often_it_comes() -> None:
    blocks = [{"type": "text", "text": "a", "foo": 1, **CACHED}] * 50
    assert ignored(messages=[{"role": "user", "content": blocks}] * 9, tools=[TOOL]) == [
        "cache_control",
        "content.text.foo",
    ]


def test_many_names_are_few_in_the_answer() -> None:
    block = {"type": "text", "text": "a", **{f"key{number}": 1 for number in range(5_000)}}
    names = holding(block)
    assert len(names) == 25
    assert names[-1].startswith("and-")


@pytest.mark.parametrize("empty", [None, [], {}])
def test_keys_that_say_nothing_are_not_named(empty: Any) -> None:
    assert holding({"type": "text", "text": "a", "foo": empty, "cache_control": empty}) == []


def test_what_clients_send_back_is_not_named() -> None:
    reply = {
        "role": "assistant", "id": "msg_1", "type": "message", "model": "m",
        "stop_reason": "tool_use", "stop_sequence": None, "usage": {"input_tokens": 1},
        "content": [
            {"type": "thinking", "thinking": "a", "signature": "b"},
            {"type": "text", "text": "a", "citations": [{"type": "char_location"}]},
            {**CALL, "caller": {"type": "direct"}},
            {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "q"},
             "caller": {"type": "direct"}},
            {"type": "web_search_tool_result", "tool_use_id": "s", "content": []},
        ],
    }  # fmt: skip
    messages = [{"role": "user", "content": "hi"}, reply, {"role": "user", "content": [RESULT]}]
    assert ignored(messages=messages, tools=[TOOL]) == []


def test_a_session_of_claude_code_is_told_of_the_cache_alone() -> None:
    text = {"type": "text", "text": "a"}
    environment = {
        "role": "system",
        "content": [{**text, **CACHED}],
        "output_config": {"effort": "medium"},
    }
    paper = {**PAPER, "title": "a.pdf", "context": "b", "citations": {"enabled": False}}
    assert ignored(
        stream=True,
        system=[{"type": "text", "text": "x-anthropic-billing-header: a"}, {**text, **CACHED}],
        tools=[
            {**TOOL, "description": "d", "defer_loading": True, "eager_input_streaming": True},
            {"type": "web_search_20250305", "name": "web_search", "max_uses": 8},
        ],
        metadata={"user_id": '{"session_id":"s"}'},
        thinking={"type": "adaptive", "display": "updates"},
        output_config={"effort": "medium", "format": FORM},
        messages=[
            {"role": "user", "content": [text, text]},
            environment,
            {"role": "assistant", "content": [CALL]},
            {"role": "user", "content": [{**RESULT, "is_error": False, **CACHED}]},
            {"role": "user", "content": [IMAGE, paper]},
        ],
    ) == ["cache_control"]


def test_every_block_that_is_read_has_its_keys() -> None:
    assert BLOCKS.keys() == _PARSERS.keys()
