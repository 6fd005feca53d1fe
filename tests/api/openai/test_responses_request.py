"""Requests of the Responses API: what is understood, and the field that each error names."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiroproxy.api.openai.responses_request import (
    parse_responses,
    parse_responses_request,
    style_of,
)
from kiroproxy.api.openai.responses_style import FormKind, ToolForm
from kiroproxy.api.openai.sealed import seal
from kiroproxy.api.tools import ToolNames
from kiroproxy.api.turn import (
    Document,
    Image,
    Message,
    Reasoning,
    RedactedReasoning,
    Text,
    ThinkingKind,
    ToolChoice,
    ToolChoiceKind,
    ToolResult,
    ToolUse,
    Turn,
    WebSearch,
)
from kiroproxy.errors import Kind, RequestError
from tests.clients.samples import base64_text, pdf, png

PNG = "data:image/png;base64," + base64_text(png(2, 2))
PDF = "data:application/pdf;base64," + base64_text(pdf(1))
ECHO = {"type": "function", "name": "echo", "parameters": {"type": "object"}}


def parse(*, headers: dict[str, str] | None = None, **fields: Any) -> Turn:
    request = {"model": "m", "input": "hi", **fields}
    return parse_responses_request(orjson.dumps(request), (headers or {}).get)


def messages(*items: Any, **fields: Any) -> list[Message]:
    return parse(input=list(items), **fields).messages


def user(*content: Any) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": list(content)}


def test_text_input() -> None:
    turn = parse(instructions="Be good.")
    assert turn.messages == [Message("user", [Text("hi")])]
    assert turn.system == ["Be good."]
    assert not turn.stream
    assert style_of(turn).store


def test_leading_developer_messages_are_the_system_prompt() -> None:
    turn = parse(
        instructions="First.",
        input=[
            {
                "type": "message",
                "role": "developer",
                "content": [{"type": "input_text", "text": "A"}],
            },
            {"role": "system", "content": "B"},
            {"role": "user", "content": "hi"},
            {"role": "developer", "content": "C"},
        ],
    )
    assert turn.system == ["First.", "A", "B"]
    assert turn.messages == [Message("user", [Text("hi")]), Message("system", [Text("C")])]


def test_content_parts() -> None:
    (message,) = messages(
        user(
            {"type": "input_text", "text": "see"},
            {"type": "input_image", "image_url": PNG, "detail": "auto"},
            {"type": "input_file", "filename": "a.pdf", "file_data": PDF},
        )
    )
    words, image, document = message.blocks
    assert words == Text("see")
    assert isinstance(image, Image)
    assert isinstance(document, Document)
    assert document.name == "a.pdf"


def test_content_by_url_waits_to_be_fetched() -> None:
    turn = parse(
        input=[
            user({"type": "input_image", "image_url": "https://x/a.png"}),
            {"type": "function_call", "call_id": "c", "name": "echo", "arguments": "{}"},
            {
                "type": "function_call_output",
                "call_id": "c",
                "output": [{"type": "input_image", "image_url": "https://x/b.png"}],
            },
        ]
    )
    assert [(item.path, item.url) for item in turn.unfinished] == [
        (("input", 0, "content", 0, "image_url"), "https://x/a.png"),
        (("input", 2, "output", 0, "image_url"), "https://x/b.png"),
    ]
    assert turn.unfinished[0].block is turn.messages[0].blocks[0]


def test_calls_and_outputs() -> None:
    assert messages(
        {"role": "user", "content": "go"},
        {
            "type": "function_call",
            "call_id": "c1",
            "name": "echo",
            "arguments": '{"a":1}',
            "id": "fc",
        },
        {"type": "custom_tool_call", "call_id": "c2", "name": "apply_patch", "input": "*** Begin"},
        {"type": "function_call_output", "call_id": "c1", "output": "one"},
        {
            "type": "custom_tool_call_output",
            "call_id": "c2",
            "output": [
                {"type": "input_text", "text": "two"},
                {"type": "input_image", "image_url": PNG},
            ],
        },
    )[1:] == [
        Message("assistant", [ToolUse("c1", "echo", {"a": 1})]),
        Message("assistant", [ToolUse("c2", "apply_patch", {"input": "*** Begin"})]),
        Message("user", [ToolResult("c1", [Text("one")])]),
        Message("user", [ToolResult("c2", [Text("two"), Image("png", PNG.split(",")[1])])]),
    ]


def test_local_shell_items() -> None:
    action: Any = {"type": "exec", "command": ["ls"], "env": {}, "timeout_ms": None}
    assert messages(
        {"type": "local_shell_call", "call_id": "c", "action": action, "status": "completed"},
        {"type": "local_shell_call_output", "id": "c", "output": "a.txt"},
    ) == [
        Message("assistant", [ToolUse("c", "local_shell", {"command": ["ls"], "env": {}})]),
        Message("user", [ToolResult("c", [Text("a.txt")])]),
    ]


def test_reasoning_comes_back() -> None:
    summary = [{"type": "summary_text", "text": "hm"}]
    item = {"type": "reasoning", "id": "rs", "content": None}
    got = messages(
        {**item, "summary": summary, "encrypted_content": seal({"signature": "sig"})},
        {**item, "summary": [], "encrypted_content": seal({"signature": "s", "text": "hidden"})},
        {**item, "summary": [], "encrypted_content": seal({"redacted": "b64"})},
        {**item, "summary": summary},
        {**item, "summary": [], "encrypted_content": "gAAAA-of-somebody-else"},
        {"role": "user", "content": "hi"},
    )
    assert [block for message in got for block in message.blocks] == [
        Reasoning("hm", "sig"),
        Reasoning("hidden", "s"),
        RedactedReasoning("b64"),
        Reasoning("hm", ""),
        Text("hi"),
    ]


def test_other_items() -> None:
    turn = parse(
        input=[
            {"type": "web_search_call", "id": "ws", "action": {"type": "open_page", "url": "u"}},
            {"type": "file_search_call", "id": "fs", "queries": ["q"], "status": "completed"},
            {"type": "compaction", "encrypted_content": seal({"summary": "It began."})},
            {"type": "hologram", "id": "x"},
        ]
    )
    first, second, third = [message.blocks[0] for message in turn.messages]
    assert first == Text("[web search]")
    assert second == Text('[file_search_call] {"queries":["q"]}')
    assert isinstance(third, Text)
    assert third.text.endswith("It began.")
    assert turn.ignored == ["input.hologram"]


NAMESPACE = {"type": "namespace", "name": "mcp__srv", "description": "A server.", "tools": [ECHO]}


def test_namespace() -> None:
    turn = parse(tools=[NAMESPACE])
    (tool,) = turn.tools
    assert tool.name == "mcp__srv__echo"
    assert "A server." in tool.description
    assert style_of(turn).forms == {
        "mcp__srv__echo": ToolForm(FormKind.FUNCTION, "echo", "mcp__srv")
    }


def test_namespaced_call_in_the_history_has_the_flat_name() -> None:
    call = {"type": "function_call", "call_id": "c", "name": "echo", "namespace": "mcp__srv"}
    for tools in ([NAMESPACE], []):  # also when it is not offered any more
        (message,) = messages({**call, "arguments": "{}"}, tools=tools)
        assert message.blocks == [ToolUse("c", "mcp__srv__echo", {})]


def test_flat_names_that_are_taken() -> None:
    plain = {**ECHO, "name": "mcp__srv__echo"}
    turn = parse(tools=[plain, NAMESPACE])
    assert [tool.name for tool in turn.tools] == ["mcp__srv__echo", "mcp__srv__echo_2"]
    assert style_of(turn).forms["mcp__srv__echo_2"] == ToolForm(
        FormKind.FUNCTION, "echo", "mcp__srv"
    )


def test_custom_tool_with_its_grammar() -> None:
    grammar = {"type": "grammar", "syntax": "lark", "definition": "start: BEGIN"}
    turn = parse(
        tools=[{"type": "custom", "name": "apply_patch", "description": "Edit.", "format": grammar}]
    )
    (tool,) = turn.tools
    assert "start: BEGIN" in tool.description
    assert list(tool.schema["properties"]) == ["input"]
    assert style_of(turn).forms["apply_patch"].kind is FormKind.CUSTOM


def test_found_tools_are_told_by_the_names_the_model_knows() -> None:
    long = "x" * 80
    output = {"type": "tool_search_output", "call_id": "c", "tools": [{**ECHO, "name": long}]}
    turn = parse(input=[{"role": "user", "content": "hi"}, output])
    (result,) = turn.messages[1].blocks
    assert isinstance(result, ToolResult)
    (words,) = result.content
    assert isinstance(words, Text)
    name = words.text.removeprefix("These tools can be called now: ")
    assert ToolNames([tool.name for tool in turn.tools]).renamed() == {name: long}


def test_tools_as_input_items() -> None:
    turn = parse(
        input=[
            {"type": "additional_tools", "role": "developer", "tools": [NAMESPACE, ECHO]},
            {"role": "user", "content": "hi"},
            {
                "type": "tool_search_call",
                "call_id": "c",
                "execution": "client",
                "arguments": {"query": "q"},
            },
            {
                "type": "tool_search_output",
                "call_id": "c",
                "tools": [NAMESPACE, {**ECHO, "name": "new"}],
            },
        ]
    )
    assert [tool.name for tool in turn.tools] == ["mcp__srv__echo", "echo", "new"]
    assert turn.messages[1:] == [
        Message("assistant", [ToolUse("c", "tool_search", {"query": "q"})]),
        Message(
            "user",
            [ToolResult("c", [Text("These tools can be called now: mcp__srv__echo, new")])],
        ),
    ]


def test_client_tool_search_is_a_function_and_the_providers_is_left_out() -> None:
    search = {"type": "tool_search", "execution": "client", "parameters": {"type": "object"}}
    turn = parse(tools=[search])
    assert style_of(turn).forms["tool_search"].kind is FormKind.TOOL_SEARCH
    assert parse(tools=[{"type": "tool_search"}]).ignored == ["tools.tool_search"]


def test_local_shell() -> None:
    turn = parse(tools=[{"type": "local_shell"}], tool_choice={"type": "local_shell"})
    assert [tool.name for tool in turn.tools] == ["local_shell"]
    assert turn.tool_choice == ToolChoice(ToolChoiceKind.NAMED, "local_shell")


@pytest.mark.parametrize("kind", ["web_search", "web_search_preview", "web_search_2025_08_26"])
def test_web_search(kind: str) -> None:
    turn = parse(tools=[{"type": kind}], tool_choice={"type": kind})
    assert turn.web_search == WebSearch("web_search")
    assert turn.tool_choice == ToolChoice(ToolChoiceKind.NAMED, "web_search")
    assert not turn.tools


def test_web_search_and_its_options() -> None:
    options = {
        "filters": {"allowed_domains": ["a.org"], "blocked_domains": ["b.a.org"]},
        "user_location": {"type": "approximate"},
        "search_context_size": "low",
    }
    turn = parse(tools=[ECHO, {"type": "web_search", **options}])
    assert turn.web_search == WebSearch("web_search", 8, ("a.org",), ("b.a.org",))
    assert turn.ignored == ["tools.search_context_size", "tools.user_location"]
    own = parse(tools=[{"type": "web_search"}, {**ECHO, "name": "web_search"}])
    assert (own.web_search, own.ignored) == (None, ["tools.web_search"])
    choice = {"type": "allowed_tools", "tools": [{"type": "web_search"}]}
    allowed = parse(tools=[ECHO, {"type": "web_search"}], tool_choice=choice)
    assert (allowed.tools, allowed.web_search) == ([], WebSearch("web_search"))
    choice = {"type": "allowed_tools", "tools": [{"type": "function", "name": ECHO["name"]}]}
    allowed = parse(tools=[ECHO, {"type": "web_search"}], tool_choice=choice)
    assert (len(allowed.tools), allowed.web_search) == (1, None)
    required = parse(tools=[{"type": "web_search"}], tool_choice="required")
    assert required.tool_choice == ToolChoice(ToolChoiceKind.ANY)


def test_max_tool_calls_bound_the_search() -> None:
    hosted = {"type": "web_search"}
    for limit, uses in ((1, 1), (3, 3), (20, 8)):
        turn = parse(tools=[hosted], max_tool_calls=limit)
        assert turn.web_search == WebSearch("web_search", uses)
        assert turn.ignored == []
        assert style_of(turn).echo["max_tool_calls"] == limit
    assert (
        parse(tools=[ECHO], max_tool_calls=2).ignored == []
    )  # there is nothing that it could bound
    for wrong in (0, "2", True, 1.5):
        with pytest.raises(RequestError) as caught:
            parse(tools=[hosted], max_tool_calls=wrong)
        assert caught.value.param == "max_tool_calls"


@pytest.mark.parametrize(
    ("fields", "words", "failed"),
    [
        (
            {"action": {"query": "q", "sources": [{"type": "url", "url": "https://a"}, 7]}},
            "Web search results:\nhttps://a\nThe results are not kept; what mattered of them is in "
            "the answer.",
            False,
        ),
        (
            {"action": {"queries": ["q"]}},
            "The results are not kept; what mattered of them is in the answer.",
            False,
        ),
        (
            {"action": {"query": "q"}, "status": "failed"},
            "The web search failed: unavailable",
            True,
        ),
    ],
)
def test_past_search_is_a_call_and_its_result(
    fields: dict[str, Any], words: str, failed: bool
) -> None:
    (message,) = parse(input=[{"type": "web_search_call", "id": "ws_1", **fields}]).messages
    assert message.blocks == [
        ToolUse("ws_1", "web_search", {"query": "q"}),
        ToolResult("ws_1", [Text(words)], failed),
    ]
    (bare,) = parse(input=[{"type": "web_search_call", **fields}]).messages
    assert isinstance(bare.blocks[0], ToolUse) and bare.blocks[0].id == "ws_input.0"


def test_hosted_tools_are_named() -> None:
    assert parse(tools=[{"type": "image_generation"}, ECHO]).ignored == ["tools.image_generation"]


@pytest.mark.parametrize(
    ("entry", "kept"),
    [
        ({"type": "function", "name": "echo", "namespace": "mcp__srv"}, ["mcp__srv__echo"]),
        ({"type": "namespace", "name": "mcp__srv"}, ["mcp__srv__echo"]),
        ({"type": "local_shell"}, ["local_shell"]),
        ({"type": "tool_search"}, ["tool_search"]),
        ({"type": "function", "name": "echo"}, ["echo"]),
    ],
    ids=str,
)
def test_allowed_tools_of_every_kind(entry: dict[str, Any], kept: list[str]) -> None:
    search = {"type": "tool_search", "execution": "client", "parameters": {"type": "object"}}
    tools = [ECHO, NAMESPACE, {"type": "local_shell"}, search]
    choice = {"type": "allowed_tools", "mode": "required", "tools": [entry]}
    turn = parse(tools=tools, tool_choice=choice)
    assert [tool.name for tool in turn.tools] == kept
    assert turn.tool_choice == ToolChoice(ToolChoiceKind.ANY)


def test_the_clients_tool_search_can_be_chosen() -> None:
    search = {"type": "tool_search", "execution": "client", "parameters": {"type": "object"}}
    turn = parse(tools=[ECHO, search], tool_choice={"type": "tool_search"})
    assert turn.tool_choice == ToolChoice(ToolChoiceKind.NAMED, "tool_search")


def test_tool_choice() -> None:
    choices = {
        "auto": ToolChoice(),
        "none": ToolChoice(ToolChoiceKind.NONE),
        "required": ToolChoice(ToolChoiceKind.ANY),
    }
    for word, choice in choices.items():
        assert parse(tools=[ECHO], tool_choice=word).tool_choice == choice
    named = parse(
        tools=[NAMESPACE], tool_choice={"type": "function", "name": "echo", "namespace": "mcp__srv"}
    )
    assert named.tool_choice == ToolChoice(ToolChoiceKind.NAMED, "mcp__srv__echo")


def test_compaction_trigger() -> None:
    turn = parse(
        tools=[ECHO, {"type": "web_search"}],
        input=[{"role": "user", "content": "hi"}, {"type": "compaction_trigger"}],
    )
    assert style_of(turn).compaction
    assert not turn.tools
    assert turn.web_search is None
    assert len(turn.messages) == 2
    early = parse(input=[{"type": "compaction_trigger"}, {"role": "user", "content": "hi"}])
    assert early.ignored == ["input.compaction_trigger"]


@pytest.mark.parametrize(
    ("reasoning", "kind", "effort", "omit"),
    [
        (None, ThinkingKind.OFF, "", True),
        ({}, ThinkingKind.OFF, "", True),
        ({"summary": "auto"}, ThinkingKind.ADAPTIVE, "", False),
        ({"effort": "high", "summary": "detailed"}, ThinkingKind.ADAPTIVE, "high", False),
        ({"effort": "minimal"}, ThinkingKind.ADAPTIVE, "low", True),
        ({"effort": "none", "summary": "auto"}, ThinkingKind.OFF, "", False),
        ({"effort": "high", "summary": "none"}, ThinkingKind.ADAPTIVE, "high", True),
    ],
)
def test_reasoning(reasoning: Any, kind: ThinkingKind, effort: str, omit: bool) -> None:
    thinking = parse(reasoning=reasoning).thinking
    assert (thinking.kind, thinking.effort, thinking.omit) == (kind, effort, omit)


def test_sealed_reasoning_is_not_omitted() -> None:
    turn = parse(reasoning={"effort": "low"}, include=["reasoning.encrypted_content"])
    style = style_of(turn)
    assert (turn.thinking.omit, style.sealed, style.summary) == (False, True, False)


def test_options() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    turn = parse(
        stream=True,
        store=False,
        max_output_tokens=20,
        parallel_tool_calls=False,
        metadata={"k": "v"},
        truncation="disabled",
        text={"format": {"type": "json_schema", "name": "x", "schema": schema, "strict": True}},
    )
    assert turn.stream
    assert turn.max_tokens == 20
    assert not turn.parallel_tools
    assert turn.output_schema == schema
    style = style_of(turn)
    assert not style.store
    assert style.echo["metadata"] == {"k": "v"}
    assert turn.ignored == []


def test_what_has_no_effect_is_named() -> None:
    turn = parse(
        temperature=0.3,
        prompt_cache_key="x",
        client_metadata={"a": 1},
        truncation="auto",
        text={"verbosity": "low"},
        reasoning={"context": "all"},
        include=["message.output_text.logprobs"],
        background=False,
    )
    assert turn.ignored == [
        "client_metadata",
        "include.message.output_text.logprobs",
        "prompt_cache_key",
        "reasoning.context",
        "temperature",
        "text.verbosity",
        "truncation",
    ]


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"modalities": ["text"]}, []),
        ({"stream_options": {"include_obfuscation": True}}, ["stream_options.include_obfuscation"]),
        ({"stream_options": {"include_obfuscation": False}}, []),
        ({"stream_options": {"hum": 1}}, ["stream_options.hum"]),
        ({"reasoning": {"context": None}}, []),
        (
            {"tools": [{"type": "custom", "name": "a", "format": {"type": "regex"}}]},
            ["tools.format"],
        ),
        ({"tools": [{"type": "web_search", "external_web_access": True}]}, []),
        (
            {"tools": [{"type": "web_search", "external_web_access": False}]},
            ["tools.external_web_access"],
        ),
        ({"tools": [{"type": "web_search", "filters": {"hum": 1}}]}, ["tools.filters.hum"]),
        ({"tools": [{"type": "web_search", "hum": 1}]}, ["tools.hum"]),
        ({"tools": [{"type": "web_search", "filters": None, "user_location": None}]}, []),
    ],
    ids=lambda value: str(value)[:60],
)
def test_further_fields_without_effect_are_named(fields: dict[str, Any], names: list[str]) -> None:
    assert parse(**fields).ignored == names


def test_codex_names_its_conversation() -> None:
    headers = {"session-id": "s", "thread-id": "t"}
    assert parse(headers=headers).session == "t"
    assert (
        parse(headers={"session-id": "x" * 200}).session
        == parse(headers={"session-id": "x" * 200}).session
    )
    assert len(parse(headers={"session-id": "x" * 200}).session) == 64
    assert parse().session == ""


def test_earlier_items_stand_in_front() -> None:
    earlier = [{"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}]
    turn = parse_responses({"model": "m", "input": "three"}, lambda name: None, earlier)
    assert [message.role for message in turn.messages] == ["user", "assistant", "user"]
    assert len(style_of(turn).items) == 3


def _item(**fields: Any) -> dict[str, Any]:
    return {"input": [fields]}


BAD: list[tuple[dict[str, Any], str]] = [
    ({"model": None}, "model"),
    ({"text": {"format": {"type": "json_schema", "name": "x"}}}, "text.format.schema"),
    ({"input": None}, "input"),
    ({"input": []}, "input"),
    ({"input": 7}, "input"),
    ({"input": ["x"]}, "input.0"),
    (_item(type=7), "input.0.type"),
    (_item(role="wizard", content="x"), "input.0.role"),
    (_item(role="user"), "input.0.content"),
    (_item(role="user", content=[{"type": "input_text"}]), "input.0.content.0.text"),
    (
        _item(role="user", content=[{"type": "input_image", "image_url": "ftp://x.org/a.png"}]),
        "input.0.content.0.image_url",
    ),
    (
        _item(role="user", content=[{"type": "input_image", "file_id": "f"}]),
        "input.0.content.0.file_id",
    ),
    (_item(type="function_call", name="a", arguments="{}"), "input.0.call_id"),
    (_item(type="function_call", call_id="c", arguments="{}"), "input.0.name"),
    (_item(type="function_call", call_id="c", name="a", arguments=7), "input.0.arguments"),
    (_item(type="function_call_output", output="x"), "input.0.call_id"),
    (_item(type="function_call_output", call_id="c", output=7), "input.0.output"),
    (_item(type="custom_tool_call", call_id="c", name="a"), "input.0.input"),
    (_item(type="local_shell_call", call_id="c"), "input.0.action"),
    (_item(type="item_reference", id="msg_1"), "input.0"),
    (_item(type="compaction", encrypted_content="theirs"), "input.0.encrypted_content"),
    (_item(type="additional_tools", tools=[{"type": "function"}]), "input.0.tools.0.name"),
    ({"instructions": 7}, "instructions"),
    ({"stream": "yes"}, "stream"),
    ({"store": "yes"}, "store"),
    ({"tools": {}}, "tools"),
    ({"tools": [7]}, "tools.0"),
    ({"tools": [{"type": "function"}]}, "tools.0.name"),
    ({"tools": [{"type": "namespace"}]}, "tools.0.name"),
    ({"tools": [{"type": "namespace", "name": "n", "tools": [{}]}]}, "tools.0.tools.0.name"),
    ({"tools": [ECHO, ECHO]}, "tools.1.name"),
    ({"tool_choice": "sometimes"}, "tool_choice"),
    ({"tool_choice": {"type": "function", "name": "none"}}, "tool_choice.name"),
    ({"tool_choice": {"type": "local_shell"}}, "tool_choice.type"),
    (
        {"tools": [ECHO], "tool_choice": {"type": "function", "name": "echo", "namespace": "n"}},
        "tool_choice.name",
    ),
    (
        {
            "tools": [ECHO],
            "tool_choice": {"type": "allowed_tools", "tools": [{"type": "namespace", "name": "n"}]},
        },
        "tool_choice.tools.0.name",
    ),
    ({"parallel_tool_calls": 1}, "parallel_tool_calls"),
    ({"max_output_tokens": 0}, "max_output_tokens"),
    ({"reasoning": 7}, "reasoning"),
    ({"reasoning": {"summary": "long"}}, "reasoning.summary"),
    ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
    ({"include": "all"}, "include"),
    ({"metadata": []}, "metadata"),
    ({"metadata": {"a": 7}}, "metadata"),
    ({"stream_options": 7}, "stream_options"),
    ({"tools": [{"type": "web_search", "filters": []}]}, "tools.0.filters"),
    ({"tools": [{"type": "web_search", "filters": ""}]}, "tools.0.filters"),
    ({"truncation": "some"}, "truncation"),
    ({"background": True}, "background"),
    ({"conversation": "conv_1"}, "conversation"),
    ({"prompt": {"id": "p"}}, "prompt"),
    ({"top_logprobs": 3}, "top_logprobs"),
]


@pytest.mark.parametrize(("fields", "param"), BAD, ids=[f"{p}-{n}" for n, (_, p) in enumerate(BAD)])
def test_wrong_field_is_named(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(RequestError) as caught:
        parse(**fields)
    assert caught.value.kind is Kind.INVALID_REQUEST
    assert caught.value.param == param
    assert caught.value.message.startswith(param)


def test_what_cannot_be_written_again_is_refused() -> None:
    deep: Any = 1
    for _ in range(120):
        deep = [deep]
    with pytest.raises(RequestError) as caught:
        parse(metadata={"a": deep})
    assert caught.value.param == "metadata"


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-9, 9)
    | st.sampled_from(["", "x", "message", "function_call", "user", "namespace"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "type",
                    "role",
                    "content",
                    "name",
                    "tools",
                    "output",
                    "call_id",
                    "summary",
                    "action",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(
    fields=st.dictionaries(
        st.sampled_from(
            ["input", "tools", "tool_choice", "text", "reasoning", "include", "metadata"]
        ),
        JSON,
    )
)
def test_any_json_gives_a_turn_or_a_request_error(fields: dict[str, Any]) -> None:
    try:
        assert isinstance(parse(**fields), Turn)
    except RequestError as error:
        assert error.kind is Kind.INVALID_REQUEST


@pytest.mark.parametrize("name", [{"a": 1}, ["x"]])
def test_names_of_later_tools_that_are_no_strings(name: Any) -> None:
    item = {"type": "additional_tools", "tools": [{"type": "function", "name": name}]}
    with pytest.raises(RequestError) as caught:
        parse_responses_request(orjson.dumps({"model": "m", "input": [item]}), lambda _: None)
    assert caught.value.param == "input.0.tools.0.name"
