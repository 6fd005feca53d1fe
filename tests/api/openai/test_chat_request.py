"""Chat Completions requests: what they come to, and which field each 400 names."""

from __future__ import annotations

import base64
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiroproxy.api.openai.chat_request import parse_chat_request
from kiroproxy.api.openai.chat_wire import ChatStyle
from kiroproxy.api.to_kiro import build
from kiroproxy.api.turn import (
    Document,
    Image,
    Message,
    Reasoning,
    Text,
    Thinking,
    ThinkingKind,
    Tool,
    ToolChoice,
    ToolChoiceKind,
    ToolResult,
    ToolUse,
    Turn,
    WebSearch,
)
from kiroproxy.errors import Kind, RequestError
from kiroproxy.kiro.models import ModelInfo
from kiroproxy.simulator.checker import check_request
from tests.api.turns import GIF, JSON, PDF, PNG, PROPERTY

PLAIN = ModelInfo("claude-sonnet-4.5", "Claude Sonnet 4.5")
WORDS = base64.b64encode("Grüße".encode()).decode()
READ: dict[str, Any] = {
    "type": "function",
    "function": {"name": "Read", "parameters": {"type": "object"}},
}
PATCH: dict[str, Any] = {
    "type": "custom",
    "custom": {"name": "apply_patch", "description": "Patches"},
}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
CALL: dict[str, Any] = {"type": "tool_use", "id": "c", "name": "f", "input": {"a": 1}}


def parse(**fields: Any) -> Turn:
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], **fields}
    return parse_chat_request(orjson.dumps(body), lambda _: None)


def refusal(**fields: Any) -> RequestError:
    with pytest.raises(RequestError) as caught:
        parse(**fields)
    assert caught.value.kind is Kind.INVALID_REQUEST
    assert caught.value.param is None or caught.value.message.startswith(f"{caught.value.param}: ")
    return caught.value


def says(*messages: dict[str, Any]) -> list[Message]:
    return parse(messages=list(messages)).messages


def blocks(*parts: Any, role: str = "user") -> list[Any]:
    return list(says({"role": role, "content": list(parts)})[0].blocks)


def test_smallest_request() -> None:
    turn = parse()
    assert turn == Turn("m", [Message("user", [Text("hi")])], style=ChatStyle())


# -- messages ---------------------------------------------------------------------------------------


def test_system_in_front_is_the_prompt_and_later_keeps_its_place() -> None:
    turn = parse(
        messages=[
            {"role": "system", "content": "One."},
            {"role": "developer", "content": [{"type": "text", "text": "Two."}]},
            {"role": "user", "content": "hi"},
            {"role": "system", "content": "Three."},
        ]
    )
    assert turn.system == ["One.", "Two."]
    assert turn.messages == [Message("user", [Text("hi")]), Message("system", [Text("Three.")])]


def test_only_system_is_no_error() -> None:
    turn = parse(messages=[{"role": "system", "content": "Be good."}])
    assert (turn.system, turn.messages) == (["Be good."], [])
    assert build(turn, PLAIN).encode(None)


def test_tool_round() -> None:
    made = says(
        {"role": "user", "content": "go"},
        {
            "role": "assistant",
            "content": None,
            "reasoning_content": "hm",
            "tool_calls": [
                {
                    "id": "c1",
                    "type": "function",
                    "function": {"name": "Read", "arguments": '{"p": [1]}'},
                },
                {"id": "c2", "function": {"name": "Now", "arguments": ""}},
                {"id": "c3", "type": "custom", "custom": {"name": "apply_patch", "input": "*** x"}},
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "text"},
        {
            "role": "tool",
            "tool_call_id": "c2",
            "content": [
                {"type": "text", "text": "a"},
                {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
            ],
        },
    )
    assert made[1].blocks == [
        Reasoning("hm", ""),
        ToolUse("c1", "Read", {"p": [1]}),
        ToolUse("c2", "Now", {}),
        ToolUse("c3", "apply_patch", {"input": "*** x"}),
    ]
    assert made[2] == Message("user", [ToolResult("c1", [Text("text")])])
    assert made[3] == Message("user", [ToolResult("c2", [Text("a"), Image("png", PNG)])])


def test_large_numbers_of_the_past_keep_their_digits() -> None:
    arguments = '{"id": 36893488147419103233, "at": {"x": [1e99]}}'
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}
    asked = {"role": "user", "content": "hi"}
    turn = parse(messages=[asked, {"role": "assistant", "tool_calls": [call]}])
    sent = build(turn, PLAIN).encode(None)
    assert b'{"id":36893488147419103233,"at":{"x":[1e99]}}' in sent


@pytest.mark.parametrize("arguments", ["{broken", "[1]", '"x"', "null"])
def test_broken_arguments_of_the_past_are_kept_as_words(arguments: str) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}
    made = says({"role": "assistant", "tool_calls": [call]})
    assert made[0].blocks == [ToolUse("c", "f", {"input": arguments})]


