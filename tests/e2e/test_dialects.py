"""One table of scenarios, every dialect, both modes: whoever asks, the answer is the same."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import orjson
import pytest

from kiroproxy.errors import Kind
from tests.e2e.speakers import SPEAKERS, Heard, Wish
from tests.e2e.support import House, house

PNG = base64.b64encode(
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
    + (64).to_bytes(4, "big")
    + (48).to_bytes(4, "big")
    + b"\x08\2\0\0\0"
).decode()
LONG = "mcp__a_server_with_a_rather_long_name__and_a_tool_whose_name_is_longer_than_sixty_four"
TWO = '[[sim:tools [{"name":"Read","input":{"p":[1,2.5,null]}},{"name":"Now","input":{}}]]]'
TITLE = {
    "type": "object",
    "properties": {"title": {"type": "string"}},
    "required": ["title"],
    "additionalProperties": False,
}


@dataclass(frozen=True)
class Scenario:
    """``text``, ``thinking``, ``calls``: exactly what is heard. ``sends``: what the service must have been
    told in its current message. ``fault`` is played on every try."""

    wish: Wish
    text: str = ""
    thinking: str = ""
    calls: list[tuple[str, Any]] = field(default_factory=list)
    stop: str = "end"
    fault: str = ""
    sends: str = ""


SCENARIOS: dict[str, Scenario] = {
    "text": Scenario(Wish("[[sim:say Grüße, 世界! 👋🏽\n\ttab]]"), "Grüße, 世界! 👋🏽\n\ttab"),
    "system": Scenario(Wish("[[sim:say ok]]", system="Be good."), "ok"),
    "stop sequence": Scenario(
        Wish("[[sim:say one two STOP three]]", stop=("STOP",)), "one two ", stop="sequence"
    ),
    "length": Scenario(
        Wish("[[sim:say one two STOP three]]", max_tokens=2), "one two ", stop="length"
    ),
    "refusal": Scenario(
        Wish("[[sim:say so far]][[sim:stop CONTENT_FILTERED]]"), "so far", stop="refused"
    ),
    "tagged thinking": Scenario(
        Wish("[[sim:think Hm.]][[sim:say Yes.]]", think=True), "Yes.", thinking="Hm."
    ),
    "native thinking": Scenario(
        Wish("[[sim:think Hm.]][[sim:say Yes.]]", model="claude-opus-4-8", think=True),
        "Yes.",
        thinking="Hm.",
    ),
    "two calls": Scenario(
        Wish("[[sim:say Two.]]" + TWO, tools=("Read", "Now")),
        "Two.",
        calls=[("Read", {"p": [1, 2.5, None]}), ("Now", {})],
        stop="tools",
    ),
    "interleaved calls": Scenario(
        Wish(TWO, tools=("Read", "Now")),
        calls=[("Read", {"p": [1, 2.5, None]}), ("Now", {})],
        stop="tools",
        fault="interleaved",
    ),
    "one call of two": Scenario(
        Wish(TWO, tools=("Read", "Now"), parallel=False),
        calls=[("Read", {"p": [1, 2.5, None]})],
        stop="tools",
        sends="Call at most one tool in this answer.",
    ),
    "one call of two, interleaved": Scenario(
        Wish(TWO, tools=("Read", "Now"), parallel=False),
        calls=[("Read", {"p": [1, 2.5, None]})],
        stop="tools",
        fault="interleaved",
    ),
    "long tool name": Scenario(
        Wish(f'[[sim:tool {LONG} {{"a":1}}]]', tools=(LONG,)),
        calls=[(LONG, {"a": 1})],
        stop="tools",
    ),
    "a tool is required": Scenario(
        Wish("[[sim:say ok]]", tools=("Read",), choice="required"),
        "ok",
        sends="Answer by calling one of your tools.",
    ),
    "a tool is named": Scenario(
        Wish("[[sim:say ok]]", tools=("Read", "Now"), choice="Now"),
        "ok",
        sends="Answer by calling the tool Now.",
    ),
    "after a tool": Scenario(
        Wish("go", tools=("Read",), rounds=(("Read", {"p": 1}, "line one"),)),
        "Done. The result begins: line one",
    ),
    "tool history without tools": Scenario(
        Wish("go", rounds=(("Read", {"p": 1}, "line one"),)), "Done. The result begins: line one"
    ),
    "schema": Scenario(
        Wish("Write a title", schema=TITLE), '{"title":"Write a title"}', sends='"title"'
    ),
    "schema behind a fence": Scenario(
        Wish('[[sim:say ```json\n{"title":"x"}\n```]]', schema=TITLE), '{"title":"x"}'
    ),
    "schema and a call": Scenario(
        Wish("[[sim:say Looking.]][[sim:tool Now {}]]", tools=("Now",), schema=TITLE),
        "Looking.",
        calls=[("Now", {})],
        stop="tools",
    ),
    "no ending but metering": Scenario(Wish("[[sim:say ok]]"), "ok", fault="no_metadata"),
    "unknown events": Scenario(Wish("[[sim:say ok]]"), "ok", fault="unknown_events"),
}

MODES = pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
DIALECTS = pytest.mark.parametrize("dialect", SPEAKERS)


async def _ask(home: House, dialect: str, wish: Wish, stream: bool) -> Heard:
    speaker = SPEAKERS[dialect]
    answer = await home.send("POST", speaker.path, speaker.request(wish, stream=stream))
    assert answer.whole
    return speaker.hear(answer)


def _stop(dialect: str, stop: str) -> str:
    """OpenAI's dialects do not tell a stop sequence from a plain end."""
    return "end" if stop == "sequence" and dialect != "messages" else stop


