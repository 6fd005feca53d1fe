"""Messages requests: what they come to, and the 400s of the dialect."""

import base64
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiroproxy.api.anthropic.request import parse_count_tokens, parse_messages_request
from kiroproxy.api.to_kiro import build
from kiroproxy.api.tokens import IMAGE_TOKENS, estimate_turn
from kiroproxy.api.turn import (
    Document,
    Image,
    Reasoning,
    RedactedReasoning,
    Text,
    Thinking,
    ThinkingKind,
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
from tests.api.turns import GIF, JSON, PDF, PNG, PROPERTY, WEBP

SESSION = "3f2b8c1e-5a77-4f0e-9f0b-0b6f4f1f2a10"
PLAIN = ModelInfo("claude-sonnet-4.5", "Claude Sonnet 4.5")


def parse(headers: dict[str, str] | None = None, **fields: Any) -> Turn:
    body = {
        "model": "m",
        "max_tokens": 9,
        "messages": [{"role": "user", "content": "hi"}],
        **fields,
    }
    return parse_messages_request(orjson.dumps(body), (headers or {}).get)


def parse_blocks(*blocks: Any, role: str = "user") -> list[Any]:
    """The neutral blocks of one message."""
    return list(parse(messages=[{"role": role, "content": list(blocks)}]).messages[0].blocks)


def refusal(**fields: Any) -> RequestError:
    with pytest.raises(RequestError) as caught:
        parse(**fields)
    assert caught.value.kind is Kind.INVALID_REQUEST
    assert caught.value.param is None or caught.value.message.startswith(f"{caught.value.param}: ")
    return caught.value


# --- the whole body ---


def test_parse_smallest_request() -> None:
    assert parse() == Turn("m", parse().messages, max_tokens=9)
    assert parse().messages[0].blocks == [Text("hi")]


def test_zero_tokens_are_refused_with_the_reason() -> None:
    assert "prompt cache" in refusal(max_tokens=0).message


def test_large_numbers_of_the_past_keep_their_digits() -> None:
    use = {"type": "tool_use", "id": "t", "name": "f", "input": {"n": "LARGE", "x": 1.5}}
    messages = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": [use]}]
    body = orjson.dumps({"model": "m", "max_tokens": 9, "messages": messages})
    body = body.replace(b'"LARGE"', b"36893488147419103233")
    for turn in (parse_messages_request(body, lambda _: None), parse_count_tokens(body)):
        (made,) = turn.messages[1].blocks
        assert isinstance(made, ToolUse)
        assert orjson.dumps(made.input) == b'{"n":36893488147419103233,"x":1.5}'


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"7", b"\xff", b"null", b'{"a":NaN}'])
def test_parse_body_that_is_no_json_object(body: bytes) -> None:
    with pytest.raises(RequestError, match=r"^The request body ") as caught:
        parse_messages_request(body, {}.get)
    assert caught.value.kind is Kind.INVALID_REQUEST


def test_parse_endless_nesting_is_refused() -> None:
    with pytest.raises(RequestError, match="not valid JSON"):
        parse_messages_request(b"[" * 200_000, {}.get)