def test_function_messages_answer_the_last_open_call_of_their_name() -> None:
    def call(name: str) -> dict[str, Any]:
        return {
            "role": "assistant",
            "content": None,
            "function_call": {"name": name, "arguments": "{}"},
        }

    made = says(
        call("f"),
        {"role": "function", "name": "f", "content": "1"},
        call("f"),
        {"role": "function", "name": "f", "content": "2"},
        {"role": "function", "name": "g", "content": "3"},
    )
    uses = [m.blocks[0] for m in made if m.role == "assistant"]
    results = [m.blocks[0] for m in made if m.role == "user"]
    assert all(isinstance(use, ToolUse) for use in uses)
    ids = [use.id for use in uses if isinstance(use, ToolUse)]
    assert len(set(ids)) == 2
    assert [r.tool_use_id for r in results if isinstance(r, ToolResult)][:2] == ids
    assert results[2] == ToolResult("call_function_g", [Text("3")])


def test_refusals_of_the_past_are_words() -> None:
    assert says({"role": "assistant", "content": None, "refusal": "No."})[0].blocks == [Text("No.")]
    assert blocks({"type": "refusal", "refusal": "No."}, role="assistant") == [Text("No.")]


# -- parts ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("part", "block"),
    [
        ({"type": "text", "text": "a"}, Text("a")),
        ({"type": "input_text", "text": "a"}, Text("a")),
        ({"type": "output_text", "text": "a", "annotations": []}, Text("a")),
        ("a", Text("a")),
        (
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
            Image("png", PNG),
        ),
        (
            {"type": "image_url", "image_url": f"DATA:image/gif;x=1;base64,{GIF}"},
            Image("gif", GIF),
        ),
        (
            {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}", "detail": "auto"},
            Image("png", PNG),
        ),
        (
            {
                "type": "file",
                "file": {
                    "filename": "a.pdf",
                    "file_data": f"data:application/pdf;base64,{PDF}",
                },
            },
            Document("a.pdf", "pdf", PDF),
        ),
        ({"type": "file", "file": {"file_data": PDF}}, Document("", "pdf", PDF)),
        (
            {"type": "input_file", "filename": "a.txt", "file_data": WORDS},
            Text('[document "a.txt"]\nGrüße'),
        ),
        (
            {"type": "file", "file": {"file_data": f"data:text/x-python;base64,{WORDS}"}},
            Text("Grüße"),
        ),
        (
            {"type": "file", "file": {"filename": "main.rs", "file_data": WORDS}},
            Text('[document "main.rs"]\nGrüße'),
        ),
        (
            {"type": "file", "file": {"file_data": f"data:video/mp2t;base64,{WORDS}"}},
            Text("Grüße"),
        ),
        (
            {
                "type": "image",
                "source": {"type": "base64", "media_type": "image/gif", "data": GIF},
            },
            Image("gif", GIF),
        ),
        (
            {
                "type": "document",
                "title": "T",
                "source": {"type": "base64", "media_type": "application/pdf", "data": PDF},
            },
            Document("T", "pdf", PDF),
        ),
    ],
)
def test_part(part: Any, block: Any) -> None:
    assert blocks(part) == [block]


def test_blocks_of_the_messages_api() -> None:
    """Cursor and others put them into Chat messages."""
    made = says(
        {"role": "user", "content": "hi"},
        {
            "role": "assistant",
            "reasoning_content": "Hm.",
            "content": [
                {"type": "thinking", "thinking": "Hm.", "signature": "s"},
                {"type": "text", "text": "Look:"},
                CALL,
            ],
            "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": '{"a":1}'}}],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "c",
                    "is_error": True,
                    "content": [
                        {"type": "text", "text": "no"},
                        {"type": "image_url", "image_url": {"url": f"data:image/gif;base64,{GIF}"}},
                    ],
                },
                {"type": "text", "text": "go on"},
            ],
        },
    )
    assert made[1].blocks == [Reasoning("Hm.", "s"), Text("Look:"), ToolUse("c", "f", {"a": 1})]
    result = ToolResult("c", [Text("no"), Image("gif", GIF)], is_error=True)
    assert made[2].blocks == [result, Text("go on")]


