"""The official OpenAI Node SDK; what it does stands in openai_scenarios.mjs, what it must see here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from kiroproxy.simulator import Simulator
from tests.clients.conftest import need
from tests.clients.harness import CLIENTS, HERE, KEY, Proxy, noticed_abort, run_node

Play = Callable[[str], Awaitable[dict[str, Any]]]


@pytest.fixture
def play(proxy: Proxy, tmp_path: Path) -> Play:
    """Run one scenario."""
    need(CLIENTS / "openai")

    def run(scenario: str) -> Awaitable[dict[str, Any]]:
        script = HERE / "openai_scenarios.mjs"
        return run_node(script, scenario, tmp_path, BASE_URL=proxy.url, KEY=KEY)

    return run


async def test_create(play: Play) -> None:
    seen = await play("create")
    assert (seen["text"], seen["finish"]) == ("Grüße, 世界", "stop")
    assert seen["model"] == "claude-sonnet-4-5"
    assert seen["usage"]["prompt_tokens"] > 0
    assert seen["requestId"]


async def test_stream_helper(play: Play) -> None:
    seen = await play("stream")
    assert len(seen["pieces"]) > 5
    assert "".join(seen["pieces"]) == seen["text"]
    assert len(seen["text"].split()) == 60
    assert seen["finish"] == "stop"
    assert seen["usage"]["completion_tokens"] > 40


async def test_raw_chunks(play: Play) -> None:
    choices = [chunk["choices"][0] for chunk in (await play("raw"))["chunks"]]
    assert choices[0]["delta"]["role"] == "assistant"
    assert [c["finish_reason"] for c in choices if c["finish_reason"]] == ["tool_calls"]
    assert "".join(c["delta"].get("content") or "" for c in choices) == "a b"
    calls = [call for c in choices for call in c["delta"].get("tool_calls", ())]
    assert [call["index"] for call in calls if "id" in call] == [0, 1]
    given = ["".join(c["function"]["arguments"] for c in calls if c["index"] == i) for i in (0, 1)]
    assert given == ['{"city":"Oslo"}', '{"city":"Bergen"}']


async def test_run_tools(play: Play) -> None:
    seen = await play("run_tools")
    assert seen["asked"] == ["Bergen", "Bergen"]
    for text in seen["texts"]:
        assert "Bergen: rain" in text


async def test_parse_into_an_object(play: Play) -> None:
    paris = {"name": "Paris", "rank": 1}
    assert await play("parse") == {"chat": paris, "responses": paris}


async def test_stop_and_limit(play: Play) -> None:
    seen = await play("limits")
    assert seen["stopped"] == ["one two ", "stop"]
    words, reason = seen["cut"]
    assert reason == "length"
    assert 0 < words < 60


async def test_responses(play: Play) -> None:
    seen = await play("responses")
    assert seen["inputs"] == [{"city": "Oslo"}, {"city": "Bergen"}]
    assert seen["status"] == "completed"
    for text in seen["texts"]:
        assert "Oslo: dry" in text
        assert "Bergen: dry" in text
    assert seen["usage"]["input_tokens"] > 0


async def test_responses_stream_helper(play: Play) -> None:
    seen = await play("responses_stream")
    assert (seen["kinds"][0], seen["kinds"][-1]) == ("response.created", "response.completed")
    assert len(seen["pieces"]) > 5
    assert "".join(seen["pieces"]) == seen["text"]
    assert len(seen["text"].split()) == 60
    assert [item["type"] for item in seen["output"]] == ["message", "function_call"]
    assert seen["output"][1]["arguments"] == '{"city":"Oslo"}'
    assert seen["usage"]["output_tokens"] > 40


async def test_models(play: Play) -> None:
    seen = await play("models")
    assert {"claude-sonnet-4.5", "claude-opus-5.5"} <= set(seen["ids"])
    assert (seen["one"]["id"], seen["one"]["object"]) == (seen["ids"][0], "model")
    assert (seen["missing"]["class"], seen["missing"]["code"]) == (
        "NotFoundError",
        "model_not_found",
    )


@pytest.mark.parametrize(
    ("fault", "kind", "code"),
    [
        ("too_long", "BadRequestError", "context_length_exceeded"),
        ("suspended", "PermissionDeniedError", "permission_denied"),
        ("rate", "RateLimitError", "rate_limit_exceeded"),
        ("high_load", "InternalServerError", "server_is_overloaded"),
    ],
)
async def test_errors_have_their_classes(
    play: Play, kiro: Simulator, fault: str, kind: str, code: str
) -> None:
    kiro.faults.always(fault)
    for error in (await play("failing")).values():
        assert (error["class"], error["code"]) == (kind, code)
        assert error["requestId"]


async def test_bad_fields_are_named(play: Play, kiro: Simulator) -> None:
    for name, error in (await play("bad_fields")).items():
        assert (error["class"], error["param"]) == ("BadRequestError", name)
        assert error["type"] == "invalid_request_error"
    assert not kiro.received("chat")


async def test_wrong_key(play: Play) -> None:
    error = await play("wrong_key")
    assert (error["class"], error["code"]) == ("AuthenticationError", "invalid_api_key")


@pytest.mark.parametrize("fault", ["cut", "corrupt", "eof"])
async def test_broken_stream_throws(play: Play, kiro: Simulator, fault: str) -> None:
    kiro.faults.next(fault, after=6)
    seen = await play("broken_stream")
    assert (seen["class"], seen["type"]) == ("APIError", "server_error")
    assert "".join(seen["heard"])  # what had come was passed on


async def test_leaving_the_loop_reaches_the_service(play: Play, kiro: Simulator) -> None:
    assert (await play("cancel"))["aborted"] is True
    await noticed_abort(kiro)