@pytest.mark.parametrize(
    ("text", "repaired"),
    [
        (rb"a\ud83d", "a�"),
        (rb"\ude00b", "�b"),
        (rb"\ud83d\ud83d\ude00", "�\U0001f600"),
        (rb"\\ud83d \ud83d", "\\ud83d �"),
    ],
)
def test_parse_half_surrogates_become_replacement_characters(text: bytes, repaired: str) -> None:
    body = b'{"model":"m","messages":[{"role":"user","content":"' + text + b'"}]}'
    [block] = parse_messages_request(body, {}.get).messages[0].blocks
    assert block == Text(repaired)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": None}, "model"),
        ({"model": ""}, "model"),
        ({"model": 5}, "model"),
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": {}}, "messages"),
        ({"messages": ["hi"]}, "messages.0"),
        ({"messages": [{"content": "hi"}]}, "messages.0.role"),
        ({"messages": [{"role": "tool", "content": "hi"}]}, "messages.0.role"),
        ({"messages": [{"role": [], "content": "hi"}]}, "messages.0.role"),
        ({"messages": [{"role": "user"}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages.0.content"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"max_tokens": "5"}, "max_tokens"),
        ({"stream": 1}, "stream"),
        ({"system": 5}, "system"),
        ({"system": ["x"]}, "system.0"),
        ({"system": [{"type": "image"}]}, "system.0.type"),
        ({"system": [{"type": "text", "text": 5}]}, "system.0.text"),
        ({"stop_sequences": "x"}, "stop_sequences"),
        ({"stop_sequences": ["x", 5]}, "stop_sequences.1"),
        ({"stop_sequences": ["x"] * 257}, "stop_sequences"),
        ({"thinking": True}, "thinking"),
        ({"thinking": {}}, "thinking.type"),
        ({"thinking": {"type": "enabled", "budget_tokens": "5"}}, "thinking.budget_tokens"),
        ({"thinking": {"type": "adaptive", "display": 5}}, "thinking.display"),
        ({"output_config": "low"}, "output_config"),
        ({"output_config": {"effort": 5}}, "output_config.effort"),
        ({"output_config": {"format": {"type": "xml"}}}, "output_config.format.type"),
        ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema"),
        ({"output_format": {"type": "json_schema", "schema": []}}, "output_format.schema"),
        ({"metadata": "x"}, "metadata"),
        ({"metadata": {"user_id": 5}}, "metadata.user_id"),
        ({"tools": {}}, "tools"),
        ({"tools": [5]}, "tools.0"),
        ({"tools": [{"name": 5}]}, "tools.0.name"),
        ({"tools": [{"name": "a", "description": 5}]}, "tools.0.description"),
        ({"tools": [{"name": "a", "input_schema": "x"}]}, "tools.0.input_schema"),
        ({"tools": [{"name": "a"}, {"name": "a"}]}, "tools.1.name"),
        ({"tools": [{"type": "web_search_1", "max_uses": 0}]}, "tools.0.max_uses"),
        ({"tools": [{"type": "web_search_1", "allowed_domains": 1}]}, "tools.0.allowed_domains"),
        (
            {"tools": [{"type": "web_search_1", "blocked_domains": [""]}]},
            "tools.0.blocked_domains.0",
        ),
        (
            {"tools": [{"name": "web_search", "input_schema": {}}, {"type": "web_search_1"}]},
            "tools.1.name",
        ),
        ({"tool_choice": "auto"}, "tool_choice"),
        ({"tool_choice": {"type": "some"}}, "tool_choice.type"),
        ({"tool_choice": {"type": "tool", "name": "x"}}, "tool_choice.name"),
    ],
)
def test_parse_wrong_field_is_named(fields: dict[str, Any], param: str) -> None:
    assert refusal(**fields).param == param


def image(data: object = PNG, media_type: object = "image/png", kind: str = "base64") -> Any:
    return {"type": "image", "source": {"type": kind, "media_type": media_type, "data": data}}


def document(**source: Any) -> Any:
    return {"type": "document", "title": "T", "source": source}


@pytest.mark.parametrize(
    ("block", "param"),
    [
        (5, ""),
        ({}, ".type"),
        ({"type": "text"}, ".text"),
        ({"type": "image"}, ".source"),
        ({"type": "image", "source": {}}, ".source.type"),
        (image(kind="else"), ".source.type"),
        (image(data="%%%"), ".source.data"),
        (image(data=PNG[:-1]), ".source.data"),
        (image(data="=" + PNG[1:]), ".source.data"),
        (image(data="é"), ".source.data"),
        (image(data=""), ".source.data"),
        (image(data=5), ".source.data"),
        (image(data="AAAA"), ".source.data"),
        (image(data=GIF), ".source.media_type"),
        (image(media_type="image/tiff"), ".source.media_type"),
        (image(media_type=None), ".source.media_type"),
        ({"type": "image", "source": {"type": "url", "url": "ftp://x/y.png"}}, ".source.url"),
        ({"type": "image", "source": {"type": "url"}}, ".source.url"),
        ({"type": "image", "source": {"type": "url", "url": "data:text/plain,hi"}}, ".source.url"),
        ({"type": "image", "source": {"type": "file", "file_id": "f"}}, ".source"),
        (document(type="base64", media_type="application/pdf", data="AAAA"), ".source.data"),
        (document(type="base64", media_type="application/zip", data="AAAA"), ".source.media_type"),
        (document(type="base64", media_type="text/plain", data="/w=="), ".source.data"),
        (document(type="url", url="file:///etc/passwd"), ".source.url"),
        (document(type="url", url="https://x/" + "y" * 8192), ".source.url"),
        (document(type="url", url=f"data:text/plain;base64,{PDF}"), ".source.url"),
        (document(type="file", file_id="f"), ".source"),
        (document(type="else"), ".source.type"),
        (document(type="text"), ".source.data"),
        (document(type="content", content=5), ".source.content"),
        ({"type": "thinking"}, ".thinking"),
        ({"type": "thinking", "thinking": "x", "signature": 5}, ".signature"),
        ({"type": "redacted_thinking"}, ".data"),
        ({"type": "tool_use", "name": "a", "input": {}}, ".id"),
        ({"type": "tool_use", "id": "a", "input": {}}, ".name"),
        ({"type": "tool_use", "id": "a", "name": "a", "input": "{}"}, ".input"),
        ({"type": "tool_result", "content": "x"}, ".tool_use_id"),
        ({"type": "tool_result", "tool_use_id": "a", "is_error": "no"}, ".is_error"),
        ({"type": "tool_result", "tool_use_id": "a", "content": 5}, ".content"),
        (
            {"type": "tool_result", "tool_use_id": "a", "content": [image(data="%%%")]},
            ".content.0.source.data",
        ),
        (
            {
                "type": "tool_result",
                "tool_use_id": "a",
                "content": [{"type": "thinking", "thinking": ""}],
            },
            ".content",
        ),
        ({"type": "tool_reference"}, ".tool_name"),
        ({"type": "search_result", "content": 5}, ".content"),
    ],
)
def test_parse_wrong_block_is_named(block: Any, param: str) -> None:
    messages = [{"role": "user", "content": "a"}, {"role": "user", "content": ["x", block][1:]}]
    assert refusal(messages=messages).param == f"messages.1.content.0{param}"


def test_parse_message_reads_as_a_sentence() -> None:
    messages = [{"role": "user", "content": [image(data="%%%")]}]
    assert refusal(messages=messages).message == (
        "messages.0.content.0.source.data: must be valid base64"
    )


def test_parse_too_large_image_is_refused() -> None:
    data = base64.b64encode(base64.b64decode(PNG) + bytes(20_000_000)).decode()
    assert refusal(messages=[{"role": "user", "content": [image(data=data)]}]).message.endswith(
        "an image must not be larger than 20 MB"
    )


def nested(levels: int) -> bytes:
    """Objects in objects, as JSON; written here since orjson writes 254 levels at most."""
    return b'{"a":' * levels + b"1" + b"}" * levels


@pytest.mark.parametrize("levels", [101, 400, 900])
def test_parse_deep_free_form_json_is_refused(levels: int) -> None:
    call = b'{"type":"tool_use","id":"a","name":"a","input":%s}' % nested(levels)
    tool = b'{"name":"a","input_schema":%s}' % nested(levels)
    for content, tools in ((call, b""), (b'{"type":"text","text":"x"}', tool)):
        body = b'{"model":"m","messages":[{"role":"user","content":[%s]}],"tools":[%s]}'
        with pytest.raises(RequestError, match="deeper than 100"):
            parse_messages_request(body % (content, tools), {}.get)


def test_parse_deepest_allowed_input_makes_a_request() -> None:
    call = {"type": "tool_use", "id": "a", "name": "a", "input": orjson.loads(nested(100))}
    turn = parse(messages=[{"role": "assistant", "content": [call]}])
    assert check_request(build(turn, PLAIN).encode(None)) == []


def test_parse_deep_server_results_are_not_shown() -> None:
    content = b'{"type":"mcp_tool_result","content":%s}' % nested(400)
    body = b'{"model":"m","messages":[{"role":"user","content":[%s]}]}' % content
    [block] = parse_messages_request(body, {}.get).messages[0].blocks
    assert block == Text("[mcp_tool_result] (nested too deeply to be shown)")


def test_parse_results_in_results_end_with_an_error() -> None:
    block: Any = {"type": "text", "text": "x"}
    for _ in range(80):
        block = {"type": "tool_result", "tool_use_id": "a", "content": [block]}
    refusal(messages=[{"role": "user", "content": [block]}])


# --- blocks ---


def test_parse_content_as_string_or_list_is_the_same() -> None:
    assert parse_blocks({"type": "text", "text": "hi"}) == [Text("hi")]


def test_parse_roles() -> None:
    roles = ["system", "user", "developer", "assistant", "system"]
    turn = parse(messages=[{"role": role, "content": "x"} for role in roles])
    assert [m.role for m in turn.messages] == ["system", "user", "system", "assistant", "system"]


def test_parse_images() -> None:
    url = {"type": "image", "source": {"type": "url", "url": f"data:image/gif;base64,{GIF}"}}
    wrapped = image(data=PNG[:20] + "\r\n" + PNG[20:])
    jpg = image(media_type="image/webp", data=WEBP)
    assert parse_blocks(url, wrapped, jpg) == [
        Image("gif", GIF),
        Image("png", PNG),
        Image("webp", WEBP),
    ]


def test_content_by_url_waits_to_be_fetched() -> None:
    picture = {"type": "image", "source": {"type": "url", "url": "https://x/y.png?s=1"}}
    paper = document(type="url", url="HTTP://x/y.pdf") | {"title": "Paper"}
    result = {"type": "tool_result", "tool_use_id": "t", "content": [picture]}
    turn = parse(messages=[{"role": "user", "content": [picture, paper, result, image()]}])
    first, second, third, fourth = turn.messages[0].blocks
    assert (first, second, fourth) == (
        Image("", ""),
        Document("Paper", "pdf", ""),
        Image("png", PNG),
    )
    assert isinstance(third, ToolResult)
    at = ("messages", 0, "content")
    assert [(item.path, item.url) for item in turn.unfinished] == [
        ((*at, 0, "source", "url"), "https://x/y.png?s=1"),
        ((*at, 1, "source", "url"), "HTTP://x/y.pdf"),
        ((*at, 2, "content", 0, "source", "url"), "https://x/y.png?s=1"),
    ]
    # What is filled in later stands in the conversation.
    assert [item.block for item in turn.unfinished] == [first, second, third.content[0]]
    assert turn.unfinished[0].block is first and turn.unfinished[2].block is third.content[0]


def test_pdf_in_a_data_url() -> None:
    block = document(type="url", url=f"data:application/pdf;base64,{PDF}")
    assert parse_blocks(block) == [Document("T", "pdf", PDF)]


def test_counting_takes_urls_as_they_are() -> None:
    picture = {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}}
    body = {"model": "m", "messages": [{"role": "user", "content": [picture]}]}
    assert estimate_turn(parse_count_tokens(orjson.dumps(body))) > IMAGE_TOKENS