def test_unknown_parts_are_named() -> None:
    turn = parse(messages=[{"role": "user", "content": [{"type": "hologram"}, "a"]}])
    assert (turn.messages[0].blocks, turn.ignored) == ([Text("a")], ["content.hologram"])


# -- tools ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "tool",
    [
        {
            "type": "function",
            "function": {"name": "f", "description": "d", "parameters": SCHEMA},
        },
        {"type": "function", "name": "f", "description": "d", "parameters": SCHEMA},
        {"name": "f", "description": "d", "input_schema": SCHEMA},
        {"type": "custom", "name": "f", "description": "d", "input_schema": SCHEMA},
        {"type": "odd", "name": "f", "description": "d", "parameters": SCHEMA},
    ],
)
def test_every_spelling_of_a_function(tool: dict[str, Any]) -> None:
    assert parse(tools=[tool]).tools == [Tool("f", "d", SCHEMA)]


def test_function_without_parameters() -> None:
    tools = parse(tools=[{"type": "function", "function": {"name": "f"}}]).tools
    assert tools == [Tool("f", "", {"type": "object", "properties": {}})]


@pytest.mark.parametrize(
    "form",
    [
        {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: /x/"}},
        {"type": "grammar", "syntax": "lark", "definition": "start: /x/"},
    ],
)
def test_custom_tool_takes_one_text_and_shows_its_grammar(form: dict[str, Any]) -> None:
    turn = parse(tools=[{"type": "custom", "custom": {**PATCH["custom"], "format": form}}])
    (tool,) = turn.tools
    assert tool.schema["required"] == ["input"]
    assert tool.description.startswith("Patches\n\n")
    assert tool.description.endswith("(lark):\nstart: /x/")
    assert turn.style == ChatStyle(custom=frozenset({"apply_patch"}))


def test_hosted_tools_are_left_out_and_named() -> None:
    turn = parse(tools=[{"type": "file_search"}, READ], tool_choice={"type": "file_search"})
    assert [tool.name for tool in turn.tools] == ["Read"]
    assert turn.ignored == ["tool_choice", "tools.file_search"]
    assert turn.tool_choice == ToolChoice()


@pytest.mark.parametrize(
    ("tool", "search", "ignored"),
    [
        ({"type": "web_search"}, WebSearch("web_search"), []),
        ({"type": "web_search_preview", "search_context_size": "low"}, WebSearch("web_search"),
         ["tools.search_context_size"]),
        ({"type": "web_search", "web_search": {"max_uses": 2}}, WebSearch("web_search", 2), []),
        (
            {"type": "web_search_20250305", "name": "web_search", "allowed_domains": ["a.org"]},
            WebSearch("web_search", 8, ("a.org",)),
            [],
        ),
    ],
)  # fmt: skip
def test_hosted_search(tool: dict[str, Any], search: WebSearch, ignored: list[str]) -> None:
    turn = parse(tools=[tool, READ], tool_choice={"type": tool["type"]})
    assert [tool.name for tool in turn.tools] == ["Read"]
    assert (turn.web_search, turn.ignored) == (search, ignored)
    assert turn.tool_choice == ToolChoice(ToolChoiceKind.NAMED, "web_search")
    assert isinstance(turn.style, ChatStyle) and turn.style.searching
    alone = parse(tools=[tool], tool_choice="required")
    assert (alone.web_search, alone.tools) == (search, [])


def test_only_an_allowed_search_is_offered() -> None:
    tools = [READ, {"type": "web_search"}]
    allowed = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": tools[1:]}}
    turn = parse(tools=tools, tool_choice=allowed)
    assert (turn.tools, turn.web_search) == ([], WebSearch("web_search"))
    allowed["allowed_tools"] = {"mode": "auto", "tools": tools[:1]}
    turn = parse(tools=tools, tool_choice=allowed)
    assert ([tool.name for tool in turn.tools], turn.web_search) == (["Read"], None)


def test_search_options() -> None:
    assert parse(web_search_options={}).web_search == WebSearch("web_search")
    told = parse(web_search_options={"search_context_size": "high", "user_location": None})
    assert told.ignored == ["web_search_options.search_context_size"]
    assert parse(web_search_options=None).web_search is None
    with pytest.raises(RequestError) as caught:
        parse(web_search_options=True)
    assert caught.value.param == "web_search_options"


def test_own_function_called_web_search_stays_one() -> None:
    own = {"type": "function", "function": {"name": "web_search"}}
    turn = parse(tools=[own], web_search_options={})
    assert [tool.name for tool in turn.tools] == ["web_search"]
    assert (turn.web_search, turn.ignored) == (None, ["tools.web_search"])
    with pytest.raises(RequestError) as caught:
        parse(tools=[{"type": "web_search", "max_uses": "many"}])
    assert caught.value.param == "tools.0.max_uses"


@pytest.mark.parametrize(
    ("choice", "kind", "name"),
    [
        (None, ToolChoiceKind.AUTO, ""),
        ("auto", ToolChoiceKind.AUTO, ""),
        ("none", ToolChoiceKind.NONE, ""),
        ("required", ToolChoiceKind.ANY, ""),
        ({"type": "any"}, ToolChoiceKind.ANY, ""),
        ({"type": "function", "function": {"name": "Read"}}, ToolChoiceKind.NAMED, "Read"),
        ({"type": "function", "name": "Read"}, ToolChoiceKind.NAMED, "Read"),
        ({"type": "tool", "name": "Read"}, ToolChoiceKind.NAMED, "Read"),
        (
            {"type": "custom", "custom": {"name": "apply_patch"}},
            ToolChoiceKind.NAMED,
            "apply_patch",
        ),
    ],
)
def test_tool_choice(choice: Any, kind: ToolChoiceKind, name: str) -> None:
    turn = parse(tools=[READ, PATCH], tool_choice=choice)
    assert turn.tool_choice == ToolChoice(kind, name)
    assert len(turn.tools) == 2


@pytest.mark.parametrize("nested", [True, False])
def test_allowed_tools_take_the_others_away(nested: bool) -> None:
    allowed = {"mode": "required", "tools": [{"type": "custom", "custom": {"name": "apply_patch"}}]}
    choice = {"type": "allowed_tools", **({"allowed_tools": allowed} if nested else allowed)}
    turn = parse(tools=[READ, PATCH], tool_choice=choice)
    assert turn.tool_choice == ToolChoice(ToolChoiceKind.ANY)
    assert [tool.name for tool in turn.tools] == ["apply_patch"]


def test_parallel_calls() -> None:
    assert parse(tools=[READ]).parallel_tools
    assert parse(tools=[READ], parallel_tool_calls=True).parallel_tools
    assert not parse(tools=[READ], parallel_tool_calls=False).parallel_tools


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (None, ToolChoice()),
        ("none", ToolChoice(ToolChoiceKind.NONE)),
        ({"name": "f"}, ToolChoice(ToolChoiceKind.NAMED, "f")),
    ],
)
def test_legacy_functions(choice: Any, expected: ToolChoice) -> None:
    turn = parse(functions=[{"name": "f", "parameters": SCHEMA}], function_call=choice)
    assert turn.tools == [Tool("f", "", SCHEMA)]
    assert turn.tool_choice == expected
    assert (turn.style, turn.parallel_tools) == (ChatStyle(legacy=True), False)


