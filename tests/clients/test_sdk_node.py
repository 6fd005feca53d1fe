"""The official Node SDK; what it does stands in sdk_scenarios.mjs, what it must see stands here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from kiroproxy.simulator import Simulator
from tests.clients import samples
from tests.clients.harness import HERE, KEY, Proxy, noticed_abort, run_node

Play = Callable[[str], Awaitable[dict[str, Any]]]


@pytest.fixture
def play(node_modules: Path, proxy: Proxy, tmp_path: Path) -> Play:
    """Run one scenario."""
    (tmp_path / "picture.png").write_bytes(samples.png(17, 9))
    (tmp_path / "paper.pdf").write_bytes(samples.pdf(2))

    def run(scenario: str) -> Awaitable[dict[str, Any]]:
        return run_node(
            HERE / "sdk_scenarios.mjs",
            scenario,
            tmp_path,
            BASE_URL=proxy.url,
            KEY=KEY,
            PNG=str(tmp_path / "picture.png"),
            PDF=str(tmp_path / "paper.pdf"),
        )

    return run


async def test_create(play: Play) -> None:
    seen = await play("create")
    assert (seen["text"], seen["stop"]) == ("Grüße, 世界", "end_turn")
    assert seen["model"] == "claude-sonnet-4-5"
    assert seen["usage"]["input_tokens"] > 0
    assert seen["usage"]["output_tokens"] > 0


async def test_stream_helper(play: Play) -> None:
    seen = await play("stream")
    assert len(seen["pieces"]) > 5
    assert "".join(seen["pieces"]) == seen["text"]
    assert len(seen["text"].split()) == 60
    assert seen["stop"] == "end_turn"
    assert seen["usage"]["output_tokens"] > 40


async def test_raw_events(play: Play) -> None:
    events = (await play("raw"))["events"]
    assert events[0]["type"] == "message_start"
    assert events[0]["message"]["content"] == []
    assert [event["type"] for event in events[-2:]] == ["message_delta", "message_stop"]
    assert [e["index"] for e in events if e["type"] == "content_block_start"] == [0, 1]
    assert [e["index"] for e in events if e["type"] == "content_block_stop"] == [0, 1]
    deltas = [event["delta"] for event in events if event["type"] == "content_block_delta"]
    assert "".join(delta.get("text", "") for delta in deltas) == "a b"
    assert "".join(delta.get("partial_json", "") for delta in deltas) == '{"city":"Oslo"}'


async def test_tool_runner(play: Play) -> None:
    seen = await play("tool_runner")
    assert seen["asked"] == ["Bergen"]
    assert "Bergen: rain" in seen["text"]


async def test_parallel_calls(play: Play) -> None:
    seen = await play("parallel")
    assert seen["inputs"] == [{"city": "Oslo"}, {"city": "Bergen"}]
    assert "Oslo: dry" in seen["text"]
    assert "Bergen: dry" in seen["text"]


async def test_image_and_document(play: Play) -> None:
    seen = await play("media")
    assert "a 17x9 PNG image" in seen["picture"]
    assert "with 2 pages" in seen["paper"]


async def test_thinking(play: Play) -> None:
    for turn in (await play("thinking"))["seen"]:
        assert [block["type"] for block in turn["first"]] == ["thinking", "text"]
        assert turn["first"][0]["thinking"].strip() == "Let me see."
        assert turn["first"][0]["signature"]
        assert turn["second"] == "still here"


async def test_parse_into_an_object(play: Play) -> None:
    assert (await play("parse"))["parsed"] == {"name": "Paris", "rank": 1}


async def test_stop_sequence_and_max_tokens(play: Play) -> None:
    seen = await play("limits")
    assert seen["stopped"] == ["one two ", "stop_sequence", "STOP"]
    words, reason = seen["cut"]
    assert reason == "max_tokens"
    assert 0 < words < 60


async def test_models(play: Play) -> None:
    seen = await play("models")
    assert {"claude-sonnet-4.5", "claude-opus-5.5"} <= set(seen["ids"])
    assert seen["one"]["id"] == seen["ids"][0]
    assert seen["missing"]["class"] == "NotFoundError"


async def test_count_tokens(play: Play) -> None:
    assert 300 < (await play("count_tokens"))["input_tokens"] < 900


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        ("too_long", "BadRequestError", "prompt is too long"),
        ("suspended", "PermissionDeniedError", "suspended"),
        ("rate", "RateLimitError", "requests"),
        ("high_load", "OverloadedError", "load"),
        ("internal", "InternalServerError", ""),
    ],
)
async def test_errors_have_their_classes(
    play: Play, kiro: Simulator, fault: str, kind: str, words: str
) -> None:
    kiro.faults.always(fault)
    for error in (await play("failing")).values():
        assert error["class"] == kind
        assert words in error["message"]
        assert error["body"]["type"] == "error"
        assert error["requestId"]


async def test_wrong_key(play: Play) -> None:
    error = await play("wrong_key")
    assert (error["class"], error["status"]) == ("AuthenticationError", 401)


@pytest.mark.parametrize("fault", ["cut", "cut_mid_frame", "corrupt", "eof"])
async def test_broken_stream_throws(play: Play, kiro: Simulator, fault: str) -> None:
    kiro.faults.next(fault, after=6)
    seen = await play("broken_stream")
    assert seen["class"] == "APIError"
    assert seen["heard"]  # what had come was passed on
    assert seen["body"]["type"] == "error"  # the proxy said so; the SDK did not have to guess


async def test_leaving_the_loop_reaches_the_service(play: Play, kiro: Simulator) -> None:
    assert (await play("cancel"))["aborted"] is True
    await noticed_abort(kiro)