def test_parse_documents() -> None:
    blocks = parse_blocks(
        document(type="base64", media_type="application/pdf", data=PDF),
        document(type="base64", media_type="text/plain", data="aGk="),
        document(type="text", media_type="text/plain", data="words"),
        document(type="content", content=[{"type": "text", "text": "part"}, image()]),
        {**document(type="text", data="w"), "context": "why", "title": None},
    )
    assert blocks == [
        Document("T", "pdf", PDF),
        Text('[document "T"]\nhi'),
        Text('[document "T"]\nwords'),
        Text('[document "T"]'),
        Text("part"),
        Image("png", PNG),
        Text('[about the document ""]\nwhy'),
        Text("w"),
    ]


@pytest.mark.parametrize(
    ("written", "data", "block"),
    [
        ("Application/PDF", PDF, Document("T", "pdf", PDF)),
        ("application/pdf; version=1.7", PDF, Document("T", "pdf", PDF)),
        ("TEXT/Plain; charset=UTF-8", "aGk=", Text('[document "T"]\nhi')),
    ],
)
def test_media_type_of_a_document_in_any_spelling(written: str, data: str, block: Any) -> None:
    assert parse_blocks(document(type="base64", media_type=written, data=data)) == [block]


@pytest.mark.parametrize("written", ["image/PNG", "IMAGE/png; charset=binary"])
def test_media_type_of_a_picture_in_any_spelling(written: str) -> None:
    assert parse_blocks(image(media_type=written)) == [Image("png", PNG)]