# -- options ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "schema"),
    [
        (None, None),
        ({"type": "text"}, None),
        ({"type": "json_object"}, {"type": "object"}),
        ({"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}, SCHEMA),
        ({"type": "json_schema", "json_schema": {"name": "x"}}, {"type": "object"}),
        ({"type": "json_schema", "name": "x", "schema": SCHEMA, "strict": True}, SCHEMA),
        (
            {"type": "json_schema", "json_schema": {"schema": SCHEMA, "description": "d"}},
            {**SCHEMA, "description": "d"},
        ),
        (
            {"type": "json_schema", "json_schema": {"name": "x", "description": "d"}},
            {"type": "object", "description": "d"},
        ),
    ],
)
def test_response_format(form: Any, schema: Any) -> None:
    assert parse(response_format=form).output_schema == schema


@pytest.mark.parametrize(
    ("fields", "thinking"),
    [
        ({}, Thinking()),
        ({"reasoning_effort": "none"}, Thinking()),
        ({"reasoning_effort": "minimal"}, Thinking(ThinkingKind.ADAPTIVE, effort="low")),
        ({"reasoning_effort": "xhigh"}, Thinking(ThinkingKind.ADAPTIVE, effort="xhigh")),
        ({"reasoning": {"effort": "high"}}, Thinking(ThinkingKind.ADAPTIVE, effort="high")),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 15_999}},
            Thinking(ThinkingKind.BUDGET, 15_999),
        ),
        ({"model": "claude-sonnet-4-5-thinking"}, Thinking(ThinkingKind.ADAPTIVE)),
        ({"model": "claude-sonnet-4-5-thinking", "reasoning_effort": "none"}, Thinking()),
    ],
)
def test_thinking(fields: dict[str, Any], thinking: Thinking) -> None:
    assert parse(**fields).thinking == thinking


