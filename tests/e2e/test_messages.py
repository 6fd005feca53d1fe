"""What the Messages API promises, through the whole program."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import orjson
import pytest

from kiroproxy.simulator import Settings
from tests.e2e.support import KEY, Answer, house, read_answer, turn

PNG = base64.b64encode(
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
    + (64).to_bytes(4, "big")
    + (48).to_bytes(4, "big")
    + b"\x08\2\0\0\0"
).decode()
LONG = "mcp__a_server_with_a_rather_long_name__and_a_tool_whose_name_is_longer_than_sixty_four"


def _blocks(answer: Answer) -> list[dict[str, Any]]:
    """The content blocks of a stream, put together as a client does."""
    blocks: list[dict[str, Any]] = []
    for name, data in answer.events:
        if name == "content_block_start":
            assert data["index"] == len(blocks)
            blocks.append({**data["content_block"], "json": ""})
        if name == "content_block_delta":
            block, delta = blocks[data["index"]], data["delta"]
            assert data["index"] == len(blocks) - 1
            match delta["type"]:
                case "text_delta":
                    block["text"] += delta["text"]
                case "thinking_delta":
                    block["thinking"] += delta["thinking"]
                case "signature_delta":
                    block["signature"] = delta["signature"]
                case "input_json_delta":
                    block["json"] += delta["partial_json"]
    return blocks


async def test_long_tool_name_comes_back_and_goes_in_again(tmp_path: Path) -> None:
    tools = [{"name": LONG, "description": "Does it", "input_schema": {"type": "object"}}]
    async with house(tmp_path) as home:
        first = await home.ask(f'[[sim:tool {LONG} {{"a":1}}]]', tools=tools, stream=True)
        call = next(b for b in _blocks(first) if b["type"] == "tool_use")
        assert (call["name"], orjson.loads(call["json"])) == (LONG, {"a": 1})
        messages = [
            {"role": "user", "content": "go"},
            {
                "role": "assistant",
                "content": [
                    {"type": "tool_use", "id": call["id"], "name": LONG, "input": {"a": 1}}
                ],
            },
            {
                "role": "user",
                "content": [{"type": "tool_result", "tool_use_id": call["id"], "content": "done"}],
            },
        ]
        second = await home.send(
            "POST", "/v1/messages", {**turn(""), "messages": messages, "tools": tools}
        )
        assert second.status == 200
        assert not any(e.violations for e in home.kiro.received("chat"))


@pytest.mark.parametrize(
    ("model", "thinking"),
    [
        ("claude-sonnet-4-5", {"type": "enabled", "budget_tokens": 2000}),
        ("claude-opus-4-8", {"type": "adaptive"}),
    ],
    ids=["tags", "native"],
)
async def test_thinking_is_a_block_of_its_own_and_comes_back(
    model: str, thinking: dict[str, Any], tmp_path: Path
) -> None:
    async with house(tmp_path) as home:
        answer = await home.ask(
            "[[sim:think Let me see.]][[sim:say Seen.]]",
            model=model,
            thinking=thinking,
            stream=True,
        )
        blocks = _blocks(answer)
        assert [b["type"] for b in blocks] == ["thinking", "text"]
        assert (blocks[0]["thinking"].strip(), blocks[1]["text"]) == ("Let me see.", "Seen.")
        assert blocks[0]["signature"]
        history = [
            {"role": "user", "content": "one"},
            {
                "role": "assistant",
                "content": [
                    {k: v for k, v in blocks[0].items() if k != "json"},
                    {"type": "text", "text": "Seen."},
                ],
            },
            {"role": "user", "content": "[[sim:say two]]"},
        ]
        again = await home.send(
            "POST",
            "/v1/messages",
            {**turn(""), "model": model, "thinking": thinking, "messages": history},
        )
        assert (again.status, again.text) == (200, "two")
        assert len(home.chats()) == 2  # accepted at once: no signature was refused


async def test_image_in_a_tool_result_is_seen(tmp_path: Path) -> None:
    image = {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/png", "data": PNG},
    }
    messages = [
        {"role": "user", "content": "look"},
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": "toolu_1", "name": "Read", "input": {}}],
        },
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": [image]}],
        },
    ]
    async with house(tmp_path) as home:
        answer = await home.send("POST", "/v1/messages", {**turn(""), "messages": messages})
        assert answer.status == 200
        assert "64x48" in answer.text.replace(" ", "")


async def test_stop_sequence_cuts_the_stream(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        answer = await home.ask(
            "[[sim:say one two STOP three]]", stop_sequences=["STOP"], stream=True
        )
        assert answer.text == "one two "
        delta = answer.events[-2][1]["delta"]
        assert delta == {"stop_reason": "stop_sequence", "stop_sequence": "STOP"}


async def test_usage_is_the_same_estimate_everywhere(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        counted = await home.send("POST", "/v1/messages/count_tokens", turn("one two three"))
        streamed = await home.ask("one two three", stream=True)
        start = streamed.events[0][1]["message"]["usage"]
        assert counted.json == {"input_tokens": start["input_tokens"]}
        assert start["input_tokens"] > 0
        final = streamed.events[-2][1]["usage"]
        assert final["output_tokens"] > 0
        assert final["input_tokens"] > 0


async def test_answer_is_the_same_in_both_modes(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        prompt = "[[sim:say Grüße, 世界! 👋🏽\n\ttab]]"
        whole = await home.ask(prompt)
        streamed = await home.ask(prompt, stream=True)
        assert whole.text == streamed.text == "Grüße, 世界! 👋🏽\n\ttab"


async def test_structured_output_is_bare_json(tmp_path: Path) -> None:
    schema = {
        "type": "object",
        "properties": {"title": {"type": "string"}},
        "required": ["title"],
        "additionalProperties": False,
    }
    async with house(tmp_path) as home:
        answer = await home.ask(
            "Write a title", output_config={"format": {"type": "json_schema", "schema": schema}}
        )
        assert isinstance(orjson.loads(answer.text)["title"], str)


async def test_claude_codes_web_search_is_answered_by_the_service(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        answer = await home.ask(
            "Perform a web search for the query: python release",
            tools=[{"type": "web_search_20250305", "name": "web_search", "max_uses": 8}],
            stream=True,
        )
        blocks = _blocks(answer)
        kinds = [b["type"] for b in blocks]
        assert kinds == ["server_tool_use", "web_search_tool_result", "text"]
        assert blocks[1]["content"][0]["url"].startswith("http")
        usage = answer.events[-2][1]["usage"]
        assert usage["server_tool_use"]["web_search_requests"] == 1
        assert not home.chats()


async def test_ignored_fields_are_named(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        answer = await home.ask("hello", temperature=0.5, top_k=3)
        assert answer.headers["x-kiroproxy-ignored"] == "temperature, top_k"
        assert answer.headers["x-kiroproxy-model"] == "claude-sonnet-4.5"


async def test_models_in_one_body_for_both_families(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        listed = (await home.send("GET", "/v1/models?limit=1000")).json
        assert (listed["object"], listed["has_more"]) == ("list", False)
        assert (listed["first_id"], listed["last_id"]) == (
            listed["data"][0]["id"],
            listed["data"][-1]["id"],
        )
        entry = listed["data"][0]
        assert {"id", "type", "object", "display_name", "created_at", "created"} <= set(entry)
        one = await home.send("GET", "/v1/models/claude-sonnet-4-5-20250929")
        assert one.json["id"] == "claude-sonnet-4-5-20250929"
        none = await home.send("GET", "/v1/models/no-such-model")
        assert (none.status, none.error["type"]) == (404, "not_found_error")


@pytest.mark.parametrize(
    "path", ["/v1/messages?beta=true", "/v1/v1/messages", "/claude-kiro-oauth/v1/messages"]
)
async def test_paths_people_carry_over(path: str, tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        assert (await home.send("POST", path, turn("[[sim:say hi]]"))).text == "hi"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("HEAD", "/", 200), ("HEAD", "/api/hello", 200), ("GET", "/", 200), ("GET", "/health", 200)],
)
async def test_probes_need_no_key(method: str, path: str, status: int, tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        answer = await home.send(method, path, headers={"x-api-key": ""})
        assert answer.status == status


KEYS: dict[str, tuple[dict[str, str], int]] = {
    "x-api-key": ({"x-api-key": KEY}, 200),
    "bearer": ({"x-api-key": "", "Authorization": f"Bearer {KEY}"}, 200),
    "x-api-key counts": ({"x-api-key": "wrong", "Authorization": f"Bearer {KEY}"}, 401),
    "none": ({"x-api-key": ""}, 401),
    "wrong": ({"x-api-key": KEY + "x"}, 401),
    "prefix": ({"x-api-key": KEY[:-1]}, 401),
    "basic": ({"x-api-key": "", "Authorization": f"Basic {KEY}"}, 401),
}


@pytest.mark.parametrize("case", KEYS)
@pytest.mark.parametrize("path", ["/v1/messages/count_tokens", "/v1/messages"])
async def test_key(case: str, path: str, tmp_path: Path) -> None:
    headers, status = KEYS[case]
    async with house(tmp_path) as home:
        answer = await home.send("POST", path, turn("hello"), headers)
        assert answer.status == status
        if status == 401:
            assert answer.error["type"] == "authentication_error"
            assert answer.headers["x-should-retry"] == "false"


BAD: dict[str, tuple[bytes, str]] = {
    "not json": (b"{", "JSON"),
    "not an object": (b"[]", "object"),
    "no model": (b'{"messages":[{"role":"user","content":"x"}],"max_tokens":1}', "model"),
    "no messages": (b'{"model":"m","max_tokens":1}', "messages"),
    "empty messages": (b'{"model":"m","max_tokens":1,"messages":[]}', "messages"),
    "bad role": (
        b'{"model":"m","max_tokens":1,"messages":[{"role":"wizard","content":"x"}]}',
        "messages.0.role",
    ),
    "bad image": (
        b'{"model":"m","max_tokens":1,"messages":[{"role":"user","content":[{"type":"image",'
        b'"source":{"type":"base64","media_type":"image/png","data":"%%%"}}]}]}',
        "messages.0.content.0",
    ),
    "not utf-8": (b'{"model":"\xff"}', "UTF-8"),
}


@pytest.mark.parametrize("case", BAD)
async def test_bad_body_names_the_field(case: str, tmp_path: Path) -> None:
    body, words = BAD[case]
    async with house(tmp_path) as home:
        answer = await home.send("POST", "/v1/messages", body)
        assert (answer.status, answer.error["type"]) == (400, "invalid_request_error")
        assert words.lower() in answer.error["message"].lower()
        assert not home.chats()


async def test_unknown_route_and_method_are_json_errors(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        lost = await home.send("GET", "/v2/nothing")
        assert (lost.status, lost.error["type"]) == (404, "not_found_error")
        wrong = await home.send("GET", "/v1/messages")
        assert wrong.status == 405
        assert "POST" in wrong.headers["allow"]


async def test_our_own_name_goes_to_the_service(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        await home.ask("hello")
        for entry in home.kiro.requests:
            assert entry.headers["user-agent"].startswith("kiroproxy/")


async def test_conversation_keeps_its_id_and_prefix(tmp_path: Path) -> None:
    async with house(tmp_path, settings=Settings(pace_s=0)) as home:
        messages: list[dict[str, Any]] = [{"role": "user", "content": "one"}]
        for word in ("two", "three"):
            answer = await home.send(
                "POST", "/v1/messages", {**turn(""), "system": "Be good.", "messages": messages}
            )
            messages += [
                {"role": "assistant", "content": answer.text},
                {"role": "user", "content": word},
            ]
        first, second = (e.json["conversationState"] for e in home.kiro.received("chat"))
        assert first["conversationId"] == second["conversationId"]
        assert second["history"][: len(first["history"])] == first["history"]


@pytest.mark.parametrize(
    ("sent", "status"),
    [(b"NONSENSE\r\n\r\n", 400), (b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000, 431)],
)
async def test_error_of_an_unreadable_head_has_the_request_id(
    tmp_path: Path, sent: bytes, status: int
) -> None:
    async with house(tmp_path) as home:
        reader, writer = await home.connect()
        writer.write(sent)
        answer = await read_answer(reader, "GET")
        assert answer.status == status
        assert answer.json["type"] == "error"
        assert answer.json["request_id"] == answer.headers["request-id"]