def test_parse_assistant_blocks() -> None:
    blocks = parse_blocks(
        {"type": "thinking", "thinking": "t", "signature": "s"},
        {"type": "thinking", "thinking": "u"},
        {"type": "redacted_thinking", "data": "cmVk"},
        {"type": "tool_use", "id": "i", "name": "n", "input": {"a": 1}},
        {"type": "tool_use", "id": "j", "name": "n"},
        role="assistant",
    )
    assert blocks == [
        Reasoning("t", "s"),
        Reasoning("u", ""),
        RedactedReasoning("cmVk"),
        ToolUse("i", "n", {"a": 1}),
        ToolUse("j", "n", {}),
    ]


def test_parse_tool_results() -> None:
    content = [
        {"type": "text", "text": "x"},
        {"type": "tool_reference", "tool_name": "WebFetch"},
        image(),
        {"type": "search_result", "title": "T", "source": "https://t", "content": []},
    ]
    blocks = parse_blocks(
        {"type": "tool_result", "tool_use_id": "a", "content": content, "is_error": True},
        {"type": "tool_result", "tool_use_id": "b", "content": "text"},
        {"type": "tool_result", "tool_use_id": "c"},
    )
    parts = [
        Text("x"),
        Text("Tool WebFetch is available now."),
        Image("png", PNG),
        Text("[search result] T\nhttps://t"),
    ]
    assert blocks == [
        ToolResult("a", parts, True),
        ToolResult("b", [Text("text")]),
        ToolResult("c", []),
    ]