@pytest.mark.parametrize(
    ("stop", "sequences"),
    [(None, ()), ("", ()), ("a", ("a",)), (["a", "", "b"], ("a", "b"))],
)
def test_stop(stop: Any, sequences: tuple[str, ...]) -> None:
    assert parse(stop=stop).stop_sequences == sequences


def test_limits() -> None:
    assert parse(max_tokens=5).max_tokens == 5
    assert parse(max_tokens=5, max_completion_tokens=3).max_tokens == 3
    assert parse().max_tokens is None


def test_usage_is_only_streamed_when_asked_for() -> None:
    assert parse(stream=True, stream_options={"include_usage": True}).style == ChatStyle(True)
    assert parse(stream=True, stream_options={}).style == ChatStyle()


def test_fields_without_effect_are_named() -> None:
    turn = parse(
        temperature=0,
        top_p=0.5,
        seed=7,
        user="me",
        logit_bias={"1": 2},
        metadata={"a": "b"},
        reasoning_effort="ultra",
        tools=[{**READ, "function": {**READ["function"], "strict": True}}],
        stream_options={"hum": True},
        some_new_field=1,
    )
    assert turn.ignored == [
        "logit_bias",
        "metadata",
        "reasoning_effort",
        "seed",
        "some_new_field",
        "stream_options.hum",
        "temperature",
        "tools.strict",
        "top_p",
        "user",
    ]


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"modalities": ["text", "image"]}, ["modalities"]),
        ({"stream_options": {"include_obfuscation": True}}, ["stream_options.include_obfuscation"]),
        ({"stream_options": {"hum": None}, "reasoning": {"hum": None}}, []),
        (
            {"tools": [{"type": "custom", "custom": {"name": "a", "format": {"type": "regex"}}}]},
            ["tools.format"],
        ),
        ({"tools": [{"type": "custom", "custom": {"name": "a", "format": {"type": "text"}}}]}, []),
    ],
    ids=lambda value: str(value)[:40],
)
def test_further_fields_without_effect_are_named(fields: dict[str, Any], names: list[str]) -> None:
    assert parse(**fields).ignored == names


@pytest.mark.parametrize(
    ("message", "names"),
    [
        ({"role": "user", "content": "a", "hum": 1, "tool_calls": None}, ["messages.hum"]),
        ({"role": "user", "content": "a", "tool_calls": [{"id": "c"}]}, ["messages.tool_calls"]),
        ({"role": "tool", "tool_call_id": "c", "content": "a", "hum": 1}, ["messages.hum"]),
        ({"role": "system", "content": "a", "refusal": "b"}, ["messages.refusal"]),
        (
            {"role": "assistant", "content": "a", "refusal": None, "annotations": [{}], "audio": None,
             "function_call": None, "tool_calls": None, "reasoning_content": "b"},
            [],
        ),
        ({"role": "assistant", "content": "a", "hum": [1]}, ["messages.hum"]),
    ],
)  # fmt: skip
def test_keys_of_a_message_that_nobody_reads_are_named(
    message: dict[str, Any], names: list[str]
) -> None:
    assert parse(messages=[{"role": "user", "content": "hi"}, message]).ignored == names


def test_defaults_said_aloud_are_not_named() -> None:
    turn = parse(
        n=1, temperature=1, top_p=1, presence_penalty=0, frequency_penalty=0, logprobs=False,
        top_logprobs=None, logit_bias={}, store=False, service_tier="auto", modalities=["text"],
        stream_options={"include_usage": False, "include_obfuscation": False}, tool_choice="auto",
    )  # fmt: skip
    assert turn.ignored == []


# -- what is refused --------------------------------------------------------------------------------


def _content(part: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [part]}]}