@pytest.mark.parametrize("name", SCENARIOS)
async def test_scenario(name: str, tmp_path: Path) -> None:
    """One house for all of a scenario: what the service is asked must be the same, too."""
    expected = SCENARIOS[name]
    asked = set()
    async with house(tmp_path) as home:
        if expected.fault:
            home.kiro.faults.always(expected.fault)
        for dialect, stream in product(SPEAKERS, (True, False)):
            heard = await _ask(home, dialect, expected.wish, stream)
            where = (dialect, stream)
            assert (where, heard.text) == (where, expected.text)
            assert (where, heard.thinking.strip()) == (where, expected.thinking)
            assert (where, heard.calls) == (where, expected.calls)
            assert (where, heard.stop) == (where, _stop(dialect, expected.stop))
            assert (where, heard.error) == (where, "")
            assert heard.input_tokens > 0
            asked.add(orjson.dumps(home.kiro.received("chat")[-1].json["conversationState"]))
        received = home.kiro.received("chat")
    assert len(received) == 2 * len(SPEAKERS)
    assert not any(entry.violations for entry in received)
    assert len(asked) == 1
    told = orjson.loads(asked.pop())["currentMessage"]["userInputMessage"]["content"]
    assert expected.sends in told


ERRORS: dict[str, Kind] = {
    "improper": Kind.INVALID_REQUEST,
    "too_long": Kind.PROMPT_TOO_LONG,
    "bad_model": Kind.MODEL_NOT_FOUND,
    "unauthenticated": Kind.UPSTREAM_UNAUTHENTICATED,
    "suspended": Kind.PERMISSION,
    "quota": Kind.QUOTA,
    "rate": Kind.RATE_LIMITED,
    "capacity": Kind.OVERLOADED,
    "internal": Kind.UPSTREAM_FAILED,
    "too_large": Kind.TOO_LARGE,
    "exception": Kind.RATE_LIMITED,
}


@MODES
@DIALECTS
@pytest.mark.parametrize("fault", ERRORS)
async def test_refusal(fault: str, dialect: str, stream: bool, tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        home.kiro.faults.always(fault)
        heard = await _ask(home, dialect, Wish("hello"), stream)
    assert (heard.status, heard.error) == SPEAKERS[dialect].error_of(ERRORS[fault])
    assert heard.message


BROKEN = ["cut", "eof_mid_frame", "corrupt", "exception", "model_unavailable"]


@MODES
@DIALECTS
@pytest.mark.parametrize("fault", BROKEN)
async def test_broken_answer(fault: str, dialect: str, stream: bool, tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        home.kiro.faults.always(fault, after=3)
        heard = await _ask(home, dialect, Wish("[[sim:text 40]]"), stream)
    assert (heard.stop, heard.calls) == ("", [])
    assert heard.error and heard.message
    assert (heard.status == 200) == stream
    assert bool(heard.text) == stream  # what came before the fault was given on


@MODES
@DIALECTS
async def test_truncated_call_is_never_shown_as_complete(
    dialect: str, stream: bool, tmp_path: Path
) -> None:
    wish = Wish('[[sim:tool Write {"path":"/tmp/x","content":"some words"}]]', tools=("Write",))
    async with house(tmp_path) as home:
        home.kiro.faults.always("truncated_tool")
        heard = await _ask(home, dialect, wish, stream)
    assert (heard.stop, heard.calls) == ("", [])
    assert "Write" in heard.message


@DIALECTS
async def test_image(dialect: str, tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        heard = await _ask(home, dialect, Wish("Look.", image=PNG), True)
    assert "64x48" in heard.text.replace(" ", "")


@MODES
@DIALECTS
async def test_schema_mismatch(dialect: str, stream: bool, tmp_path: Path) -> None:
    impossible = {**TITLE, "properties": {"title": {"type": "string", "maxLength": 0}}}
    async with house(tmp_path) as home:
        heard = await _ask(home, dialect, Wish("[[sim:say no]]", schema=impossible), stream)
        assert len(home.chats()) == 2
    assert (heard.status, heard.text) == (502, "")
    assert "does not fit the requested JSON schema" in heard.message