def test_parse_searches_become_calls_and_other_server_blocks_text() -> None:
    hits = [
        {
            "type": "web_search_result",
            "title": "A",
            "url": "https://a",
            "encrypted_content": "two words",
        },
        {
            "type": "web_search_result",
            "title": "B",
            "url": "https://b",
            "encrypted_content": "Zm9v",
        },
        7,
    ]
    blocks = parse_blocks(
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "q"}},
        {"type": "web_search_tool_result", "tool_use_id": "s", "content": hits},
        {
            "type": "web_search_tool_result",
            "tool_use_id": "srvtoolu_t",
            "content": {"error_code": "unavailable"},
        },
        {"type": "server_tool_use", "name": "code_execution", "input": {"code": "1"}},
        {"type": "mcp_tool_result", "tool_use_id": "s", "content": "out"},
        role="assistant",
    )
    found = "Web search results:\nA · https://a · two words\nB · https://b"
    failed = "The web search failed: unavailable"
    assert blocks == [
        ToolUse("srvtoolu_s", "web_search", {"query": "q"}),
        ToolResult("srvtoolu_s", [Text(found)]),
        ToolResult("srvtoolu_t", [Text(failed)], True),
        Text('[server_tool_use] {"name":"code_execution","input":{"code":"1"}}'),
        Text('[mcp_tool_result] {"content":"out"}'),
    ]


def test_parse_compaction_keeps_the_summary() -> None:
    """It stands for everything before it; one that failed has null and stands for nothing."""
    blocks = parse_blocks(
        {"type": "compaction", "content": "They fixed the parser.", "encrypted_content": "x"},
        {"type": "compaction", "content": None},
        {"type": "compaction"},
        role="assistant",
    )
    assert blocks == [Text("They fixed the parser.")]


def test_parse_unknown_blocks_are_named() -> None:
    turn = parse(messages=[{"role": "user", "content": [{"type": "hologram", "x": 1}]}])
    assert turn.messages[0].blocks == []
    assert turn.ignored == ["content.hologram"]


def test_parse_cache_control_and_citations_are_named() -> None:
    cached = {"cache_control": {"type": "ephemeral"}}
    text = {"type": "text", "text": "x", **cached}
    paper = {**document(type="text", data="w"), "citations": {"enabled": True}}
    messages = [{"role": "user", "content": [text, {**image(), **cached}, paper]}]
    assert parse(messages=messages).ignored == ["cache_control", "citations"]