def _assistant(**fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": "assistant", **fields}]}


def _image(url: Any) -> dict[str, Any]:
    return _content({"type": "image_url", "image_url": {"url": url}})


def test_content_by_url_waits_to_be_fetched() -> None:
    picture = {"type": "image_url", "image_url": {"url": "https://x/a.png"}}
    paper = {"type": "input_file", "filename": "a.pdf", "file_url": "http://x/a.pdf"}
    turn = parse(messages=[{"role": "user", "content": [picture, paper]}])
    assert turn.messages[0].blocks == [Image("", ""), Document("a.pdf", "pdf", "")]
    assert [(item.path, item.url) for item in turn.unfinished] == [
        (("messages", 0, "content", 0, "image_url", "url"), "https://x/a.png"),
        (("messages", 0, "content", 1, "file_url"), "http://x/a.pdf"),
    ]
    blocks = turn.messages[0].blocks
    assert all(item.block is block for item, block in zip(turn.unfinished, blocks, strict=True))


AT = "messages.0.content.0"
CALLS = "messages.0.tool_calls.0"
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no model": ({"model": None}, "model"),
    "empty model": ({"model": ""}, "model"),
    "no messages": ({"messages": None}, "messages"),
    "empty messages": ({"messages": []}, "messages"),
    "message": ({"messages": ["hi"]}, "messages.0"),
    "role": ({"messages": [{"role": "wizard", "content": "x"}]}, "messages.0.role"),
    "no content": ({"messages": [{"role": "user"}]}, "messages.0.content"),
    "content": ({"messages": [{"role": "user", "content": 1}]}, "messages.0.content"),
    "part": (_content(1), AT),
    "part type": (_content({}), f"{AT}.type"),
    "text": (_content({"type": "text", "text": 1}), f"{AT}.text"),
    "image in system": (
        {"messages": [{"role": "system", "content": [
            {"type": "image_url", "image_url": f"data:image/png;base64,{PNG}"}]}]},
        "messages.0.content.0",
    ),
    "no image": (_content({"type": "image_url"}), f"{AT}.image_url"),
    "image by URL": (_image("ftp://example.org/a.png"), f"{AT}.image_url.url"),
    "image by id": (_content({"type": "input_image", "file_id": "f"}), f"{AT}.file_id"),
    "image without base64": (_image("data:image/png,abc"), f"{AT}.image_url.url"),
    "image of another kind": (_image(f"data:image/png;base64,{GIF}"), f"{AT}.image_url.url"),
    "image type": (_image("data:image/tiff;base64,AAAA"), f"{AT}.image_url.url"),
    "image data": (_image("data:image/png;base64,%%%"), f"{AT}.image_url.url"),
    "audio": (_content({"type": "input_audio", "input_audio": {}}), AT),
    "file by id": (_content({"type": "file", "file": {"file_id": "f"}}), f"{AT}.file.file_id"),
    "file by URL": (_content({"type": "input_file", "file_url": "file:///x"}), f"{AT}.file_url"),
    "no file": (_content({"type": "file", "file": {}}), f"{AT}.file.file_data"),
    "file type": (
        _content({"type": "file", "file": {"file_data": "data:video/mp4;base64,AAAA"}}),
        f"{AT}.file.file_data",
    ),
    "no PDF": (
        _content({"type": "file", "file": {"filename": "a.pdf", "file_data": WORDS}}),
        f"{AT}.file.file_data",
    ),
    "no text": (
        _content({"type": "file", "file": {"filename": "a.py", "file_data": "AAAA"}}),
        f"{AT}.file.file_data",
    ),
    "no UTF-8": (
        _content({"type": "file", "file": {"filename": "a.py", "file_data": "////"}}),
        f"{AT}.file.file_data",
    ),
    "call in a tool's content": (
        {"messages": [{"role": "tool", "tool_call_id": "c", "content": [{**CALL}]}]},
        "messages.0.content.0",
    ),
    "result without id": (_content({"type": "tool_result", "content": "x"}), f"{AT}.tool_use_id"),
    "call with a list": (_content({**CALL, "input": []}), f"{AT}.input"),
    "calls": (_assistant(tool_calls={}), "messages.0.tool_calls"),
    "call": (_assistant(tool_calls=[1]), CALLS),
    "call id": (_assistant(tool_calls=[{"function": {"name": "f"}}]), f"{CALLS}.id"),
    "call type": (_assistant(tool_calls=[{"id": "c", "type": "odd"}]), f"{CALLS}.type"),
    "call function": (_assistant(tool_calls=[{"id": "c"}]), f"{CALLS}.function"),
    "call name": (
        _assistant(tool_calls=[{"id": "c", "function": {"arguments": "{}"}}]),
        f"{CALLS}.function.name",
    ),
    "call arguments": (
        _assistant(tool_calls=[{"id": "c", "function": {"name": "f", "arguments": {}}}]),
        f"{CALLS}.function.arguments",
    ),
    "custom input": (
        _assistant(tool_calls=[{"id": "c", "type": "custom", "custom": {"name": "f"}}]),
        f"{CALLS}.custom.input",
    ),
    "function call": (_assistant(function_call={}), "messages.0.function_call.name"),
    "result id": ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.tool_call_id"),
    "result name": ({"messages": [{"role": "function", "content": "x"}]}, "messages.0.name"),
    "stream": ({"stream": "yes"}, "stream"),
    "stream options": ({"stream_options": 1}, "stream_options"),
    "include usage": ({"stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
    "tools": ({"tools": {}}, "tools"),
    "tool": ({"tools": [1]}, "tools.0"),
    "tool type": ({"tools": [{}]}, "tools.0.type"),
    "tool name": ({"tools": [{"type": "function", "function": {}}]}, "tools.0.function.name"),
    "tool description": (
        {"tools": [{"type": "function", "function": {"name": "f", "description": 1}}]},
        "tools.0.function.description",
    ),
    "tool parameters": (
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": []}}]},
        "tools.0.function.parameters",
    ),
    "tool twice": ({"tools": [READ, READ]}, "tools.1.function.name"),
    "grammar": (
        {"tools": [{"type": "custom", "name": "f", "format": {"type": "grammar"}}]},
        "tools.0.format.definition",
    ),
    "choice": ({"tools": [READ], "tool_choice": "maybe"}, "tool_choice"),
    "choice type": ({"tools": [READ], "tool_choice": {"type": "odd"}}, "tool_choice.type"),
    "choice name": (
        {"tools": [READ], "tool_choice": {"type": "function", "function": {"name": "f"}}},
        "tool_choice.function.name",
    ),
    "choice without tools": ({"tool_choice": "required"}, "tool_choice"),
    "allowed": (
        {"tools": [READ], "tool_choice": {"type": "allowed_tools", "tools": [{"name": "f"}]}},
        "tool_choice.tools.0.name",
    ),
    "parallel": ({"parallel_tool_calls": "no"}, "parallel_tool_calls"),
    "functions": ({"functions": [{}]}, "functions.0.name"),
    "function choice": (
        {"functions": [{"name": "f"}], "function_call": {"name": "g"}},
        "function_call.name",
    ),
    "format": ({"response_format": "json"}, "response_format"),
    "format type": ({"response_format": {"type": "xml"}}, "response_format.type"),
    "schema": (
        {"response_format": {"type": "json_schema"}},
        "response_format.json_schema",
    ),
    "no schema": (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": 1}}},
        "response_format.json_schema.schema",
    ),
    "stop": ({"stop": 1}, "stop"),
    "stop item": ({"stop": ["a", 1]}, "stop.1"),
    "stops": ({"stop": ["a"] * 257}, "stop"),
    "max_tokens": ({"max_tokens": 0}, "max_tokens"),
    "max_completion_tokens": ({"max_completion_tokens": "9"}, "max_completion_tokens"),
    "both limits": ({"max_completion_tokens": 9, "max_tokens": -1}, "max_tokens"),
    "n": ({"n": 2}, "n"),
    "n of another type": ({"n": "1"}, "n"),
    "logprobs": ({"logprobs": True}, "logprobs"),
    "top_logprobs": ({"top_logprobs": 3}, "top_logprobs"),
    "audio out": ({"audio": {"voice": "alloy"}}, "audio"),
    "modalities": ({"modalities": ["text", "audio"]}, "modalities"),
    "effort": ({"reasoning_effort": 3}, "reasoning_effort"),
    "reasoning": ({"reasoning": "high"}, "reasoning"),
    "thinking": ({"thinking": {"type": "enabled", "budget_tokens": 0}}, "thinking.budget_tokens"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_wrong_field_is_named(case: str) -> None:
    fields, param = WRONG[case]
    assert refusal(**fields).param == param


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"\xff"])
def test_no_json_object(body: bytes) -> None:
    with pytest.raises(RequestError):
        parse_chat_request(body, lambda _: None)


# -- whatever comes ---------------------------------------------------------------------------------

_KEYS = st.sampled_from(
    [
        "model", "messages", "stream", "stream_options", "tools", "tool_choice", "functions",
        "function_call", "response_format", "stop", "n", "thinking", "reasoning", "modalities",
    ]
)  # fmt: skip


@PROPERTY
@given(st.dictionaries(_KEYS, JSON))
def test_any_body_is_a_turn_or_a_request_error(fields: dict[str, Any]) -> None:
    try:
        parse(**fields)
    except RequestError as error:
        assert error.message


_CALL = st.fixed_dictionaries(
    {
        "id": st.text(min_size=1, max_size=3),
        "type": st.just("function"),
        "function": st.fixed_dictionaries(
            {"name": st.text(min_size=1, max_size=3), "arguments": st.text(max_size=4)}
        ),
    }
)
_MESSAGE = st.one_of(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "system", "developer"]), "content": st.text(max_size=4)}
    ),
    st.fixed_dictionaries(
        {
            "role": st.just("assistant"),
            "content": st.none() | st.text(max_size=4),
            "tool_calls": st.lists(_CALL, max_size=2),
        }
    ),
    st.fixed_dictionaries(
        {
            "role": st.just("tool"),
            "tool_call_id": st.text(min_size=1, max_size=3),
            "content": st.text(max_size=4),
        }
    ),
)


