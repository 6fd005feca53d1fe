"""Everything the service can do wrong, against both modes: the truth comes out, and nothing hangs."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from kiroproxy.simulator import Settings
from tests.e2e.support import House, house

STREAMS = [True, False]


@dataclass(frozen=True)
class Refused:
    """A fault that answers every try, and what the client gets. ``tries``: calls the service saw."""

    fault: str
    status: int
    type: str
    words: str
    tries: int = 1
    retry: str | None = None
    params: tuple[tuple[str, str], ...] = ()


REFUSALS = [
    Refused("improper", 400, "invalid_request_error", "Improperly formed request"),
    Refused("tool_format", 400, "invalid_request_error", "Invalid tool use format"),
    Refused("too_long", 400, "invalid_request_error", "prompt is too long"),
    Refused("conversation_limit", 400, "invalid_request_error", "prompt is too long"),
    Refused("bad_model", 404, "not_found_error", "MODEL_ALIASES", retry="false"),
    Refused("token_invalid", 401, "authentication_error", "sign in", 2, "false"),
    Refused("unauthenticated", 401, "authentication_error", "sign in", 2, "false"),
    Refused("not_authorized", 403, "permission_error", "", 1, "false"),
    Refused("feature", 403, "permission_error", "", 1, "false"),
    Refused("suspended", 403, "permission_error", "suspended", 1, "false"),
    Refused("locked", 403, "permission_error", "locked", 1, "false"),
    Refused("quota", 402, "billing_error", "credits", 1, "false"),
    Refused("overage", 402, "billing_error", "credits", 1, "false"),
    Refused("suspicious", 429, "rate_limit_error", "activity", 1, "false"),
    Refused("daily", 429, "rate_limit_error", "today", 1, "false"),
    Refused("rate", 429, "rate_limit_error", "", 1),
    Refused("rate", 429, "rate_limit_error", "", 1, params=(("retry_after", "30"),)),
    Refused("capacity", 529, "overloaded_error", "busy", 4),
    Refused("high_load", 529, "overloaded_error", "busy", 4),
    Refused("unavailable", 529, "overloaded_error", "", 4),
    Refused("internal", 502, "api_error", "", 4),
    Refused("too_large", 413, "request_too_large", "", 1),
    Refused("close_at_once", 502, "api_error", "", 2),
    Refused("json_200", 429, "rate_limit_error", "", 1),
    Refused("html", 502, "api_error", "", 4, params=(("status", "502"),)),
    Refused("nothing", 502, "api_error", "", 2),
    Refused("exception", 429, "rate_limit_error", "", 1),
    Refused("error_frame", 502, "api_error", "", 4),
]


@pytest.mark.parametrize("stream", STREAMS, ids=["stream", "whole"])
@pytest.mark.parametrize("case", REFUSALS, ids=lambda c: c.fault + "".join(v for _, v in c.params))
async def test_refusal_reaches_the_client_with_a_real_status(
    case: Refused, stream: bool, tmp_path: Path
) -> None:
    async with house(tmp_path) as home:
        home.kiro.faults.always(case.fault, **dict(case.params))
        answer = await home.ask("hello", stream=stream)
        assert (answer.status, answer.json["type"]) == (case.status, "error")
        assert answer.error["type"] == case.type
        assert case.words.lower() in answer.error["message"].lower()
        assert answer.headers["request-id"] == answer.json["request_id"]
        assert len(home.chats()) == case.tries
        if case.retry is not None:
            assert answer.headers["x-should-retry"] == case.retry
        for name, value in case.params:
            if name == "retry_after":
                assert answer.headers["retry-after"] == value


MENDED = ["internal", "high_load", "close_at_once", "nothing", "error_frame", "token_invalid"]


@pytest.mark.parametrize("stream", STREAMS, ids=["stream", "whole"])
@pytest.mark.parametrize("fault", MENDED)
async def test_passing_fault_before_content_is_not_seen(
    fault: str, stream: bool, tmp_path: Path
) -> None:
    async with house(tmp_path) as home:
        home.kiro.faults.next(fault)
        answer = await home.ask("[[sim:say all is well]]", stream=stream)
        assert (answer.status, answer.text) == (200, "all is well")
        assert len(home.chats()) == 2


BROKEN: list[tuple[str, dict[str, Any]]] = [
    ("cut", {"after": 3}),
    ("cut_mid_frame", {"after": 3}),
    ("cut_mid_chunk", {"after": 3}),
    ("eof", {"after": 3}),
    ("eof_mid_frame", {"after": 3}),
    ("corrupt", {"after": 3}),
    ("garbage", {"after": 3}),
    ("exception", {"after": 3}),
    ("error_frame", {"after": 3}),
    ("invalid_state", {"after": 3}),
    ("model_unavailable", {"after": 3}),
    ("no_ending", {}),
]


@pytest.mark.parametrize(("fault", "params"), BROKEN, ids=[name for name, _ in BROKEN])
async def test_broken_stream_ends_in_an_error_and_never_in_message_stop(
    fault: str, params: dict[str, Any], tmp_path: Path
) -> None:
    async with house(tmp_path, settings=Settings(pace_s=0.002)) as home:
        home.kiro.faults.always(fault, **params)
        answer = await home.ask("[[sim:text 40]]", stream=True)
        names = [name for name, _ in answer.events]
        assert answer.status == 200
        assert names[0] == "message_start"
        assert names[-1] == "error"
        assert "message_stop" not in names
        assert "message_delta" not in names
        assert answer.text  # what came before the fault was given on
        assert answer.error["message"]
        assert len(home.chats()) == 1  # content was out: no second try


@pytest.mark.parametrize(("fault", "params"), BROKEN, ids=[name for name, _ in BROKEN])
async def test_broken_answer_is_no_whole_answer(
    fault: str, params: dict[str, Any], tmp_path: Path
) -> None:
    async with house(tmp_path) as home:
        home.kiro.faults.always(fault, **params)
        answer = await home.ask("[[sim:text 40]]")
        assert answer.status >= 429
        assert answer.error["message"]


@pytest.mark.parametrize("ending", ["0", "1"])
async def test_truncated_tool_call_is_never_shown_as_complete(ending: str, tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        home.kiro.faults.always("truncated_tool", ending=ending)
        prompt = '[[sim:tool Write {"path":"/tmp/x","content":"some words to write"}]]'
        tools = [{"name": "Write", "input_schema": {"type": "object"}}]
        answer = await home.ask(prompt, tools=tools, stream=True)
        names = [name for name, _ in answer.events]
        assert names[-1] == "error"
        started = [
            d["index"]
            for n, d in answer.events
            if n == "content_block_start" and d["content_block"]["type"] == "tool_use"
        ]
        stopped = [d["index"] for n, d in answer.events if n == "content_block_stop"]
        assert started
        assert not set(started) & set(stopped)
        whole = await home.ask(prompt, tools=tools)
        assert whole.status == 502


BASH = {"name": "Bash", "input_schema": {"type": "object"}}

HARMLESS = [
    "object_input",
    "growing_input",
    "empty_object_first",
    "no_tool_ids",
    "late_tool_id",
    "interleaved",
    "no_metadata",
    "no_metering",
    "context_only",
    "context_first",
    "unknown_events",
    "token_usage",
    "slow_drip",
]


@pytest.mark.parametrize("stream", STREAMS, ids=["stream", "whole"])
@pytest.mark.parametrize("fault", HARMLESS)
async def test_quirk_changes_nothing_in_the_answer(
    fault: str, stream: bool, tmp_path: Path
) -> None:
    calls = [{"name": "Bash", "input": {"command": "echo hi"}}, {"name": "Now", "input": {}}]
    prompt = "[[sim:say Two calls.]][[sim:tools " + _dumps(calls) + "]]"
    tools = [{"name": c["name"], "input_schema": {"type": "object"}} for c in calls]
    async with house(tmp_path) as home:
        home.kiro.faults.always(fault)
        answer = await home.ask(prompt, tools=tools, stream=stream)
        assert answer.status == 200
        assert answer.text == "Two calls."
        assert _tool_inputs(answer, stream) == [("Bash", calls[0]["input"]), ("Now", {})]


@pytest.mark.parametrize("stream", STREAMS, ids=["stream", "whole"])
async def test_call_without_its_stop_is_whole_when_its_json_is(
    stream: bool, tmp_path: Path
) -> None:
    prompt = '[[sim:tool Bash {"command":"echo hi"}]]'
    async with house(tmp_path) as home:
        home.kiro.faults.always("no_tool_stop")
        answer = await home.ask(prompt, tools=[BASH], stream=stream)
        assert _tool_inputs(answer, stream) == [("Bash", {"command": "echo hi"})]


@pytest.mark.parametrize("stream", STREAMS, ids=["stream", "whole"])
async def test_call_without_input_and_stop_never_becomes_an_empty_object(
    stream: bool, tmp_path: Path
) -> None:
    async with house(tmp_path) as home:
        home.kiro.faults.always("no_tool_stop")
        answer = await home.ask("[[sim:tool Bash {}]]", tools=[BASH], stream=stream)
        assert "Bash" in answer.error["message"]


def _dumps(value: object) -> str:
    return orjson.dumps(value).decode()


def _tool_inputs(answer: Any, stream: bool) -> list[tuple[str, Any]]:
    if not stream:
        return [(b["name"], b["input"]) for b in answer.json["content"] if b["type"] == "tool_use"]
    names: dict[int, str] = {}
    parts: dict[int, str] = {}
    for name, data in answer.events:
        if name == "content_block_start" and data["content_block"]["type"] == "tool_use":
            names[data["index"]] = data["content_block"]["name"]
            parts[data["index"]] = ""
        if name == "content_block_delta" and data["delta"]["type"] == "input_json_delta":
            parts[data["index"]] += data["delta"]["partial_json"]
    return [(names[i], orjson.loads(parts[i] or "{}")) for i in names]


async def test_signature_refusal_is_mended_by_leaving_reasoning_out(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        home.kiro.faults.next("bad_signature")
        answer = await home.ask("[[sim:say fine]]")
        assert (answer.status, answer.text, len(home.chats())) == (200, "fine", 2)


async def test_fields_refusal_is_mended_by_leaving_them_out(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        home.kiro.faults.next("no_fields")
        answer = await home.ask(
            "[[sim:say fine]]", model="claude-opus-4-8", thinking={"type": "adaptive"}
        )
        assert (answer.status, answer.text, len(home.chats())) == (200, "fine", 2)
        first, second = (orjson.loads(entry.body) for entry in home.kiro.received("chat"))
        assert "additionalModelRequestFields" in first
        assert "additionalModelRequestFields" not in second


async def test_too_long_tells_the_numbers_when_they_show_it(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        answer = await home.ask("word " * 250_000)
        assert answer.status == 400
        assert answer.error["message"].startswith("prompt is too long: ")
        assert " tokens > 200000 maximum" in answer.error["message"]


async def test_improper_request_past_the_window_is_told_as_too_long(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        home.kiro.faults.always("improper")
        short = await home.ask("word")
        assert "prompt is too long" not in short.error["message"]
        answer = await home.ask("word " * 250_000)
        assert answer.status == 400
        assert answer.error["message"].startswith("prompt is too long: ")


async def test_stall_after_content_ends_in_an_error(tmp_path: Path) -> None:
    async with house(tmp_path, KIROPROXY_IDLE_TIMEOUT_S="0.2") as home:
        home.kiro.faults.always("stall", after=3)
        answer = await home.ask("[[sim:text 40]]", stream=True)
        assert answer.events[-1][0] == "error"
        assert answer.text


async def test_silence_before_the_first_byte_is_a_504(tmp_path: Path) -> None:
    async with house(tmp_path, KIROPROXY_FIRST_BYTE_TIMEOUT_S="0.2") as home:
        home.kiro.faults.always("slow_first_byte", seconds=30)
        answer = await home.ask("hello", stream=True)
        assert (answer.status, answer.error["type"]) == (504, "timeout_error")
        assert len(home.chats()) == 1  # slow is not asked twice


async def test_service_that_is_not_there(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        await home.ask("hello")  # the sign-in is renewed by now
        await home.kiro.stop()
        answer = await home.ask("hello")
        assert (answer.status, answer.error["type"]) == (502, "api_error")
        assert len(home.clock.pauses) >= 3


async def _nothing_left(home: House) -> None:
    while home.kiro.open_streams:
        await asyncio.sleep(0.01)


async def test_local_stop_closes_the_upstream(tmp_path: Path) -> None:
    async with house(tmp_path, settings=Settings(pace_s=0.005)) as home:
        answer = await home.ask("[[sim:text 4000]]", stream=True, max_tokens=10)
        assert answer.events[-1][0] == "message_stop"
        assert answer.events[-2][1]["delta"]["stop_reason"] == "max_tokens"
        await _nothing_left(home)
        assert home.kiro.received("chat")[0].aborted