# --- tools ---


def test_parse_functions_and_deferred_ones_are_offered() -> None:
    schema = {"type": "object"}
    turn = parse(
        tools=[
            {
                "name": "Bash",
                "description": "d",
                "input_schema": schema,
                "eager_input_streaming": True,
            },
            {"type": "custom", "name": "WebFetch", "input_schema": schema, "defer_loading": True},
            {"name": "DeferredToolPlaceholder", "input_schema": schema, "defer_loading": True},
            {"type": "newer", "name": "n", "input_schema": schema},
        ]
    )
    assert [(t.name, t.description) for t in turn.tools] == [
        ("Bash", "d"),
        ("WebFetch", ""),
        ("n", ""),
    ]
    assert turn.ignored == []


@pytest.mark.parametrize(
    ("kind", "name", "properties"),
    [
        ("bash_20250124", "bash", {"command", "restart"}),
        ("text_editor_20250728", "str_replace_based_edit_tool", {"insert_text", "view_range"}),
        ("memory_20250818", "memory", {"old_path", "new_path", "insert_text"}),
    ],
)
def test_parse_client_tools_get_their_documented_schema(
    kind: str, name: str, properties: set[str]
) -> None:
    [tool] = parse(tools=[{"type": kind, "name": name}]).tools
    assert tool.name == name
    assert properties <= tool.schema["properties"].keys()


def test_parse_placeholder_name_without_deferral_is_a_tool() -> None:
    turn = parse(
        tools=[{"name": "DeferredToolPlaceholder", "cache_control": {"type": "ephemeral"}}]
    )
    assert [tool.name for tool in turn.tools] == ["DeferredToolPlaceholder"]
    assert turn.ignored == ["cache_control"]


def test_parse_old_text_editor_can_undo_and_inserts_with_new_str() -> None:
    [tool] = parse(tools=[{"type": "text_editor_20250124", "name": "str_replace_editor"}]).tools
    assert "undo_edit" in tool.schema["properties"]["command"]["enum"]
    assert "insert_text" not in tool.schema["properties"]


def test_parse_server_tools_are_left_out_and_named() -> None:
    turn = parse(
        tools=[
            {"type": "web_fetch_20250910", "name": "web_fetch"},
            {"type": "computer_20250124", "name": "computer", "display_width_px": 1},
            {
                "type": "web_search_20250305",
                "name": "web_search",
                "max_uses": 8,
                "blocked_domains": ["x"],
                "user_location": {"type": "approximate", "city": "Oslo"},
            },
        ]
    )
    assert turn.tools == []
    assert turn.web_search == WebSearch("web_search", 8, (), ("x",), comes_back=True)
    assert turn.ignored == [
        "tools.computer_20250124",
        "tools.user_location",
        "tools.web_fetch_20250910",
    ]


def test_parse_own_tool_called_web_search_stays_a_function() -> None:
    turn = parse(tools=[{"name": "web_search", "input_schema": {}}])
    assert turn.web_search is None
    assert [t.name for t in turn.tools] == ["web_search"]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (None, ToolChoice()),
        ({"type": "auto"}, ToolChoice()),
        ({"type": "any"}, ToolChoice(ToolChoiceKind.ANY)),
        ({"type": "none"}, ToolChoice(ToolChoiceKind.NONE)),
        ({"type": "tool", "name": "a"}, ToolChoice(ToolChoiceKind.NAMED, "a")),
    ],
)
def test_parse_tool_choice(choice: Any, expected: ToolChoice) -> None:
    assert parse(tools=[{"name": "a"}], tool_choice=choice).tool_choice == expected


# --- everything else ---


def test_parse_system_drops_the_billing_block_only() -> None:
    blocks = [
        {"type": "text", "text": "x-anthropic-billing-header: cc_version=1; cc_entrypoint=cli;"},
        {"type": "text", "text": "one", "cache_control": {"type": "ephemeral"}},
        {"type": "text", "text": "two"},
    ]
    turn = parse(system=blocks)
    assert turn.system == ["one", "two"]
    assert turn.ignored == ["cache_control"]
    assert parse(system="s").system == ["s"]
    assert parse(system=None).system == []