@PROPERTY
@given(st.lists(_MESSAGE, min_size=1, max_size=6))
def test_any_conversation_becomes_a_request_the_service_takes(messages: list[Any]) -> None:
    request = build(parse(messages=messages), PLAIN)
    assert [str(v) for v in check_request(request.encode(None, reasoning=False))] == []


# -- a Responses body on this route -----------------------------------------------------------------


def parse_input(**fields: Any) -> Turn:
    return parse_chat_request(orjson.dumps({"model": "m", **fields}), lambda _: None)


def test_responses_body_is_converted() -> None:
    turn = parse_input(
        input=[
            {"role": "system", "content": "Be good."},
            {"role": "user", "content": [{"type": "input_text", "text": "hi"}]},
            {"type": "custom_tool_call", "call_id": "c", "name": "ApplyPatch", "input": "*** x"},
            {"type": "custom_tool_call_output", "call_id": "c", "output": "done"},
        ],
        tools=[
            {"type": "function", "name": "Read", "parameters": SCHEMA},
            {"type": "custom", "name": "ApplyPatch", "format": {"type": "text"}},
        ],
        stream=True,
        stream_options={"include_usage": True},
        reasoning={"effort": "high"},
    )
    assert [tool.name for tool in turn.tools] == ["Read", "ApplyPatch"]
    assert turn.messages[0] == Message("user", [Text("hi")])
    assert turn.thinking.effort == "high"
    assert turn.style == ChatStyle(
        include_usage=True, custom=frozenset({"ApplyPatch"}), custom_as_function=True
    )