@pytest.mark.parametrize(
    ("thinking", "expected"),
    [
        (None, Thinking()),
        ({"type": "disabled"}, Thinking()),
        ({"type": "enabled", "budget_tokens": 31_999}, Thinking(ThinkingKind.BUDGET, 31_999)),
        ({"type": "enabled"}, Thinking(ThinkingKind.ADAPTIVE)),
        ({"type": "adaptive", "display": "updates"}, Thinking(ThinkingKind.ADAPTIVE)),
        ({"type": "adaptive", "display": "omitted"}, Thinking(ThinkingKind.ADAPTIVE, omit=True)),
        ({"type": "between_tools"}, Thinking(ThinkingKind.ADAPTIVE)),
    ],
)
def test_parse_thinking(thinking: Any, expected: Thinking) -> None:
    assert parse(thinking=thinking).thinking == expected


def test_parse_thinking_suffix_of_the_model_switches_it_on() -> None:
    assert parse(model="claude-sonnet-4-5-thinking").thinking == Thinking(ThinkingKind.ADAPTIVE)
    off = parse(model="claude-sonnet-4-5-thinking", thinking={"type": "disabled"})
    assert off.thinking == Thinking()


def test_parse_unknown_thinking_and_effort_are_named() -> None:
    turn = parse(thinking={"type": "dreaming"}, output_config={"effort": "heroic"})
    assert turn.thinking == Thinking()
    assert turn.ignored == ["output_config.effort", "thinking.type"]


def test_parse_effort_of_a_message_wins() -> None:
    messages = [
        {"role": "user", "content": "a"},
        {"role": "system", "content": "b", "output_config": {"effort": "low"}},
    ]
    turn = parse(messages=messages, output_config={"effort": "high"})
    assert turn.thinking.effort == "low"


def test_parse_output_schema_from_both_places() -> None:
    form = {"type": "json_schema", "schema": {"type": "object"}}
    assert parse(output_config={"format": form}).output_schema == {"type": "object"}
    assert parse(output_format=form).output_schema == {"type": "object"}


def test_parse_plain_fields() -> None:
    turn = parse(stream=True, stop_sequences=["a", "", "b"], max_tokens=128_000)
    assert turn.stream
    assert turn.stop_sequences == ("a", "b")
    assert turn.max_tokens == 128_000


@pytest.mark.parametrize(
    ("user_id", "session"),
    [
        (f"user_ab_account_cd_session_{SESSION}", SESSION),
        (orjson.dumps({"device_id": "d", "session_id": SESSION}).decode(), SESSION),
        ('{"session_id": 5}', ""),
        ("{", ""),
        ("someone", ""),
        ("x" * 5, ""),
    ],
)
def test_parse_session_from_metadata(user_id: str, session: str) -> None:
    assert parse(metadata={"user_id": user_id}).session == session


def test_parse_session_from_headers() -> None:
    headers = {"x-claude-code-session-id": SESSION}
    assert parse(headers).session == SESSION
    headers["x-claude-code-agent-id"] = "a1"
    assert parse(headers).session == f"{SESSION}/a1"
    headers["x-claude-code-agent-id"] = "a" * 500
    assert len(parse(headers).session) == 64


def test_parse_fields_without_effect_are_named_once_and_sorted() -> None:
    turn = parse(
        temperature=1, top_p=0.5, mcp_servers=[{"url": "x"}], context_management={"edits": []},
        service_tier=None, safeguards=[], tools=[{"name": "a", "strict": True}],
    )  # fmt: skip
    assert turn.ignored == [
        "context_management",
        "mcp_servers",
        "temperature",
        "tools.strict",
        "top_p",
    ]


def test_parse_ignored_names_are_fit_for_a_header() -> None:
    turn = parse(**{"a\r\nx-evil: 1": 1, "ü": 1, "z": 1, "n" * 99: 1})
    assert turn.ignored == ["z", "and-3-more"]
    many = parse(**{f"f{number:02}": 1 for number in range(60)})
    assert len(many.ignored) == 25
    assert many.ignored[-1] == "and-36-more"


def test_parse_count_tokens_reads_the_prompt_only() -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "tools": [], "stream": 5}
    assert parse_count_tokens(orjson.dumps(body)).messages[0].blocks == [Text("hi")]
    with pytest.raises(RequestError, match=r"^messages: "):
        parse_count_tokens(b'{"model":"m"}')


# --- anything at all ---

_KEYS = st.sampled_from(
    [
        "model", "messages", "system", "tools", "tool_choice", "thinking", "output_config", "metadata",
        "max_tokens", "stop_sequences", "stream", "output_format", "temperature", "type", "text",
        "content", "role", "source", "data", "media_type", "name", "id", "input", "input_schema",
        "tool_use_id", "is_error", "budget_tokens", "effort", "format", "schema", "user_id", "title",
    ]
)  # fmt: skip
_WORDS = st.sampled_from(
    [
        "user", "assistant", "system", "text", "image", "document", "tool_use", "tool_result", "base64",
        "thinking", "enabled", "image/png", "application/pdf", PNG, PDF, "bash_20250124", "auto", "tool",
        "web_search_20250305", "json_schema", "server_tool_use", "search_result", "content", "url",
    ]
)  # fmt: skip
_ANY: st.SearchStrategy[Any] = st.recursive(
    JSON | _WORDS,
    lambda inner: st.dictionaries(_KEYS, inner, max_size=6) | st.lists(inner, max_size=3),
    max_leaves=15,
)
_BLOCK: st.SearchStrategy[Any] = st.fixed_dictionaries(
    {"type": _WORDS},
    optional={
        "text": st.text(max_size=5) | _ANY,
        "source": st.fixed_dictionaries(
            {"type": _WORDS},
            optional={"media_type": _WORDS, "data": _WORDS | _ANY, "content": _ANY},
        ),
        "content": _ANY,
        "id": _WORDS,
        "name": _WORDS,
        "tool_use_id": _WORDS,
        "input": _ANY,
        "thinking": _WORDS,
    },
)
_MESSAGE = st.fixed_dictionaries({"role": _WORDS, "content": st.lists(_BLOCK, max_size=3) | _ANY})
_TOOL = st.fixed_dictionaries({}, optional={"name": _WORDS, "type": _WORDS, "input_schema": _ANY})


@given(
    st.dictionaries(_KEYS, _ANY, max_size=6),
    st.lists(_MESSAGE | _ANY, max_size=3),
    st.lists(_TOOL, max_size=3),
)
@PROPERTY
def test_parse_any_json_gives_a_sendable_turn_or_a_request_error(
    fields: dict[str, Any], messages: list[Any], tools: list[Any]
) -> None:
    body = {"messages": messages, "tools": tools, **fields, "model": "m"}
    try:
        turn = parse_messages_request(orjson.dumps(body), {}.get)
    except RequestError as error:
        assert error.kind is Kind.INVALID_REQUEST
        return
    assert estimate_turn(turn) >= 1
    assert [str(v) for v in check_request(build(turn, PLAIN).encode(None, reasoning=False))] == []


@given(_BLOCK, st.sampled_from(["user", "assistant", "system"]))
@PROPERTY
def test_parse_any_block_gives_a_sendable_turn_or_a_request_error(block: Any, role: str) -> None:
    body = {"model": "m", "messages": [{"role": role, "content": [block]}]}
    try:
        turn = parse_messages_request(orjson.dumps(body), {}.get)
    except RequestError as error:
        assert error.param is not None
        assert error.param.startswith("messages.0.content.0")
        return
    assert [str(v) for v in check_request(build(turn, PLAIN).encode(None, reasoning=False))] == []


def test_parallel_calls_can_be_turned_off() -> None:
    tools = [{"name": "f", "input_schema": {}}]
    turn = parse(tools=tools, tool_choice={"type": "auto", "disable_parallel_tool_use": True})
    assert (turn.parallel_tools, turn.ignored) == (False, [])
    assert parse(tools=tools, tool_choice={"type": "auto"}).parallel_tools
    wrong = refusal(tools=tools, tool_choice={"type": "auto", "disable_parallel_tool_use": "yes"})
    assert wrong.param == "tool_choice.disable_parallel_tool_use"