def test_responses_body_is_checked_in_its_own_words() -> None:
    for fields, param in (
        ({"input": []}, "input"),
        ({"input": "hi", "previous_response_id": "resp_1"}, "previous_response_id"),
        ({"input": "hi", "stream_options": 1}, "stream_options"),
    ):
        with pytest.raises(RequestError) as caught:
            parse_input(**fields)
        assert caught.value.param == param


def test_responses_body_may_have_empty_messages() -> None:
    assert parse(messages=[], input="hi").messages == [Message("user", [Text("hi")])]


# -- two ways to say one thing ----------------------------------------------------------------------


def test_empty_functions_beside_tools_do_not_make_calls_legacy() -> None:
    turn = parse(functions=[], tools=[READ], tool_choice="required")
    assert turn.style == ChatStyle()
    assert turn.parallel_tools
    assert turn.tool_choice.kind is ToolChoiceKind.ANY


def test_what_the_other_way_leaves_unread_is_named() -> None:
    older = {"functions": [{"name": "f"}], "function_call": {"name": "f"}}
    turn = parse(tools=[READ], **older)
    assert turn.style == ChatStyle()
    assert [tool.name for tool in turn.tools] == ["Read"]
    assert turn.ignored == ["function_call", "functions"]
    turn = parse(tools=[], tool_choice="required", parallel_tool_calls=True, **older)
    assert turn.style == ChatStyle(legacy=True)
    assert turn.ignored == ["parallel_tool_calls", "tool_choice"]


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"reasoning": {"effort": "high", "max_tokens": 2000}}, ["reasoning.max_tokens"]),
        ({"reasoning": {"enabled": True, "exclude": False}}, ["reasoning.enabled"]),
        ({"reasoning_effort": "low", "reasoning": {"effort": "high"}}, ["reasoning"]),
        ({"reasoning_effort": "low", "thinking": {"type": "disabled"}}, ["thinking"]),
    ],
)
def test_reasoning_and_search_without_effect_are_named(
    fields: dict[str, Any], names: list[str]
) -> None:
    assert parse(**fields).ignored == names


def test_file_of_no_type_is_known_by_its_name() -> None:
    url = f"data:application/octet-stream;base64,{WORDS}"
    part = {"type": "file", "file": {"filename": "notes.md", "file_data": url}}
    assert blocks(part)[0].text.endswith("Grüße")


@pytest.mark.parametrize("kind", [{"a": 1}, ["text"], 1, True])
def test_type_of_a_part_that_is_no_string(kind: Any) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": [{"type": kind, "text": "x"}]}]}
    with pytest.raises(RequestError) as caught:
        parse_chat_request(orjson.dumps(body), lambda _: None)
    assert caught.value.param == "messages.0.content.0.type"
